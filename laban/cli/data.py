"""`laban data`: build and inspect training sets."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from laban.cli.options import Body, Json, emit
from laban.errors import LabanError

if TYPE_CHECKING:
    from models.data.build import BuildReport
    from models.data.dataset import MotionDataset
    from models.shards import Sample

app = typer.Typer(no_args_is_help=True, context_settings={"help_option_names": ["-h", "--help"]})
_SHOWN = 12


@app.command()
def build(
    sources: Annotated[
        list[Path],
        typer.Argument(
            help="Folders of motion (index.json with clips/; AMASS .npz; .bvh) and of annotations for AMASS "
            "(HumanML3D's index.csv with texts/, BABEL or KIT .json)."
        ),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for the dataset.")],
    body: Body = None,
    json: Json = False,
) -> None:
    """Turn folders of motion into one dataset; an interrupted build goes on where it stopped."""
    from models.body.model import load_body
    from models.data.build import build_dataset

    report = build_dataset(sources, output, body=load_body(body), quiet=json)
    plain: dict[str, Any] = {
        "output": str(output), "clips": report.clips, "seconds": round(report.seconds, 3),
        "skipped": [vars(entry) for entry in report.skipped], "quality": report.quality,
    }  # fmt: skip
    emit(plain, json, _report_lines(report, output))


def _report_lines(report: BuildReport, output: Path) -> list[str]:
    from collections import Counter

    lines = [f"{report.clips} clips, {report.seconds / 3600:.2f} hours, in {output}"]
    if any(report.quality.values()):
        lines.append(f"{'source':24s}{'bone angle':>12s}{'toe height':>12s}{'extra slide':>13s}{'turn pace':>11s}")
    for source, figures in report.quality.items():
        if figures:
            toe, slide = figures["toe"] * 100, (figures["slide"] - figures["source_slide"]) * 100
            pace = figures["pace"] / max(figures["source_pace"], 1e-6)
            lines.append(f"{source:24s}{figures['bone']:10.1f} °{toe:9.2f} cm{slide:8.2f} cm/s{pace:10.2f}x")
    reasons = Counter((entry.source, entry.reason) for entry in report.skipped)
    lines += [f"skipped {count:5d}  {source}: {reason}" for (source, reason), count in reasons.most_common(_SHOWN)]
    if len(reasons) > _SHOWN:
        lines.append(f"skipped for {len(reasons) - _SHOWN} further reasons: see {output / 'report.json'}")
    return lines


@app.command()
def info(
    folder: Annotated[Path, typer.Argument(help="Folder that `laban data build` made.")], json: Json = False
) -> None:
    """What a dataset holds: clips, hours, actions, sources, splits, flags."""
    from models.data.dataset import MotionDataset

    facts = _facts(MotionDataset.open(folder))
    lines = [f"{facts['clips']} clips, {facts['seconds'] / 3600:.2f} hours, {len(facts['actions'])} actions"]
    for title in ("splits", "sources", "licences", "flags", "actions"):
        some = list(facts[title].items())
        shown = ", ".join(f"{name or '(none)'} {count}" for name, count in some[:_SHOWN])
        more = f", … {len(some) - _SHOWN} more" if len(some) > _SHOWN else ""
        lines.append(f"{title:9s} {shown}{more}")
    emit(facts, json, lines)


@app.command()
def shards(
    features: Annotated[Path, typer.Option("--features", help="Folder of one npy, npz or h5 file per video.")],
    annotations: Annotated[Path, typer.Option("--annotations", help="Annotations in any layout that is known.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for shard-000000.tar and so on.")],
    split: Annotated[str | None, typer.Option("--split", help="Only this part, as the annotations name it.")] = None,
    size: Annotated[int, typer.Option("--size", min=1, help="Megabytes of a shard.")] = 256,
    grid: Annotated[
        str | None, typer.Option("--grid", help="FPS,STRIDE,WINDOW[,OFFSET] of features without side-cars.")
    ] = None,
    key: Annotated[str | None, typer.Option("--key", help="Name of the array in npz and h5 files.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the shards that the folder holds.")] = False,
    json: Json = False,
) -> None:
    """Pack features and their truth into tar files, for `laban train detect --shards`."""
    from action_localization.data.layouts import read_corpus
    from action_localization.spine.learn import FeatureFolder, folder_samples, side_car_of
    from laban.progress import progress
    from models.shards import write_shards

    corpus = read_corpus(annotations)
    corpus = corpus.part(split) if split else corpus
    folder, count = FeatureFolder(features, side_car=side_car_of(grid), key=key, cache=0), 0
    with progress("packing", len(corpus.videos), quiet=json) as advance:

        def counted() -> Iterator[Sample]:
            nonlocal count
            for sample in folder_samples(folder, corpus):
                yield sample
                count += 1
                advance(1)

        paths = write_shards(counted(), output, shard_bytes=size << 20, overwrite=overwrite)
    if not paths:
        raise LabanError(f"{features}: has features of none of {len(corpus.videos)} videos "
                         f"(such as {next(iter(corpus.videos))})")  # fmt: skip
    said = f"wrote {len(paths)} shards in {output}: {count} of {len(corpus.videos)} videos have features"
    results = {"shards": [str(path) for path in paths], "packed": count, "videos": len(corpus.videos)}
    emit(results, json, [said])


def _facts(dataset: MotionDataset) -> dict[str, Any]:
    from collections import Counter

    records = dataset.records
    counts = {
        "splits": Counter(record.split for record in records),
        "sources": Counter(record.source for record in records),
        "licences": Counter(record.license.partition(" (")[0] for record in records),
        "flags": Counter(flag for record in records for flag in record.flags),
        "actions": Counter(record.action for record in records),
    }
    captions = sum(len(caption.texts) for record in records for caption in record.captions)
    return {
        "clips": len(records), "seconds": round(sum(record.seconds for record in records), 3), "captions": captions,
        "segments": sum(len(record.segments) for record in records), "pairs": len(dataset.pairs()),
        **{title: dict(count.most_common()) for title, count in counts.items()},
    }  # fmt: skip
