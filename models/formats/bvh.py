"""BVH: any skeleton in, the body's own skeleton out.

Reading gives a `SkeletonClip` (`read_bvh_clip`), and from it a `Motion` (`read_bvh`): exactly where the skeleton is one
that `write_bvh` made, else by retargeting. BVH has no units; see `guess_unit`.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from laban.errors import LabanError
from models.body.skeleton import JOINT_NAMES, NUM_BODY, NUM_JOINTS, PARENTS
from models.formats.bvh_text import BvhText, parse_bvh
from models.formats.own_skeleton import own_motion
from models.formats.world import Z_UP_TO_Y_UP, rest_joints
from models.motion import Motion

if TYPE_CHECKING:
    from models.body.clip import SkeletonClip
    from models.body.model import BodyModel

UNITS = {"m": 1.0, "cmu": 0.056444, "inch": 0.0254, "cm": 0.01, "mm": 0.001}
"""Metres a unit; "cmu" is the length unit of the CMU capture (an inch / 0.45), which most of its BVH releases keep."""

_HUMAN_REACH = 1.2  # metres along the bones from the hips to the farthest finger or toe of an adult
_ORDER = "ZXY"
_STILL = 1e-3  # metres; a bone that changes its length by less does not count as translated
_END = "_end"


def read_bvh(
    path: Path,
    *,
    fps: float | None = None,
    unit: str | None = None,
    up: str | None = None,
    body: BodyModel | None = None,
) -> Motion:
    """Motion of one person from a BVH file; `fps`, `unit` and `up` overrule what the file says or lets guess."""
    clip = read_bvh_clip(path, fps=fps, unit=unit, up=up)
    own = own_motion(clip, body)
    if own is not None:
        return own
    from models.body.retarget import retarget

    return retarget(clip, body=body)


def read_bvh_clip(
    path: Path, *, fps: float | None = None, unit: str | None = None, up: str | None = None
) -> SkeletonClip:
    """The animation of a BVH file on its own skeleton, in metres and Y up; see `guess_unit` and `guess_up`.

    Position channels of a joint replace its OFFSET. Where a joint below the root carries the travel (a still reference
    node above the hips), that joint becomes the root. Bones that change their length keep their mean. End Sites are
    joints that never turn, named after their parent: "LeftToe_end".
    """
    from models.body.clip import SkeletonClip

    text = parse_bvh(path)
    rotations, places = _local_motion(text)
    parents = [node.parent for node in text.nodes]
    offsets = places.mean(axis=0)
    scale = _metres(unit, parents, offsets)
    rotations, places, keep = _travelling_root(parents, rotations, places * scale)
    root = places[:, keep[0]]
    new_index = {old: new for new, old in enumerate(keep)}
    ends = [j for j in keep if text.nodes[j].end is not None]
    tips = np.array([text.nodes[j].end for j in ends]).reshape(-1, 3)
    still = np.tile([1.0, 0.0, 0.0, 0.0], (len(rotations), len(ends), 1))
    clip = SkeletonClip(
        names=_unique([text.nodes[j].name for j in keep] + [text.nodes[j].name + _END for j in ends]),
        parents=(-1, *(new_index[parents[j]] for j in keep[1:]), *(new_index[j] for j in ends)),
        offsets=(np.concatenate([offsets[keep], tips]) * scale).astype(np.float32),
        rotations=np.concatenate([rotations[:, keep], still], axis=1).astype(np.float32),
        root=root.astype(np.float32),
        fps=fps or frame_rate(text.frame_time, text.time_text),
    )
    return _stood_up(clip) if (up or guess_up(clip)) == "z" else clip


def guess_up(clip: SkeletonClip) -> str:
    """ "z" where the skeleton is tall along z and shallow along y, both at rest and in most frames, else "y".

    BVH is Y up by custom, but Blender for one writes Z up. Both poses must agree: lying people are not stood up.
    """
    from models.body.clip import clip_world

    few = replace(clip, rotations=clip.rotations[:: _every(clip)], root=clip.root[:: _every(clip)])
    rest, posed = np.ptp(clip.rest_joints(), axis=0), np.median(np.ptp(clip_world(few)[0], axis=1), axis=0)
    return "z" if rest[2] > 2 * rest[1] and posed[2] > 1.5 * posed[1] else "y"


def _every(clip: SkeletonClip) -> int:
    return max(clip.frames // 50, 1)


def _stood_up(clip: SkeletonClip) -> SkeletonClip:
    """A Z-up clip with Y up, rest pose and all: vectors and rotation axes are turned alike."""
    turn = Z_UP_TO_Y_UP.T.astype(np.float32)
    rotations = np.concatenate([clip.rotations[..., :1], clip.rotations[..., 1:] @ turn], axis=-1)
    return replace(clip, offsets=clip.offsets @ turn, root=clip.root @ turn, rotations=rotations)


def frame_rate(frame_time: float, text: str) -> float:
    """Frames a second of a frame time: the whole number where the written digits allow it ("0.033333" is 30)."""
    decimals = len(text.partition(".")[2]) if "e" not in text.lower() else 0
    whole = round(1 / frame_time)
    if whole and decimals >= 4 and abs(frame_time - 1 / whole) <= 10.0**-decimals:
        return float(whole)
    return float(f"{1 / frame_time:.10g}")


def guess_unit(parents: list[int], offsets: Float[ndarray, "joints 3"]) -> str:
    """The unit in `UNITS` that brings the skeleton nearest to an adult's size.

    Size is the longest way along the bones from the root to a leaf: it does not depend on the rest pose.
    """
    lengths = np.linalg.norm(offsets, axis=-1)
    reach = np.zeros(len(parents))
    for joint, parent in enumerate(parents[1:], start=1):
        reach[joint] = reach[parent] + lengths[joint]
    longest = max(float(reach.max()), 1e-9)
    return min(UNITS, key=lambda name: abs(np.log(longest * UNITS[name] / _HUMAN_REACH)))


def write_bvh(motion: Motion, path: Path, *, layout: str | None = None, body: BodyModel | None = None) -> None:
    """One person as BVH on the body's own skeleton: centimetres, rotation order ZXY, travel on the pelvis.

    `layout` "body" writes the 22 body joints, "full" all 55; by default 55 where the motion has hands or a face.
    """
    from laban.files import atomic_path

    if motion.actors != 1:
        raise LabanError(f"{path}: a BVH file holds one person; found {motion.actors}")
    if layout not in (None, "body", "full"):
        raise LabanError(f"--layout {layout}: accepted for .bvh: body, full")
    full = layout == "full" or (layout is None and bool(motion.mask[NUM_BODY:].any()))
    joints = NUM_JOINTS if full else NUM_BODY
    rest = rest_joints(motion.betas, body)[0]
    order = _depth_first(joints)
    table = _channel_table(motion, rest, order)
    with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8", newline="\n") as stream:
        stream.write("HIERARCHY\n" + "\n".join(_hierarchy(rest * 100, joints, 0, 0)) + "\n")
        stream.write(f"MOTION\nFrames: {motion.frames}\nFrame Time: {_time_text(motion.fps)}\n")
        row_format = " ".join(["%.6f"] * table.shape[1]) + "\n"
        for row in table:
            stream.write(row_format % tuple(row))


def _time_text(fps: float) -> str:
    """Seconds a frame with enough digits that `frame_rate` gives `fps` back."""
    return f"{1 / fps:.10f}" if fps == round(fps) else repr(1 / fps)


def _local_motion(text: BvhText) -> tuple[Float[ndarray, "frames joints 4"], Float[ndarray, "frames joints 3"]]:
    """Local rotations (w, x, y, z) and local positions, in the file's unit, of all joints in all frames."""
    places = np.empty((len(text.values), len(text.nodes), 3))
    places[:] = np.array([node.offset for node in text.nodes])
    spins: dict[str, list[tuple[int, list[int]]]] = {}  # joints by order of rotation, each with its columns
    column = 0
    for index, node in enumerate(text.nodes):
        names = node.channels or ()
        for k, name in enumerate(names):
            if name.endswith("position"):
                places[:, index, "XYZ".index(name[0])] = text.values[:, column + k]
        turning = [k for k, name in enumerate(names) if name.endswith("rotation")]
        order = "".join(names[k][0] for k in turning)
        spins.setdefault(order, []).append((index, [column + k for k in turning]))
        column += len(names)
    rotations = np.zeros((len(text.values), len(text.nodes), 4))
    for order, joints in spins.items():
        columns = np.array([where for _, where in joints], np.int64).reshape(len(joints), len(order))
        rotations[:, [index for index, _ in joints]] = _euler_quaternions(np.radians(text.values[:, columns]), order)
    return rotations, places


