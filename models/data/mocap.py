"""The folder layout of the motion set: index.json, skeletons.json and one clips/SOURCE.npz per source, at 30 fps."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from laban.errors import LabanError
from models.body.clip import SkeletonClip, clip_world
from models.body.model import BodyModel
from models.body.pose import motion_joints
from models.body.retarget import global_rotations, retarget_tracks
from models.body.retarget_body import TargetBody, target_body
from models.body.retarget_calibrate import Calibration, calibrate
from models.body.retarget_quality import measure
from models.body.retarget_source import SourceTracks, tracks_from_clip, tracks_from_joints
from models.data.dataset import ClipRecord, record_from_json
from models.data.jobs import Job, Outcome, Skipped, built

CLIPS_A_JOB = 128
CALIBRATION_CLIPS = 150
_NEEDED = (
    "id",
    "source",
    "skeleton",
    "start",
    "frames",
    "fps",
    "scale",
    "action",
    "label",
    "texts",
    "license",
    "split",
)


class MocapFolder:
    """Reads clips of the folder; arrays of a source are loaded once and kept."""

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self.index: list[dict[str, Any]] = self._json("index.json")
        self.skeletons: dict[str, dict[str, Any]] = self._json("skeletons.json").get("skeletons", {})
        self._check()
        self._arrays = cache(self._load)

    def _check(self) -> None:
        path = self.folder / "index.json"
        for number, plain in enumerate(self.index):
            missing = [key for key in _NEEDED if key not in plain]
            if missing:
                raise LabanError(f"{path}: entry {number} lacks {', '.join(missing)}; accepted: {', '.join(_NEEDED)}")
            if plain["skeleton"] not in self.skeletons:
                known = ", ".join(self.skeletons)
                raise LabanError(f"{path}: entry {number} has skeleton {plain['skeleton']!r}; accepted: {known}")

    def _json(self, name: str) -> Any:
        path = self.folder / name
        try:
            return json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError as error:
            raise LabanError(f"{path}: is missing; accepted: a folder with index.json and skeletons.json") from error
        except (UnicodeDecodeError, json.JSONDecodeError) as error:
            raise LabanError(f"{path}: is not JSON ({error})") from error

    def _load(self, source: str) -> tuple[ndarray, ndarray]:
        path = self.folder / "clips" / f"{source}.npz"
        try:
            with np.load(path, allow_pickle=False) as arrays:
                return arrays["quat"], arrays["root"]
        except Exception as error:  # zipfile and numpy raise many kinds for damaged files
            raise LabanError(f"{path}: cannot be read ({error})") from error

    def clip(self, plain: dict[str, Any]) -> SkeletonClip:
        """The clip of an index entry on its source's own skeleton."""
        quaternions, root = self._arrays(plain["source"])
        rows = slice(plain["start"], plain["start"] + plain["frames"])
        skeleton = self.skeletons[plain["skeleton"]]
        offsets = np.array(skeleton["offsets"], np.float32) * plain["scale"]
        rotations = quaternions[rows].astype(np.float32) / 32767
        return SkeletonClip(
            tuple(skeleton["names"]), tuple(skeleton["parents"]), offsets, rotations, root[rows], plain["fps"]
        )

    def tracks(self, plain: dict[str, Any]) -> SourceTracks:
        """The clip of an index entry as 22 joints; where only positions were captured, rotations are not used."""
        clip, to22 = self.clip(plain), np.array(self.skeletons[plain["skeleton"]]["smpl22"], np.float32)
        if "joints_only" in plain.get("flags", ()):
            return tracks_from_joints(np.einsum("kj,tjc->tkc", to22, clip_world(clip)[0]), clip.fps)
        return tracks_from_clip(clip, to22)

    def calibration(self, skeleton: str, target: TargetBody) -> Calibration:
        """Calibration of a skeleton from up to 150 of its clips, spread over the index."""
        clips = [plain for plain in self.index if plain["skeleton"] == skeleton]
        step = max(1, len(clips) // CALIBRATION_CLIPS)
        return calibrate([self.tracks(plain) for plain in clips[::step]], target.joints)


def mocap_record(plain: dict[str, Any]) -> ClipRecord:
    """Dataset record of an index entry; its place in the arrays is set by the build.

    Captions marked `humanml3d` are left out: they belong to that benchmark's test part, and no model may learn them.
    """
    captions = [caption for caption in plain.get("captions", ()) if "humanml3d" not in caption]
    return record_from_json({**plain, "captions": captions, "start": 0, "frames": 0, "seconds": 0.0})


def mocap_jobs(folder: str | Path, body: BodyModel | None = None) -> list[Job]:
    """Jobs that retarget every clip of the folder; a job's clips share a skeleton and so a calibration."""
    mocap, target = MocapFolder(folder), target_body(body)
    calibration = cache(lambda skeleton: mocap.calibration(skeleton, target))
    groups: dict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
    for plain in mocap.index:
        groups[plain["source"], plain["skeleton"]].append(plain)
    jobs = []
    for (source, skeleton), entries in groups.items():
        for first in range(0, len(entries), CLIPS_A_JOB):
            some = entries[first : first + CLIPS_A_JOB]
            run = _runner(mocap, some, calibration, body)
            jobs.append(Job(f"{source}-{skeleton}-{first:05d}", len(some), run))
    return jobs


def _runner(
    mocap: MocapFolder,
    entries: Sequence[dict[str, Any]],
    calibration: Callable[[str], Calibration],
    body: BodyModel | None,
) -> Callable[[], list[Outcome]]:
    return lambda: [_build_clip(mocap, plain, calibration, body) for plain in entries]


def _build_clip(
    mocap: MocapFolder, plain: dict[str, Any], calibration: Callable[[str], Calibration], body: BodyModel | None
) -> Outcome:
    record = mocap_record(plain)
    try:
        tracks = mocap.tracks(plain)
        motion = retarget_tracks(tracks, body=body, calibration=calibration(plain["skeleton"]))
    except LabanError as error:
        return Skipped(record.id, record.source, f"unreadable: {error}")
    world = global_rotations(motion.rotations[0, :, :22])
    quality = measure(tracks, world, motion_joints(motion, body)[0])
    return built(record, motion, {name: round(value, 4) for name, value in asdict(quality).items()})


def joints22(mocap: MocapFolder, plain: dict[str, Any]) -> Float[ndarray, "frames 22 3"]:
    """World positions in metres of the 22 joints of an index entry, before retargeting."""
    return mocap.tracks(plain).places
