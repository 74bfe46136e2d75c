"""Motion files: one reader and one writer, chosen by the suffix.

    .npz   AMASS: SMPL-X (stage-ii), SMPL-H; Inter-X       .bvh   skeletal animation
    .smpl  smplcodec                                      .glb   skinned, animated mesh (also read: .gltf)
    .npy   HumanML3D joints or 263 features; InterHuman (read only)

A format that holds one person takes several actors as one file each: `duet.npz` becomes `duet_0.npz`, `duet_1.npz`;
reading `duet.npz`, where there is no such file, reads them together again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from laban.errors import LabanError
from models.motion import Motion

if TYPE_CHECKING:
    from models.body.model import BodyModel


@dataclass(frozen=True)
class ReadOptions:
    """What overrules a file, chooses within it, and the body it is meant for.

    `fps` is its frame rate, `unit` its length unit (BVH), `up` its vertical axis ("y" or "z"), `clip` the name of one
    of several animations (glTF).
    """

    fps: float | None = None
    unit: str | None = None
    up: str | None = None
    clip: str | None = None
    body: BodyModel | None = None

    def __post_init__(self) -> None:
        if self.up not in (None, "y", "z"):
            raise LabanError(f"--up {self.up}: accepted: y, z")
        if self.fps is not None and not (np.isfinite(self.fps) and self.fps > 0):
            raise LabanError(f"--source-fps {self.fps}: accepted: a positive number")


def read_motion(path: str | Path, options: ReadOptions | None = None) -> Motion:
    """Read a motion file; raises LabanError (one line: file, what was found, what is accepted) for bad input."""
    path, options = Path(path), options or ReadOptions()
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise LabanError(f"{path}: suffix '{path.suffix}' is not known; accepted to read: {', '.join(_READERS)}")
    parts = actor_files(path)
    motions = [_named(reader, part, options) for part in parts]
    return motions[0] if len(motions) == 1 else together(motions, str(path))


def write_motion(
    motion: Motion, path: str | Path, *, body: BodyModel | None = None, layout: str | None = None
) -> tuple[Path, ...]:
    """Write a motion file, whole or not at all; returns the files made (several for actors in one-person formats).

    `layout` picks a variant of the format: .npz "smplx" or "smplh", .bvh "body" or "full", .npy "joints" or "263".
    """
    path = Path(path)
    writer = check_target(path)
    if motion.actors == 1 or path.suffix.lower() in _SEVERAL_ACTORS:
        writer(motion, path, layout, body)
        return (path,)
    paths = tuple(_actor_path(path, i) for i in range(motion.actors))
    new = [part for part in paths if not part.exists()]
    try:
        for index, part in enumerate(paths):
            writer(motion.actor(index), part, layout, body)
    except BaseException:
        for part in new:  # half a duet is no file to leave behind
            part.unlink(missing_ok=True)
        raise
    return paths


def check_target(path: str | Path) -> Writer:
    """The writer for a path; LabanError for an unknown suffix or a folder, before any long work."""
    path = Path(path)
    writer = _WRITERS.get(path.suffix.lower())
    if writer is None:
        raise LabanError(f"{path}: suffix '{path.suffix}' is not known; accepted to write: {', '.join(_WRITERS)}")
    if path.is_dir():
        raise LabanError(f"{path}: is a folder; name a file to write")
    return writer


def together(motions: list[Motion], name: str) -> Motion:
    """Actors of one take as one motion: same rate, same length."""
    first = motions[0]
    for index, motion in enumerate(motions[1:], start=1):
        if (motion.frames, motion.fps) != (first.frames, first.fps):
            raise LabanError(
                f"{name}: actor {index} has {motion.frames} frames at {motion.fps:g} fps, actor 0 {first.frames} at "
                f"{first.fps:g}; accepted: actors of the same length and rate"
            )
    width = max(motion.betas.shape[1] for motion in motions)
    betas = np.concatenate([np.pad(m.betas, ((0, 0), (0, width - m.betas.shape[1]))) for m in motions])
    return Motion(
        np.concatenate([m.rotations for m in motions]),
        np.concatenate([m.root for m in motions]),
        first.fps,
        betas,
        tuple(gender for m in motions for gender in m.genders),
        np.any([m.mask for m in motions], axis=0),
    )


def actor_files(path: Path) -> list[Path]:
    """`path` itself, or, where it does not exist, `name_0`, `name_1` … beside it."""
    if path.exists():
        return [path]
    parts: list[Path] = []
    while (part := _actor_path(path, len(parts))).is_file():
        parts.append(part)
    return parts or [path]


def _actor_path(path: Path, index: int) -> Path:
    return path.with_name(f"{path.stem}_{index}{path.suffix}")


def _named(reader: Reader, path: Path, options: ReadOptions) -> Motion:
    """Read, and put the file's name before the messages of types that know no file."""
    try:
        return reader(path, options)
    except LabanError as error:
        if str(error).startswith(("motion:", "skeleton:", "retarget:")):
            raise LabanError(f"{path}: {error}") from error
        raise
    except MemoryError as error:
        raise LabanError(f"{path}: is too large for this machine's memory") from error


