"""`laban extract VIDEO -o features.npz`: the pictures of a video as features, or its sound."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from laban.cli.options import Device, DeviceOption, Json, emit
from laban.errors import LabanError

if TYPE_CHECKING:
    from models.features import Features


def command(
    source: Annotated[str, typer.Argument(help="Video file, folder of images, /dev/video0, or an address (rtsp://…).")],
    output: Annotated[Path, typer.Option("--output", "-o", help="File to write: .npy, .npz or .h5; a side-car joins.")],
    encoder: Annotated[
        str,
        typer.Option(help="pose | pose_confidence | log_mel (its sound) | x3d_xs | x3d_s | x3d_m | slow_r50 | "
                          "slowfast_r50 | mvit_b_16x4 | mvit_b_32x3 | open_clip:MODEL."),
    ] = "pose",
    weights: Annotated[Path | None, typer.Option(help="Weights of a network: .safetensors or .pt / .pth.")] = None,
    people: Annotated[int, typer.Option(help="Pose: at most this many people, a file each, at the same time.")] = 1,
    stride: Annotated[float | None, typer.Option(help="Networks: seconds from one row to the next.")] = None,
    rate: Annotated[float | None, typer.Option(help="Frame rate of a folder of images, or of a wrong file.")] = None,
    seconds: Annotated[float | None, typer.Option(help="Read only this much, as of a camera.")] = None,
    device: DeviceOption = Device.auto,
    json: Json = False,
) -> None:  # fmt: skip
    """Turn a video into features: people's poses, its sound, or the rows of a video or image network."""
    from laban.progress import progress
    from models.devices import pick_device
    from models.features import check_suffix, write_features
    from models.video.extract import SOUND, Extraction, check_encoder, expected_rows, extract
    from models.video.reading import open_video, stoppable, until

    check_suffix(output)
    what = Extraction(encoder, weights, people, stride, str(pick_device(device.value)))
    check_encoder(what)
    if encoder == SOUND:
        _extract_sound(source, output, rate, seconds, json)
        return
    with open_video(source, rate=rate) as video, stoppable(video):
        info = video.info
        video.raw = video.raw if seconds is None else until(video.raw, seconds)
        with progress(f"{encoder} of {Path(source).name}", expected_rows(video, what), quiet=json) as advance:
            found = extract(video, what, advance)
    for note in video.notes:
        print(f"laban: {source}: {note}", file=sys.stderr)
    paths = [_numbered(output, index) for index in range(len(found))]
    files = [
        str(path) for features, target in zip(found, paths, strict=True) for path in write_features(features, target)
    ]
    results = {
        "source": source, "encoder": encoder, "files": files, "notes": video.notes, "seconds": info.seconds,
        "features": [_described(features) for features in found],
    }  # fmt: skip
    lines = [f"{source} -> {path}: {_line(features)}" for path, features in zip(paths, found, strict=True)]
    emit(results, json, lines or [f"{source}: no person in view; nothing to write"])


def _extract_sound(source: str, output: Path, rate: float | None, seconds: float | None, json: bool) -> None:
    """The sound track of a video or sound file, written and told."""
    from laban.progress import progress
    from models.audio.log_mel import sound_features
    from models.features import write_features

    if rate is not None:
        raise LabanError(f"--rate {rate:g}: --encoder log_mel takes none; it is for pictures")
    with progress(f"sound of {Path(source).name}", None, quiet=json) as advance:
        features = sound_features(source, seconds=seconds, advance=advance)
    files = [str(path) for path in write_features(features, output)]
    results = {"source": source, "encoder": "log_mel", "files": files, "notes": [], "features": [_described(features)]}
    emit(results, json, [f"{source} -> {path}: {_line(features)}" for path in files[:1]])


def _numbered(output: Path, index: int) -> Path:
    """`out.npz`, `out_2.npz`, … for one person after another."""
    return output if index == 0 else output.with_name(f"{output.stem}_{index + 1}{output.suffix}")


def _described(features: Features) -> dict[str, float]:
    grid = features.grid
    return {"rows": grid.frames, "width": features.width, "fps": grid.fps, "stride": grid.stride, "window": grid.window}


def _line(features: Features) -> str:
    grid = features.grid
    spacing, window = grid.stride / grid.fps, grid.window / grid.fps
    return f"{grid.frames} x {features.width}, every {spacing:.3g} s, each of {window:.3g} s ({features.extractor})"