def _euler_quaternions(
    angles: Float[ndarray, "frames joints channels"], order: str
) -> Float[ndarray, "frames joints 4"]:
    """Quaternions of rotation channels in the order written: "ZXY" is Rz Rx Ry; any number of channels."""
    w, vector = np.ones(angles.shape[:2]), [np.zeros(angles.shape[:2]) for _ in range(3)]
    for k, axis in enumerate(order):
        cosine, sine = np.cos(angles[..., k] / 2), np.sin(angles[..., k] / 2)
        a = "XYZ".index(axis)
        b, c = (a + 1) % 3, (a + 2) % 3
        x, y, z = vector[a], vector[b], vector[c]
        # The Hamilton product with (cosine, sine about one axis), of which half the terms are zero.
        w, vector[a] = w * cosine - x * sine, x * cosine + w * sine
        vector[b], vector[c] = y * cosine + z * sine, z * cosine - y * sine
    return np.stack([w, *vector], axis=-1)


def _metres(unit: str | None, parents: list[int], offsets: Float[ndarray, "joints 3"]) -> float:
    if unit is None:
        unit = guess_unit(parents, offsets)
    if unit not in UNITS:
        raise LabanError(f"--unit {unit}: accepted: {', '.join(UNITS)}")
    return UNITS[unit]


