"""Rotation representations over any leading batch shape: differentiable torch, no NaN gradient at the identity.

Conventions: matrices act on column vectors; quaternions are (w, x, y, z), returned with w >= 0; axis-angle vectors are
radians; "6D" is the first two COLUMNS of the matrix, flattened as (column 0, column 1) (Zhou et al., CVPR 2019);
Euler angles are intrinsic in the order of their letters, so "ZXY" is `Rz @ Rx @ Ry`. NumPy callers pass
`torch.from_numpy(x)`, which copies nothing.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from laban.errors import LabanError

_AXES = {"X": 0, "Y": 1, "Z": 2}
_TINY = 1e-12


def matrix_to_6d(matrix: Float[Tensor, "*batch 3 3"]) -> Float[Tensor, "*batch 6"]:
    """First two columns of each matrix, as (column 0, column 1)."""
    return torch.cat([matrix[..., :, 0], matrix[..., :, 1]], dim=-1)


def sixd_to_matrix(sixd: Float[Tensor, "*batch 6"]) -> Float[Tensor, "*batch 3 3"]:
    """Rotation whose first two columns are the Gram-Schmidt orthonormalised halves of `sixd`."""
    x = functional.normalize(sixd[..., :3], dim=-1)
    second = sixd[..., 3:]
    y = functional.normalize(second - (x * second).sum(-1, keepdim=True) * x, dim=-1)
    return torch.stack([x, y, torch.linalg.cross(x, y)], dim=-1)


def quaternion_to_matrix(quaternion: Float[Tensor, "*batch 4"]) -> Float[Tensor, "*batch 3 3"]:
    """Matrices of quaternions of any non-zero length."""
    w, x, y, z = functional.normalize(quaternion, dim=-1).unbind(-1)
    rows = (
        1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y),
        2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x),
        2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y),
    )  # fmt: skip
    return torch.stack(rows, dim=-1).unflatten(-1, (3, 3))


def matrix_to_quaternion(matrix: Float[Tensor, "*batch 3 3"]) -> Float[Tensor, "*batch 4"]:
    """Unit quaternions with w >= 0 of rotation matrices.

    Of the four rows of `4 q q^T` the one with the largest diagonal is normalised: its length is never below 1, so
    neither value nor gradient degenerates anywhere (Shepperd, 1978).
    """
    m = matrix.flatten(-2).unbind(-1)
    a, b, c = m[7] - m[5], m[2] - m[6], m[3] - m[1]
    d, e, f = m[1] + m[3], m[2] + m[6], m[5] + m[7]
    rows = (
        1 + m[0] + m[4] + m[8], a, b, c,
        a, 1 + m[0] - m[4] - m[8], d, e,
        b, d, 1 - m[0] + m[4] - m[8], f,
        c, e, f, 1 - m[0] - m[4] + m[8],
    )  # fmt: skip
    outer = torch.stack(rows, dim=-1).unflatten(-1, (4, 4))
    best = outer.diagonal(dim1=-2, dim2=-1).argmax(-1)
    row = outer.gather(-2, best[..., None, None].expand(*best.shape, 1, 4)).squeeze(-2)
    return canonical_quaternion(functional.normalize(row, dim=-1))


def canonical_quaternion(quaternion: Float[Tensor, "*batch 4"]) -> Float[Tensor, "*batch 4"]:
    """Of the two quaternions of a rotation the one with w >= 0."""
    return torch.where(quaternion[..., :1] < 0, -quaternion, quaternion)


def axis_angle_to_quaternion(axis_angle: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch 4"]:
    """Unit quaternions of rotation vectors in radians."""
    square = (axis_angle * axis_angle).sum(-1, keepdim=True)
    small = square < 1e-6
    angle = torch.where(small, torch.ones_like(square), square).sqrt()
    ratio = torch.where(small, 0.5 - square / 48, torch.sin(angle / 2) / angle)
    w = torch.where(small, 1 - square / 8, torch.cos(angle / 2))
    return torch.cat([w, ratio * axis_angle], dim=-1)


def quaternion_to_axis_angle(quaternion: Float[Tensor, "*batch 4"]) -> Float[Tensor, "*batch 3"]:
    """Rotation vectors of length 0 to pi of unit quaternions."""
    quaternion = canonical_quaternion(quaternion)
    w, vector = quaternion[..., :1], quaternion[..., 1:]
    square = (vector * vector).sum(-1, keepdim=True)
    small = square < 1e-6
    sine = torch.where(small, torch.ones_like(square), square).sqrt()
    safe_w = torch.where(small, w, torch.ones_like(w))
    ratio = torch.where(small, (2 - 2 * square / (3 * safe_w * safe_w)) / safe_w, 2 * torch.atan2(sine, w) / sine)
    return ratio * vector


def axis_angle_to_matrix(axis_angle: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch 3 3"]:
    """Matrices of rotation vectors in radians (Rodrigues)."""
    return quaternion_to_matrix(axis_angle_to_quaternion(axis_angle))


def matrix_to_axis_angle(matrix: Float[Tensor, "*batch 3 3"]) -> Float[Tensor, "*batch 3"]:
    """Rotation vectors of length 0 to pi radians."""
    return quaternion_to_axis_angle(matrix_to_quaternion(matrix))


def quaternion_multiply(a: Float[Tensor, "*#batch 4"], b: Float[Tensor, "*#batch 4"]) -> Float[Tensor, "*batch 4"]:
    """Hamilton product: rotation `b` first, then `a`."""
    aw, ax, ay, az = a.unbind(-1)
    bw, bx, by, bz = b.unbind(-1)
    parts = (
        aw * bw - ax * bx - ay * by - az * bz,
        aw * bx + ax * bw + ay * bz - az * by,
        aw * by - ax * bz + ay * bw + az * bx,
        aw * bz + ax * by - ay * bx + az * bw,
    )
    return torch.stack(parts, dim=-1)


def quaternion_conjugate(quaternion: Float[Tensor, "*batch 4"]) -> Float[Tensor, "*batch 4"]:
    """Inverse of unit quaternions."""
    return torch.cat([quaternion[..., :1], -quaternion[..., 1:]], dim=-1)


def quaternion_apply(
    quaternion: Float[Tensor, "*#batch 4"], vector: Float[Tensor, "*#batch 3"]
) -> Float[Tensor, "*batch 3"]:
    """Vectors turned by unit quaternions."""
    axis = quaternion[..., 1:]
    twice = 2 * torch.linalg.cross(*torch.broadcast_tensors(axis, vector))
    return vector + quaternion[..., :1] * twice + torch.linalg.cross(*torch.broadcast_tensors(axis, twice))


def slerp(
    start: Float[Tensor, "*#batch 4"], end: Float[Tensor, "*#batch 4"], fraction: Float[Tensor, "*#batch"] | float
) -> Float[Tensor, "*batch 4"]:
    """Constant-speed shortest-way interpolation between unit quaternions; `fraction` 0 gives start, 1 gives end."""
    weight = torch.as_tensor(fraction, dtype=start.dtype, device=start.device)[..., None]
    step = quaternion_multiply(quaternion_conjugate(start), end)
    return quaternion_multiply(start, axis_angle_to_quaternion(weight * quaternion_to_axis_angle(step)))


def geodesic_angle(a: Float[Tensor, "*#batch 3 3"], b: Float[Tensor, "*#batch 3 3"]) -> Float[Tensor, "*batch"]:
    """Angle in radians, 0 to pi, of the rotation that leads from `a` to `b`; its gradient is 0 where they agree."""
    quaternion = matrix_to_quaternion(a.transpose(-1, -2) @ b)
    square = (quaternion[..., 1:] ** 2).sum(-1)
    zero = square < _TINY
    sine = torch.where(zero, torch.ones_like(square), square).sqrt()
    return torch.where(zero, 2 * square, 2 * torch.atan2(sine, quaternion[..., 0]))


def yaw_rotation(angle: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch 3 3"]:
    """Turns by `angle` radians about +Y: positive turns +Z (forward) towards +X (the body's left)."""
    zero = torch.zeros_like(angle)
    return axis_angle_to_matrix(torch.stack([zero, angle, zero], dim=-1))


def rotation_between(a: Float[Tensor, "*#batch 3"], b: Float[Tensor, "*#batch 3"]) -> Float[Tensor, "*batch 3 3"]:
    """Shortest rotations that turn direction `a` into direction `b`; lengths are ignored.

    Opposite directions turn by pi about an axis at right angles to `a`.
    """
    a, b = torch.broadcast_tensors(functional.normalize(a, dim=-1), functional.normalize(b, dim=-1))
    w = 1 + (a * b).sum(-1, keepdim=True)
    shortest = torch.cat([w, torch.linalg.cross(a, b)], dim=-1)
    least = functional.one_hot(a.detach().abs().argmin(-1), 3).to(a)
    half_turn = torch.cat([torch.zeros_like(w), torch.linalg.cross(a, least)], dim=-1)
    return quaternion_to_matrix(torch.where(w < 1e-6, half_turn, shortest))


def _axis_rotation(axis: int, angle: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch 3 3"]:
    unit = functional.one_hot(torch.tensor(axis, device=angle.device), 3).to(angle)
    return axis_angle_to_matrix(angle[..., None] * unit)


def _check_order(order: str) -> tuple[int, int, int]:
    axes = tuple(_AXES.get(letter, -1) for letter in order)
    if len(axes) != 3 or -1 in axes or axes[0] == axes[1] or axes[1] == axes[2]:
        raise LabanError(f"Euler order {order!r}: accepted are three letters of X, Y, Z with no neighbours alike")
    return axes[0], axes[1], axes[2]


def euler_to_matrix(angles: Float[Tensor, "*batch 3"], order: str) -> Float[Tensor, "*batch 3 3"]:
    """Intrinsic Euler angles in radians; `order` "ZXY" gives `Rz(angles[0]) @ Rx(angles[1]) @ Ry(angles[2])`."""
    first, second, third = (_axis_rotation(axis, angles[..., i]) for i, axis in enumerate(_check_order(order)))
    return first @ second @ third


def matrix_to_euler(matrix: Float[Tensor, "*batch 3 3"], order: str) -> Float[Tensor, "*batch 3"]:
    """Intrinsic Euler angles in radians, the inverse of `euler_to_matrix`.

    The middle angle is within +-pi/2 (0 to pi for orders such as "ZXZ"). Where the first and last axes line up
    (gimbal lock) the last angle is 0.
    """
    i, j, k = _check_order(order)
    proper = i == k
    other = 3 - i - j if proper else k
    sign = 1.0 if (j - i) % 3 == 1 else -1.0
    if proper:
        level, rise = torch.hypot(matrix[..., i, j], matrix[..., i, other]), matrix[..., i, i]
        middle, pole = torch.atan2(level, rise), level
        first = (matrix[..., j, i], -sign * matrix[..., other, i])
        last = (matrix[..., i, j], sign * matrix[..., i, other])
    else:
        pole = torch.hypot(matrix[..., i, i], matrix[..., i, j])
        middle = torch.atan2(sign * matrix[..., i, k], pole)
        first = (-sign * matrix[..., j, k], matrix[..., k, k])
        last = (-sign * matrix[..., i, j], matrix[..., i, i])
    locked = pole < 1e-6
    safe = torch.where(locked, torch.ones_like(pole), last[1])
    alone = torch.atan2(sign * matrix[..., other, j], matrix[..., j, j])
    free = torch.atan2(first[0], torch.where(locked, torch.ones_like(pole), first[1]))
    end = torch.atan2(torch.where(locked, torch.zeros_like(pole), last[0]), safe)
    return torch.stack([torch.where(locked, alone, free), middle, end], dim=-1)
