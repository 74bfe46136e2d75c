"""`laban generate`: a sentence or a score in, human motion out."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from laban.cli import constraining, score
from laban.cli.options import Body, Device, DeviceOption, Json, Seed, emit
from laban.errors import LabanError
from laban.progress import progress

if TYPE_CHECKING:
    from models.motion import Motion
    from models.text.known import Leaning
    from models.text.parts import Labeller
    from motion.compose import Control
    from motion.constraints import Constraints
    from motion.generate import GenerateConfig

DATA_SUFFIXES = (".npz", ".bvh", ".glb", ".npy", ".smpl")
PICTURE_SUFFIXES = (".mp4", ".gif", ".png", ".jpg", ".webp")
FIGURE_SUFFIXES = (".png", ".svg")
FASTEST = 240
MOST = 64
"""Samples one call may ask for."""
OVERLAP = 1.0
"""Seconds; `motion.compose.Control` has the same."""

Outputs = Annotated[
    list[Path] | None,
    typer.Option(
        "--output", "-o", help="File to write; the suffix picks the format. Repeatable. Default: out/TEXT.mp4"
    ),
]


def command(
    text: Annotated[
        str,
        typer.Argument(
            help='What the person does, such as "a person walks forward and waves"; or a score (.txt .json .vtt .csv).'
        ),
    ],
    output: Outputs = None,
    seconds: Annotated[
        float | None, typer.Option("--seconds", help="Length of the clip [6; a score has its own].")
    ] = None,
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
    method: Annotated[
        str, typer.Option("--method", help="Scores: stmc, stmc-blend, sinc, sinc-lerp, diffcollage or single.")
    ] = "stmc",
    overlap: Annotated[
        float, typer.Option("--overlap", help="Scores: seconds that neighbours share around their seam.")
    ] = OVERLAP,
    as_published: Annotated[
        bool, typer.Option("--as-published", help="Scores: sampled as STMC's authors do (100 DDPM steps, 0.5 s).")
    ] = False,
    labeller_url: Annotated[
        str | None, typer.Option("--labeller-url", help="Scores: ask an OpenAI-compatible server for body parts.")
    ] = None,
    labeller_model: Annotated[str | None, typer.Option("--labeller-model", help="The model that it serves.")] = None,
    constraints: Annotated[
        Path | None,
        typer.Option("--constraints", help="JSON of poses, root paths and targets of hands and feet to meet."),
    ] = None,
    start: Annotated[
        str | None, typer.Option("--from", help="MOTION[@SECOND]: the pose to start in [its last].")
    ] = None,
    end: Annotated[str | None, typer.Option("--to", help="MOTION[@SECOND]: the pose to end in [its first].")] = None,
    cleanup: Annotated[
        bool, typer.Option("--cleanup/--no-cleanup", help="Lock planted feet and take out tremble.")
    ] = True,
    fps: Annotated[float, typer.Option("--fps", help="Frame rate of what is written.")] = 30.0,
    size: Annotated[str, typer.Option("--size", help="Picture size, WIDTHxHEIGHT.")] = "512x512",
    body: Body = None,
    device: DeviceOption = Device.auto,
    json: Json = False,
) -> None:
    """Generate human motion from a sentence or a score, as video and as files to animate with."""
    if not 1 <= fps <= FASTEST:
        raise LabanError(f"--fps {fps:g}; accepted: 1 to {FASTEST}")
    pictures = output is None or any(path.suffix.lower() in ("", *PICTURE_SUFFIXES) for path in output)
    files = Files(parse_size(size) if pictures else (512, 512), fps, body, json)
    from motion.generate import GenerateConfig

    config = GenerateConfig(steps=steps, guidance=guidance, seed=seed, candidates=candidates,
                            cleanup=cleanup, device=device.value)  # fmt: skip
    if not score.is_score(text):
        length = 6.0 if seconds is None else seconds
        files = replace(files, constraints=constraining.asked(constraints, start, end, length))
        _sentence(text, length, n, output, checkpoint, config, files)
        return
    if start is not None or end is not None:
        raise LabanError(f"--from and --to: {text} is a score; accepted with a sentence, here --constraints")
    files = replace(files, constraints=constraining.asked(constraints, None, None, 0.0))
    if seconds is not None:
        raise LabanError(f"--seconds {seconds:g}: {text} says how long it lasts; accepted: no --seconds with a score")
    control, config = score.settings(method, overlap, config, as_published=as_published)
    labeller = score.labeller_at(labeller_url, labeller_model)
    _score(Path(text), n, output, checkpoint, config, control, labeller, files)


@dataclass(frozen=True)
class Files:
    """How results are written."""

    size: tuple[int, int]
    fps: float
    body: Path | None
    json: bool
    constraints: Constraints | None = None
    """Met by what is written, at its own frame rate."""

    def write(self, motion: Motion, paths: list[Path]) -> list[str]:
        """The motion in every format; returns the files' names."""
        from models.body.model import load_body

        model, motion = load_body(self.body), self.timed(motion)
        for path in paths:
            _write(motion, path, model, size=self.size, quiet=self.json)
        return [str(path) for path in paths]

    def timed(self, motion: Motion) -> Motion:
        """The motion at the frame rate of what is written."""
        from models.resample import resample

        motion = resample(motion, self.fps)
        if self.constraints is None:
            return motion
        from motion.enforce import enforce

        return enforce(motion, self.constraints)


