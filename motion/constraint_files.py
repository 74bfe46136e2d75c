"""Constraints from JSON: Kimodo's own fields (NVIDIA, 2026) and a plainer form in seconds, positions and motion files.

A list of objects. Each has `type` (`TYPES`) and its moments: `time` or `times` in seconds, or `frame_indices` at `fps`
(30 unless said). One value for each moment:

    root2d                 `position(s)` [x, z] or `smooth_root_2d`; `heading(s)` in degrees from +Z towards +X, or
                           `global_root_heading` [cos, sin] of that angle
    fullbody               `pose`: "FILE@SECOND" (one moment; with `position` [x, z] and `heading` to put it elsewhere),
                           or `local_joints_rot` (22 axis-angles) and `root_positions`, or `global_joints_positions`
    left-hand … right-foot `position(s)` [x, y, z] of wrist or ankle, with `rotation(s)` (global axis-angle) if wanted,
                           or `local_joints_rot` and `root_positions`, of which hand or foot and hips are taken
    end-effector           the same, with `joint_names`: LeftHand, RightFoot, Hips or the body's own names
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from numpy import ndarray

from laban.errors import LabanError
from laban.scores.source import read_source
from models.body.kinematics import forward_kinematics
from models.body.model import load_body
from models.body.retarget import retarget_joints
from models.body.skeleton import JOINT, NUM_BODY, NUM_JOINTS
from models.body.vectors import axis_rotation
from models.formats import read_motion
from models.rotations import axis_angle_to_matrix
from motion.constraints import ENDS, Constraints, JointKey, PoseKey, RootKey, pose_key, root_heading

FPS = 30.0
"""Frames a second of `frame_indices`: Kimodo's rate."""
ENDS_OF: dict[str, str] = {
    "left-hand": "left_wrist", "right-hand": "right_wrist", "left-foot": "left_ankle", "right-foot": "right_ankle",
}  # fmt: skip
NAMES: dict[str, str] = {
    "LeftHand": "left_wrist", "RightHand": "right_wrist", "LeftFoot": "left_ankle", "RightFoot": "right_ankle",
    "Hips": "pelvis", "pelvis": "pelvis", **{name: name for name in ENDS},
}  # fmt: skip
TYPES: tuple[str, ...] = ("root2d", "fullbody", *ENDS_OF, "end-effector")
_MOMENTS = ("type", "time", "times", "frame_indices", "fps")
_BODY = ("local_joints_rot", "root_positions", "smooth_root_2d")
_POINT = ("position", "positions", "target_positions", "rotation", "rotations", *_BODY)
FIELDS: dict[str, tuple[str, ...]] = {
    "root2d": ("position", "positions", "smooth_root_2d", "heading", "headings", "global_root_heading"),
    "fullbody": ("pose", "position", "heading", "global_joints_positions", *_BODY),
    **dict.fromkeys(ENDS_OF, _POINT), "end-effector": ("joint_names", *_POINT),
}  # fmt: skip


@dataclass(frozen=True)
class _Entry:
    """One object of the list, with its place for messages."""

    name: str
    values: dict[str, Any]
    folder: Path

    def fail(self, message: str) -> LabanError:
        return LabanError(f"{self.name}: {message}")

    def array(self, fields: tuple[str, ...], shape: tuple[int, ...]) -> Float[ndarray, "..."] | None:
        """The first of some fields that is there, one row for each moment; a singular field is one row."""
        found = [field for field in fields if field in self.values]
        if not found:
            return None
        if len(found) > 1:
            raise self.fail(f"has both {found[0]!r} and {found[1]!r}; accepted: one of them")
        value, field = self.values[found[0]], found[0]
        try:
            array = np.array([value] if field in ("position", "heading", "rotation") else value, np.float64)
        except (TypeError, ValueError):
            raise self.fail(f"{field} is {_short(value)}; accepted: numbers {_shape(shape)} for each moment") from None
        if array.shape[1:] != shape and not (shape and array.ndim == len(shape) + 1 and shape[0] < 0):
            raise self.fail(f"{field} has shape {list(array.shape)}; accepted: {_shape(shape)} for each moment")
        if len(array) != len(self.times):
            raise self.fail(f"{field} has {len(array)} values for {len(self.times)} moments; accepted: one for each")
        if not np.isfinite(array).all():
            raise self.fail(f"{field} holds a NaN or infinite number; accepted: finite numbers")
        return array

    def needed(self, fields: tuple[str, ...], shape: tuple[int, ...]) -> Float[ndarray, "..."]:
        array = self.array(fields, shape)
        if array is None:
            raise self.fail(f"has no {' or '.join(map(repr, fields))}; accepted: {_shape(shape)} for each moment")
        return array

    @property
    def times(self) -> list[float]:
        """Seconds."""
        given = [field for field in ("time", "times", "frame_indices") if field in self.values]
        if len(given) != 1:
            raise self.fail(f"has {' and '.join(map(repr, given)) or 'no time'}; accepted: one of 'time', 'times' "
                            "(seconds), 'frame_indices'")  # fmt: skip
        value, fps = self.values[given[0]], self.values.get("fps", FPS)
        if not _number(fps) or not 0 < fps < 1e4:
            raise self.fail(f"fps is {_short(fps)}; accepted: a positive number")
        rows = value if isinstance(value, list) else [value]
        if not rows or not all(_number(row) and row >= 0 for row in rows):
            raise self.fail(f"{given[0]} is {_short(value)}; accepted: numbers from 0")
        if given[0] == "frame_indices" and any(row != int(row) for row in rows):
            raise self.fail(f"frame_indices is {_short(value)}; accepted: whole numbers from 0")
        return [float(row) / (fps if given[0] == "frame_indices" else 1.0) for row in rows]