def _travelling_root(
    parents: list[int], rotations: Float[ndarray, "frames joints 4"], places: Float[ndarray, "frames joints 3"]
) -> tuple[Float[ndarray, "frames joints 4"], Float[ndarray, "frames joints 3"], list[int]]:
    """Make the joint that carries the travel the root: (rotations, places in its world, joints kept).

    From the root down: while the joint's only child moves of its own, the joint is folded into that child.
    """
    import torch

    from models.rotations import quaternion_apply, quaternion_multiply

    root = 0
    while (child := _sole_child(parents, root)) is not None and _moves(places[:, child]):
        turn = torch.from_numpy(rotations[:, root])
        rotations, places = rotations.copy(), places.copy()
        places[:, child] = places[:, root] + quaternion_apply(turn, torch.from_numpy(places[:, child])).numpy()
        rotations[:, child] = quaternion_multiply(turn, torch.from_numpy(rotations[:, child])).numpy()
        root = child
    kept = {root}
    for joint, parent in enumerate(parents):
        if parent in kept:
            kept.add(joint)
    return rotations, places, sorted(kept)


def _sole_child(parents: list[int], joint: int) -> int | None:
    children = [j for j, parent in enumerate(parents) if parent == joint]
    return children[0] if len(children) == 1 else None


def _moves(places: Float[ndarray, "frames 3"]) -> bool:
    return bool(np.ptp(places, axis=0).max() > _STILL)


def _unique(names: list[str]) -> tuple[str, ...]:
    """Names in order, the second "Hand" as "Hand_2"."""
    seen: dict[str, int] = {}
    result = []
    for name in names:
        seen[name] = seen.get(name, 0) + 1
        result.append(name if seen[name] == 1 else f"{name}_{seen[name]}")
    return tuple(result)


def _children(joint: int, joints: int) -> list[int]:
    return [j for j in range(joints) if PARENTS[j] == joint]


def _depth_first(joints: int, start: int = 0) -> list[int]:
    """Joints in the order in which their channels stand in the file."""
    return [start] + [j for child in _children(start, joints) for j in _depth_first(joints, child)]


