"""`laban generate`: a sentence in, human motion out."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from laban.cli.options import Body, Device, DeviceOption, Json, Seed, emit
from laban.errors import LabanError
from laban.progress import progress

if TYPE_CHECKING:
    from models.motion import Motion
    from models.text.known import Leaning

DATA_SUFFIXES = (".npz", ".bvh", ".glb", ".npy", ".smpl")
PICTURE_SUFFIXES = (".mp4", ".gif", ".png", ".jpg", ".webp")
FASTEST = 240
MOST = 64
"""Samples one call may ask for."""

Outputs = Annotated[
    list[Path] | None,
    typer.Option(
        "--output", "-o", help="File to write; the suffix picks the format. Repeatable. Default: out/TEXT.mp4"
    ),
]


def command(
    text: Annotated[str, typer.Argument(help='What the person does, such as "a person walks forward and waves".')],
    output: Outputs = None,
    seconds: Annotated[float, typer.Option("--seconds", help="Length of the clip.")] = 6.0,
    n: Annotated[int, typer.Option("--n", help="How many different motions.")] = 1,
    seed: Seed = 0,
    checkpoint: Annotated[str, typer.Option("--checkpoint", help="Embedded generator or a folder.")] = "research",
    steps: Annotated[int, typer.Option("--steps", help="Denoising steps.")] = 20,
    guidance: Annotated[
        float, typer.Option("--guidance", help="How strictly the text is followed; 1 = not guided.")
    ] = 2.5,
    candidates: Annotated[
        int, typer.Option("--candidates", help="Motions drawn for each one that is kept, the best fit to the text.")
    ] = 4,
    cleanup: Annotated[
        bool, typer.Option("--cleanup/--no-cleanup", help="Lock planted feet and take out tremble.")
    ] = True,
    fps: Annotated[float, typer.Option("--fps", help="Frame rate of what is written.")] = 30.0,
    size: Annotated[str, typer.Option("--size", help="Picture size, WIDTHxHEIGHT.")] = "512x512",
    body: Body = None,
    device: DeviceOption = Device.auto,
    json: Json = False,
) -> None:
    """Generate human motion from a sentence, as video and as files to animate with."""
    targets = check_outputs(output or [default_output(text)], n)
    if not 1 <= fps <= FASTEST:
        raise LabanError(f"--fps {fps:g}; accepted: 1 to {FASTEST}")
    pixels = _size(size) if any(path.suffix.lower() in PICTURE_SUFFIXES for path in targets[0]) else None
    from models.body.model import load_body
    from models.resample import resample
    from motion.generate import GenerateConfig, generate
    from motion.generator import load_generator

    model = load_body(body)
    config = GenerateConfig(steps=steps, guidance=guidance, seed=seed, candidates=candidates,
                            cleanup=cleanup, device=device.value)  # fmt: skip
    with progress("sampling", n, quiet=json) as advance:
        motions = generate([text] * n, seconds, checkpoint=checkpoint, config=config, progress=advance)
    written = []
    for motion, paths in zip(motions, targets, strict=True):
        motion = resample(motion, fps)
        for path in paths:
            _write(motion, path, model, size=pixels, quiet=json)
            written.append(str(path))
    leaning, licence = lean_on(text, checkpoint), load_generator(checkpoint).config.licence or "no licence stated"
    near = [{"action": action, "similarity": round(value, 3)} for action, value in leaning.actions]
    result = {"text": text, "seconds": motions[0].seconds, "seed": seed, "checkpoint": checkpoint, "files": written,
              "leaned_on": near, "nearness": leaning.nearness, "weights_licence": licence}  # fmt: skip
    emit(result, json, [f"{text!r} {leaning.summary()}", f"weights {checkpoint}: {licence}", *written])


def lean_on(text: str, checkpoint: str) -> Leaning:
    """The checkpoint's known actions nearest in meaning to the text."""
    from models.text.known import load_known
    from motion.generator import load_generator

    config = load_generator(checkpoint).config
    return load_known([action for action, _ in config.known], config.text).leaning(text)


def default_output(text: str) -> Path:
    """`out/` and a short name made of the text."""
    return Path("out") / ("-".join(re.findall(r"[a-z0-9]+", text.lower())[:6]) or "motion")[:60]


def check_outputs(outputs: list[Path], n: int) -> list[list[Path]]:
    """The files of each of n samples; LabanError, before any work, for a suffix or folder that will not do."""
    if not 1 <= n <= MOST:
        raise LabanError(f"--n {n}; accepted: 1 to {MOST}")
    outputs = [path if path.suffix else path.with_name(path.name + ".mp4") for path in outputs]
    accepted = DATA_SUFFIXES + PICTURE_SUFFIXES
    for path in outputs:
        if path.suffix.lower() not in accepted:
            raise LabanError(f"-o {path}: format {path.suffix!r} is unknown; accepted: {', '.join(accepted)}")
        if path.is_dir():
            raise LabanError(f"-o {path}: is a folder; name a file to write")
        folder = next(parent for parent in path.absolute().parents if parent.exists())
        if not (folder.is_dir() and os.access(folder, os.W_OK)):
            raise LabanError(f"-o {path}: folder {folder} cannot be written")
    if n == 1:
        return [outputs]
    return [[path.with_name(f"{path.stem}-{k + 1}{path.suffix}") for path in outputs] for k in range(n)]


def _size(text: str) -> tuple[int, int]:
    from viz.render import parse_size

    return parse_size(text)


def _write(motion: Motion, path: Path, body: Any, *, size: tuple[int, int] | None, quiet: bool) -> None:
    if path.suffix.lower() in DATA_SUFFIXES:
        from models.formats import write_motion

        write_motion(motion, path, body=body)
        return
    from viz.render import render_motion

    render_motion(motion, path, size=size or (512, 512), fps=motion.fps, body=body, progress=not quiet)