def read_constraints(path: str | Path) -> Constraints:
    """The constraints in a JSON file; LabanError names the file and the entry, counted from 0, and what is accepted."""
    path = Path(path)
    document = read_source(path).document
    if not isinstance(document, list) or not document:
        raise LabanError(f"{path}: is {_short(document)}; accepted: a JSON list of constraints, each with a 'type'")
    total = Constraints()
    for index, values in enumerate(document):
        entry = _entry(f"{path}: entry {index}", values, path.parent)
        total = total + _READERS.get(entry.values["type"], _ends)(entry)
    return total


def pose_of_file(text: str, option: str, at: float | None, time: float, folder: Path = Path()) -> PoseKey:
    """The pose named by `MOTION[@SECOND]`, asked for at second `time`; `at` None takes the motion's last by default."""
    name, _, second = text.rpartition("@") if "@" in text and not (folder / text).exists() else (text, "", "")
    motion = read_motion(folder / name)
    try:
        chosen = float(second) if second else (motion.frames - 1) / motion.fps if at is None else at
    except ValueError:
        raise LabanError(f"{option} {text}: second {second!r}; accepted: MOTION or MOTION@SECOND") from None
    return pose_key(motion, chosen, time, f"{option} {text}")


def _entry(name: str, values: object, folder: Path) -> _Entry:
    if not isinstance(values, dict):
        raise LabanError(f"{name}: is {_short(values)}; accepted: an object with a 'type'")
    entry = _Entry(name, values, folder)
    kind = values.get("type")
    if kind not in TYPES:
        raise entry.fail(f"type is {_short(kind)}{_near(kind, TYPES)}; accepted: {', '.join(TYPES)}")
    accepted = (*_MOMENTS, *FIELDS[kind])
    for field in values:
        if field not in accepted:
            raise entry.fail(f"field {field!r} is unknown to {kind}{_near(field, accepted)}; accepted: "
                             f"{', '.join(accepted)}")  # fmt: skip
    return entry


def _root2d(entry: _Entry) -> Constraints:
    places = entry.needed(("position", "positions", "smooth_root_2d"), (2,))
    degrees, pairs = entry.array(("heading", "headings"), ()), entry.array(("global_root_heading",), (2,))
    if degrees is not None and pairs is not None:
        raise entry.fail("has both 'headings' and 'global_root_heading'; accepted: one of them")
    headings: list[float | None] = [None] * len(places)
    if degrees is not None:
        headings = [math.radians(angle) for angle in degrees]
    if pairs is not None:
        headings = [math.atan2(sine, cosine) for cosine, sine in pairs]
    keys = [RootKey(time, (float(x), float(z)), heading, origin=entry.name)
            for time, (x, z), heading in zip(entry.times, places, headings, strict=True)]  # fmt: skip
    return Constraints(path=tuple(keys))


def _fullbody(entry: _Entry) -> Constraints:
    kinds = [name for name in ("pose", "local_joints_rot", "global_joints_positions") if name in entry.values]
    if len(kinds) != 1:
        raise entry.fail(f"has {' and '.join(map(repr, kinds)) or 'no pose'}; accepted: one of 'pose', "
                         "'local_joints_rot' with 'root_positions', 'global_joints_positions'")  # fmt: skip
    if kinds[0] == "pose":
        return Constraints(poses=(_pose(entry),))
    if kinds[0] == "local_joints_rot":
        return Constraints(poses=tuple(_bodies(entry)))
    motion = retarget_joints(entry.needed(("global_joints_positions",), (NUM_BODY, 3)), FPS)
    return Constraints(poses=tuple(pose_key(motion, i / FPS, time, entry.name) for i, time in enumerate(entry.times)))