def _read_amass(path: Path, options: ReadOptions) -> Motion:
    from models.formats.amass import read_amass
    from models.formats.interx import is_interx, read_interx

    if is_interx(path):
        return read_interx(path, fps=options.fps, up=options.up or "y", body=options.body)
    return read_amass(path, fps=options.fps, up=options.up or "z", body=options.body)


def _write_amass(motion: Motion, path: Path, layout: str | None, body: BodyModel | None) -> None:
    from models.formats.amass import write_amass

    write_amass(motion, path, layout=layout, body=body)


def _read_smpl(path: Path, options: ReadOptions) -> Motion:
    from models.formats.smpl_codec import read_smpl

    return read_smpl(path, fps=options.fps, up=options.up or "y", body=options.body)


def _write_smpl(motion: Motion, path: Path, layout: str | None, body: BodyModel | None) -> None:
    from models.formats.smpl_codec import write_smpl

    _no_layout(path, layout)
    write_smpl(motion, path)


def _read_bvh(path: Path, options: ReadOptions) -> Motion:
    from models.formats.bvh import read_bvh

    return read_bvh(path, fps=options.fps, unit=options.unit, up=options.up, body=options.body)


def _write_bvh(motion: Motion, path: Path, layout: str | None, body: BodyModel | None) -> None:
    from models.formats.bvh import write_bvh

    write_bvh(motion, path, layout=layout, body=body)


def _read_gltf(path: Path, options: ReadOptions) -> Motion:
    from models.formats.gltf_read import read_gltf

    return read_gltf(path, fps=options.fps, clip=options.clip, up=options.up or "y", body=options.body)


def _write_glb(motion: Motion, path: Path, layout: str | None, body: BodyModel | None) -> None:
    from models.formats.glb import write_glb

    _no_layout(path, layout)
    write_glb(motion, path, body=body)


def _read_npy(path: Path, options: ReadOptions) -> Motion:
    from models.formats.humanml import read_npy_motion

    return read_npy_motion(path, fps=options.fps, up=options.up, body=options.body)


def _write_npy(motion: Motion, path: Path, layout: str | None, body: BodyModel | None) -> None:
    from models.formats.humanml import write_humanml

    write_humanml(motion, path, layout=layout, body=body)


def _no_layout(path: Path, layout: str | None) -> None:
    if layout is not None:
        raise LabanError(f"--layout {layout}: {path.suffix} has one layout; leave the option out")


Reader = Callable[[Path, ReadOptions], Motion]
Writer = Callable[[Motion, Path, "str | None", "BodyModel | None"], None]
_READERS: dict[str, Reader] = {
    ".npz": _read_amass,
    ".bvh": _read_bvh,
    ".glb": _read_gltf,
    ".gltf": _read_gltf,
    ".npy": _read_npy,
    ".smpl": _read_smpl,
}
_WRITERS: dict[str, Writer] = {
    ".npz": _write_amass,
    ".bvh": _write_bvh,
    ".glb": _write_glb,
    ".npy": _write_npy,
    ".smpl": _write_smpl,
}
_SEVERAL_ACTORS = (".glb",)