def _sentence(
    text: str, seconds: float, n: int, output: list[Path] | None, checkpoint: str, config: GenerateConfig, files: Files
) -> None:
    from models.body.model import load_body
    from motion.generate import generate

    targets = check_outputs(output or [default_output(text)], n)
    load_body(files.body)
    with progress("sampling", n, quiet=files.json) as advance:
        motions = generate([text] * n, seconds, checkpoint=checkpoint, config=config,
                           constraints=files.constraints, progress=advance)  # fmt: skip
    written = [name for motion, paths in zip(motions, targets, strict=True) for name in files.write(motion, paths)]
    leaning, licence = lean_on(text, checkpoint), licence_of(checkpoint)
    near = [{"action": action, "similarity": round(value, 3)} for action, value in leaning.actions]
    result = {
        "text": text, "seconds": motions[0].seconds, "seed": config.seed, "checkpoint": checkpoint, "files": written,
        "leaned_on": near, "nearness": leaning.nearness, "weights_licence": licence,
    }  # fmt: skip
    told = []
    if files.constraints is not None:
        reports = [constraining.met(files.timed(motion), files.constraints) for motion in motions]
        result["constraints"], told = [plain for plain, _ in reports], [line for _, line in reports]
    emit(result, files.json, [f"{text!r} {leaning.summary()}", *told, f"weights {checkpoint}: {licence}", *written])


def _score(
    path: Path, n: int, output: list[Path] | None, checkpoint: str, config: GenerateConfig, control: Control,
    labeller: Labeller | None, files: Files,
) -> None:  # fmt: skip
    from laban.scores import read_timelines
    from models.body.model import load_body
    from viz.timeline import draw_timeline

    count = n * len(read_timelines(path))
    outputs = output or [Path("out") / f"{path.stem}.mp4"]
    targets = check_outputs(outputs, count, most=None, figures=True)
    body = load_body(files.body)
    performed = score.perform(path, n, checkpoint=checkpoint, config=config, control=control, labeller=labeller,
                              quiet=files.json, constraints=files.constraints)  # fmt: skip
    written = []
    for i, paths in enumerate(targets):
        one = performed[i // n]
        figures = score.figure_files(paths)
        written += files.write(one.motions[i % n], [path for path in paths if path not in figures])
        for figure in figures:
            draw_timeline(one.timeline, figure, one.motions[i % n], body=body)
            written.append(str(figure))
    licence = licence_of(checkpoint)
    result = {"score": str(path), "seed": config.seed, "checkpoint": checkpoint, "method": control.method,
              "files": written, "timelines": [one.to_json() for one in performed],
              "weights_licence": licence}  # fmt: skip
    lines = [line for one in performed for line in one.lines()]
    if files.constraints is not None:
        reports = [constraining.met(files.timed(m), files.constraints) for one in performed for m in one.motions]
        result["constraints"], lines = [plain for plain, _ in reports], lines + [line for _, line in reports]
    emit(result, files.json, [*lines, f"weights {checkpoint}: {licence}", *written])


def licence_of(checkpoint: str) -> str:
    """The licence of a generator's weights, as its configuration states it."""
    from motion.generator import load_generator

    return load_generator(checkpoint).config.licence or "no licence stated"


def lean_on(text: str, checkpoint: str) -> Leaning:
    """The checkpoint's known actions nearest in meaning to the text."""
    from models.text.known import load_known
    from motion.generator import load_generator

    config = load_generator(checkpoint).config
    return load_known([action for action, _ in config.known], config.text).leaning(text)


def default_output(text: str) -> Path:
    """`out/` and a short name made of the text."""
    return Path("out") / ("-".join(re.findall(r"[a-z0-9]+", text.lower())[:6]) or "motion")[:60]


def check_outputs(outputs: list[Path], n: int, *, most: int | None = MOST, figures: bool = False) -> list[list[Path]]:
    """The files of each of n samples; LabanError, before any work, for a suffix or folder that will not do."""
    if n < 1 or (most is not None and n > most):
        raise LabanError(f"--n {n}; accepted: 1 to {MOST}")
    outputs = [path if path.suffix else path.with_name(path.name + ".mp4") for path in outputs]
    accepted = tuple(dict.fromkeys(DATA_SUFFIXES + PICTURE_SUFFIXES + (FIGURE_SUFFIXES if figures else ())))
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


def parse_size(text: str) -> tuple[int, int]:
    """(width, height) of WIDTHxHEIGHT."""
    from viz.render import parse_size as parse

    return parse(text)


def _write(motion: Motion, path: Path, body: Any, *, size: tuple[int, int], quiet: bool) -> None:
    if path.suffix.lower() in DATA_SUFFIXES:
        from models.formats import write_motion

        write_motion(motion, path, body=body)
        return
    from viz.render import render_motion

    render_motion(motion, path, size=size, fps=motion.fps, body=body, progress=not quiet)