def _pose(entry: _Entry) -> PoseKey:
    """A pose out of a motion file, put elsewhere if so asked."""
    text = entry.values["pose"]
    if not isinstance(text, str) or not text:
        raise entry.fail(f"pose is {_short(text)}; accepted: 'MOTION' or 'MOTION@SECOND', from the JSON file's folder")
    if len(entry.times) != 1:
        raise entry.fail(f"has {len(entry.times)} moments for one pose; accepted: one entry for each pose")
    try:
        key = replace(pose_of_file(text, "pose", 0.0, entry.times[0], entry.folder), origin=entry.name)
    except LabanError as error:
        raise entry.fail(str(error)) from None
    place, heading = entry.array(("position",), (2,)), entry.array(("heading",), ())
    if heading is not None:
        turn = axis_rotation(np.array([0.0, 1.0, 0.0]), np.array(math.radians(heading[0]) - (root_heading(key) or 0.0)))
        key = replace(key, rotations=np.concatenate([(turn @ key.rotations[0])[None], key.rotations[1:]]))
    if place is not None:
        key = replace(key, pelvis=np.array([place[0, 0], key.pelvis[1], place[0, 1]]))
    return key


def _bodies(entry: _Entry) -> list[PoseKey]:
    """Whole bodies from local axis-angles and pelvis positions."""
    vectors = entry.needed(("local_joints_rot",), (-1, 3))
    if vectors.shape[1] not in (NUM_BODY, 52, NUM_JOINTS):
        raise entry.fail(f"local_joints_rot has {vectors.shape[1]} joints; accepted: 22 in SMPL-X order (or 52 or 55, "
                         "of which 22 are taken); convert other skeletons first")  # fmt: skip
    places = entry.needed(("root_positions",), (3,))
    rotations = axis_angle_to_matrix(torch.from_numpy(vectors[:, :NUM_BODY])).numpy()
    return [PoseKey(*key, entry.name) for key in zip(entry.times, rotations, places, strict=True)]


def _ends(entry: _Entry) -> Constraints:
    joints = _joint_names(entry)
    if "local_joints_rot" in entry.values:
        return _ends_of_bodies(_bodies(entry), joints)
    places = entry.needed(("position", "positions", "target_positions"), (3,))
    vectors = entry.array(("rotation", "rotations"), (3,))
    turns = [None] * len(places) if vectors is None else list(axis_angle_to_matrix(torch.from_numpy(vectors)).numpy())
    path, keys = [], []
    for time, place, turned in zip(entry.times, places, turns, strict=True):
        for joint in joints:
            if joint == "pelvis":
                path.append(RootKey(time, (place[0], place[2]), height=place[1], origin=entry.name))
            else:
                keys.append(JointKey(time, joint, place, turned, entry.name))
    return Constraints(path=tuple(path), joints=tuple(keys))


def _ends_of_bodies(bodies: list[PoseKey], joints: list[str]) -> Constraints:
    """Hands, feet and the hips of whole bodies, as Kimodo means it."""
    rest = load_body().joint_template[:NUM_BODY].double()
    path, keys = [], []
    for body in bodies:
        root = torch.from_numpy(body.pelvis) - rest[0]
        places, turns = forward_kinematics(torch.from_numpy(body.rotations), rest, root)
        path.append(RootKey(body.time, (float(body.pelvis[0]), float(body.pelvis[2])), height=float(body.pelvis[1]),
                            origin=body.origin))  # fmt: skip
        for name in joints:
            if name != "pelvis":
                end = JOINT[name.replace("foot", "ankle")]
                keys.append(JointKey(body.time, name, places[JOINT[name]].numpy(), turns[end].numpy(), body.origin))
    return Constraints(path=tuple(path), joints=tuple(keys))


def _joint_names(entry: _Entry) -> list[str]:
    kind = entry.values["type"]
    if kind != "end-effector":
        return [ENDS_OF[kind]]
    names = entry.values.get("joint_names")
    if not isinstance(names, list) or not names:
        raise entry.fail(f"joint_names is {_short(names)}; accepted: a list of {', '.join(NAMES)}")
    for name in names:
        if name not in NAMES:
            raise entry.fail(f"joint {_short(name)}{_near(name, tuple(NAMES))}; accepted: {', '.join(NAMES)}")
    return [NAMES[name] for name in names]


_READERS: dict[str, Callable[[_Entry], Constraints]] = {"root2d": _root2d, "fullbody": _fullbody}


def _number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _short(value: object) -> str:
    text = json.dumps(value, default=str)
    return text if len(text) <= 60 else f"{text[:57]}…"


def _near(value: object, accepted: tuple[str, ...]) -> str:
    near = get_close_matches(str(value), accepted, n=1)
    return f" (did you mean {near[0]!r}?)" if near else ""


def _shape(shape: tuple[int, ...]) -> str:
    return "a number" if not shape else " by ".join("any" if size < 0 else str(size) for size in shape) + " numbers"
