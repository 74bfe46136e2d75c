"""Joints and bones as a surface, for motion without a body and for quick looks."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np
from jaxtyping import Float, Float32, Int32
from numpy import ndarray

from viz.renderer import Mesh

BONE_RADIUS, JOINT_RADIUS, HEAD_RADIUS = 0.019, 0.028, 0.095
LEFT, RIGHT, MIDDLE = (58, 124, 190), (214, 98, 72), (84, 92, 106)
"""sRGB of the left side, the right side and the middle of a skeleton."""


def skeleton_mesh(
    joints: Float[ndarray, "joints 3"],
    parents: Sequence[int],
    *,
    colors: Sequence[tuple[int, int, int]] | None = None,
    sizes: Sequence[float] | None = None,
    thickness: float = 1.0,
    opacity: float = 1.0,
) -> Mesh:
    """A ball at every joint and a tapered stick from it to its parent (-1: none), coloured per joint.

    `sizes` are the balls' radii in metres; `thickness` scales the rest.
    """
    ball, ball_faces = _ball()
    stick, stick_faces = _stick()
    paint = np.array(colors if colors is not None else [MIDDLE] * len(joints), np.uint8)
    vertices: list[ndarray] = []
    faces: list[ndarray] = []
    tints: list[ndarray] = []
    for joint, parent in enumerate(parents):
        count = sum(len(v) for v in vertices)
        vertices.append(ball * (sizes[joint] if sizes is not None else JOINT_RADIUS * thickness) + joints[joint])
        faces.append(ball_faces + count)
        tints.append(np.broadcast_to(paint[joint], ball.shape))
        if parent < 0 or not np.any(joints[joint] != joints[parent]):
            continue
        vertices.append(_spanned(stick, joints[parent], joints[joint], BONE_RADIUS * thickness))
        faces.append(stick_faces + count + len(ball))
        tints.append(np.broadcast_to(paint[joint], stick.shape))
    return Mesh(np.concatenate(vertices).astype(np.float32), np.concatenate(faces), np.concatenate(tints),
                opacity=opacity)  # fmt: skip


def side_colors(names: Sequence[str]) -> list[tuple[int, int, int]]:
    """Blue for joints whose name starts with `left`, red for `right`, grey for the others."""
    return [LEFT if n.lower().startswith("left") else RIGHT if n.lower().startswith("right") else MIDDLE
            for n in names]  # fmt: skip


def ball_sizes(names: Sequence[str]) -> list[float]:
    """Radii that make the joint called `head` look like one."""
    return [HEAD_RADIUS if name.lower() == "head" else JOINT_RADIUS for name in names]


def sphere(radius: float, center: tuple[float, float, float], *, detail: int = 3) -> Mesh:
    """A ball of 20 * 4**detail triangles."""
    vertices, faces = _icosphere(detail)
    return Mesh((vertices * radius + np.array(center)).astype(np.float32), faces)


@cache
def _ball() -> tuple[Float32[ndarray, "vertices 3"], Int32[ndarray, "faces 3"]]:
    return _icosphere(2)


def _icosphere(detail: int) -> tuple[Float32[ndarray, "vertices 3"], Int32[ndarray, "faces 3"]]:
    """Unit sphere: an icosahedron whose triangles are split in four `detail` times."""
    golden = (1 + 5**0.5) / 2
    points = [(x, y, 0.0) for y in (golden, -golden) for x in (-1.0, 1.0)]
    corners = np.array([np.roll(p, shift) for shift in range(3) for p in points])
    from scipy.spatial import ConvexHull

    hull = ConvexHull(corners)
    faces = hull.simplices
    outward = (
        np.einsum(
            "ij,ij->i",
            np.cross(corners[faces[:, 1]] - corners[faces[:, 0]], corners[faces[:, 2]] - corners[faces[:, 0]]),
            corners[faces[:, 0]],
        )
        > 0
    )
    faces = np.where(outward[:, None], faces, faces[:, ::-1])
    vertices = corners / np.linalg.norm(corners, axis=1, keepdims=True)
    for _ in range(detail):
        vertices, faces = _split(vertices, faces)
    return vertices.astype(np.float32), faces.astype(np.int32)


def _split(vertices: ndarray, faces: ndarray) -> tuple[ndarray, ndarray]:
    """Four triangles for each, the new vertices shared and pushed out to the unit sphere."""
    edges = np.sort(faces[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2), axis=1)
    unique, where = np.unique(edges, axis=0, return_inverse=True)
    middle = vertices[unique].mean(axis=1)
    middle /= np.linalg.norm(middle, axis=1, keepdims=True)
    a, b, c = faces.T
    ab, bc, ca = where.reshape(-1, 3).T + len(vertices)
    new = np.stack([a, ab, ca, b, bc, ab, c, ca, bc, ab, bc, ca], axis=1).reshape(-1, 3)
    return np.concatenate([vertices, middle]), new


@cache
def _stick(sides: int = 12) -> tuple[Float32[ndarray, "vertices 3"], Int32[ndarray, "faces 3"]]:
    """Open tube along +Z from 0 to 1, of radius 1 at the parent's end and 0.7 at the child's."""
    turn = np.linspace(0, 2 * np.pi, sides, endpoint=False)
    ring = np.stack([np.cos(turn), np.sin(turn), np.zeros(sides)], axis=1)
    vertices = np.concatenate([ring, ring * 0.7 + [0, 0, 1]]).astype(np.float32)
    i = np.arange(sides)
    j = (i + 1) % sides
    quads = np.concatenate([np.stack([i, j, j + sides], 1), np.stack([i, j + sides, i + sides], 1)])
    return vertices, quads.astype(np.int32)


def _spanned(
    stick: Float32[ndarray, "vertices 3"],
    start: Float[ndarray, "3"],
    end: Float[ndarray, "3"],
    radius: float,
) -> Float[ndarray, "vertices 3"]:
    """The unit stick laid from `start` to `end`."""
    along = np.asarray(end - start, np.float64)
    side = np.cross(along, np.eye(3)[np.argmin(np.abs(along))])
    side /= np.linalg.norm(side)
    other = np.cross(along / np.linalg.norm(along), side)
    return stick @ np.stack([side * radius, other * radius, along]) + start