def _hierarchy(rest: Float[ndarray, "55 3"], joints: int, joint: int, depth: int) -> list[str]:
    pad, inner = "\t" * depth, "\t" * (depth + 1)
    offset = rest[joint] - rest[PARENTS[joint]] if joint else np.zeros(3)  # the pelvis is placed by its channels alone
    travel = "Xposition Yposition Zposition " if joint == 0 else ""
    spin = " ".join(f"{axis}rotation" for axis in _ORDER)
    lines = [
        f"{pad}{'JOINT' if joint else 'ROOT'} {JOINT_NAMES[joint]}",
        f"{pad}{{",
        f"{inner}OFFSET {_numbers(offset)}",
        f"{inner}CHANNELS {6 if joint == 0 else 3} {travel}{spin}",
    ]
    children = _children(joint, joints)
    for child in children:
        lines += _hierarchy(rest, joints, child, depth + 1)
    if not children:
        lines += [f"{inner}End Site", f"{inner}{{", f"{inner}\tOFFSET {_numbers(_tip(rest, joint))}", f"{inner}}}"]
    return [*lines, f"{pad}}}"]


def _numbers(values: Float[ndarray, " 3"]) -> str:
    return " ".join(f"{value:.6f}" for value in values)


def _tip(rest: Float[ndarray, "55 3"], joint: int) -> Float[ndarray, " 3"]:
    """End of a bone that no joint marks: onwards for fingers and hands, up for the head, forward for toes and eyes."""
    name = JOINT_NAMES[joint]
    length = np.linalg.norm(rest[joint] - rest[PARENTS[joint]])
    if name == "head":
        return np.array([0, length * 1.5, 0])
    if name.endswith(("foot", "eye", "jaw")):
        return np.array([0, 0, length * 0.6])
    return (rest[joint] - rest[PARENTS[joint]]) * (0.7 if name.endswith("wrist") else 0.8)


def _channel_table(motion: Motion, rest: Float[ndarray, "55 3"], order: list[int]) -> Float[ndarray, "frames channels"]:
    """Pelvis position in centimetres, then the angles in degrees of every joint in file order."""
    angles = euler_angles(motion.rotations[0][:, order].astype(np.float64))
    place = (motion.root[0] + rest[0]) * 100
    return np.concatenate([place, np.degrees(angles).reshape(motion.frames, -1)], axis=1)


def euler_angles(rotations: Float[ndarray, "frames joints 3 3"]) -> Float[ndarray, "frames joints 3"]:
    """Angles (z, x, y) in radians with R = Rz Rx Ry that change as little as can be from frame to frame.

    The middle angle comes from an arc tangent and the last from what the first two leave over, so the product is the
    given rotation also at gimbal lock. Of the two angle triples of a rotation, and all their full turns, the one
    nearest to the frame before is taken: curves that an animator can edit.
    """
    r = rotations
    z = np.arctan2(-r[..., 0, 1], r[..., 1, 1])
    sin_z, cos_z = np.sin(z), np.cos(z)
    x = np.arctan2(r[..., 2, 1], cos_z * r[..., 1, 1] - sin_z * r[..., 0, 1])
    y = np.arctan2(cos_z * r[..., 0, 2] + sin_z * r[..., 1, 2], cos_z * r[..., 0, 0] + sin_z * r[..., 1, 0])
    first = np.stack([z, x, y], axis=-1)
    other = np.stack([z + np.pi, np.pi - x, y + np.pi], axis=-1)
    stay = _turn_distance(first[1:], first[:-1])
    swap = _turn_distance(other[1:], first[:-1])
    # Going from `other` to `other` costs what `first` to `first` does, so only the parity of the swaps matters.
    swapped = np.zeros(first.shape[:2], np.int64)
    np.cumsum(swap < stay - 1e-9, axis=0, out=swapped[1:])
    chosen = np.where((swapped % 2 == 1)[..., None], other, first)
    chosen[0] = (chosen[0] + np.pi) % (2 * np.pi) - np.pi
    return np.unwrap(chosen, axis=0)


def _turn_distance(
    a: Float[ndarray, "frames joints 3"], b: Float[ndarray, "frames joints 3"]
) -> Float[ndarray, "frames joints"]:
    return np.abs((a - b + np.pi) % (2 * np.pi) - np.pi).sum(-1)
