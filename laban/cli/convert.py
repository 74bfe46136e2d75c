"""`laban convert IN OUT`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from laban.cli.options import Body, Json, emit


def command(  # noqa: PLR0913 - a command's parameters are its options
    source: Annotated[Path, typer.Argument(help="Motion file: .npz (AMASS), .smpl, .bvh, .glb, .gltf or .npy.")],
    target: Annotated[Path, typer.Argument(help="File to write: .npz, .smpl, .bvh, .glb or .npy.")],
    fps: Annotated[float | None, typer.Option(help="Resample to this rate, frames a second.")] = None,
    layout: Annotated[
        str | None, typer.Option(help="Variant to write: .npz smplx | smplh; .bvh body | full; .npy joints | 263.")
    ] = None,
    unit: Annotated[str | None, typer.Option(help="Length unit of a BVH (m, cm, mm, inch, cmu), else guessed.")] = None,
    up: Annotated[str | None, typer.Option(help="Vertical axis (y, z), else its format's; BVH: guessed.")] = None,
    source_fps: Annotated[float | None, typer.Option(help="Rate of the source, where its file is wrong.")] = None,
    clip: Annotated[str | None, typer.Option(help="Name of the animation, where a glTF file has several.")] = None,
    lock: Annotated[bool, typer.Option("--lock-feet", help="Hold planted feet where they are.")] = False,
    body: Body = None,
    json: Json = False,
) -> None:
    """Convert motion between AMASS npz, .smpl, BVH, GLB and HumanML3D joints; foreign skeletons are retargeted."""
    from models.body.cleanup import lock_feet
    from models.body.model import load_body
    from models.formats import ReadOptions, check_target, read_motion, write_motion
    from models.resample import resample

    check_target(target)
    model = load_body(body)
    motion = read_motion(source, ReadOptions(fps=source_fps, unit=unit, up=up, clip=clip, body=model))
    if lock:
        motion = lock_feet(motion, model)
    if fps is not None:
        motion = resample(motion, fps)
    written = write_motion(motion, target, body=model, layout=layout)
    results = {
        "source": str(source),
        "files": [str(path) for path in written],
        "actors": motion.actors,
        "frames": motion.frames,
        "fps": motion.fps,
        "seconds": motion.seconds,
    }
    people = f"{motion.actors} people, " if motion.actors > 1 else ""
    line = f"{source} -> {', '.join(map(str, written))}: {people}{motion.frames} frames at {motion.fps:g} fps"
    emit(results, json, [f"{line}, {motion.seconds:.2f} s"])
