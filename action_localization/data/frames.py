"""Action segmentation as frame labels: Breakfast and 50 Salads in one file, and MS-TCN's folders (GTEA among them)."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby
from pathlib import Path

from action_localization.data.corpus import Builder, Corpus
from action_localization.data.options import ReadOptions
from action_localization.data.source import open_source
from laban.errors import LabanError
from laban.scores.source import Source

MS_TCN_FPS = {"gtea": 15.0, "breakfast": 15.0, "50salads": 30.0}
"""Frame rates of MS-TCN's three data sets, by the folder's name."""


def read_runs(source: Source, options: ReadOptions) -> Corpus:
    """`{fps, mapping, splits, videos: {id: [[label, frames]]}}`; the split is that of fold `options.fold`."""
    document = source.document
    fps = options.fps or document.get("fps")
    if not isinstance(fps, (int, float)) or fps <= 0:
        raise source.fail(f"fps is {fps!r}; accepted: a positive number")
    used = {label: None for runs in document["videos"].values() for label, *_ in runs}
    listed = [row[1] for row in document.get("mapping", []) if row[1] in used]
    builder = Builder(source.path.name.split(".")[0], source.path, options.classes or listed or None)
    splits = _bundles(source, document.get("splits", {}), options.fold)
    for video, runs in document["videos"].items():
        _add_runs(builder, video, ((label, count) for label, count in runs), fps, splits.get(video, ""))
    return builder.build(strict=options.strict)


def read_results(source: Source, options: ReadOptions) -> Corpus:
    """`{id: {gt: [[class number, frames]], pred: …}}`: the `gt` of a segmentation run; labels are "class N".

    Such a file states no frame rate: `options.fps`, else one frame is taken for one second.
    """
    builder = Builder(source.path.name.split(".")[0], source.path, options.classes)
    for video, runs in source.document.items():
        _add_runs(builder, video, ((f"class {label}", count) for label, count in runs["gt"]), options.fps or 1.0, "")
    return builder.build(strict=options.strict)


def read_folder(folder: Path, options: ReadOptions) -> Corpus:
    """MS-TCN's layout: `groundTruth/VIDEO.txt` with a label a line, `mapping.txt`, `splits/test.split1.bundle`."""
    rate = options.fps or MS_TCN_FPS.get(folder.name.lower())
    if rate is None:
        raise LabanError(f"{folder}: states no frame rate; accepted: fps, or a folder named {', '.join(MS_TCN_FPS)}")
    mapping = open_source(folder / "mapping.txt")
    listed = [line.split(maxsplit=1)[1].strip() for line in mapping.lines() if len(line.split(maxsplit=1)) == 2]
    builder = Builder(folder.name.lower(), folder, options.classes or listed or None)
    bundles = {path.name: open_source(path).lines() for path in sorted((folder / "splits").glob("*.bundle"))}
    splits = _bundles(mapping, bundles, options.fold)
    for path in sorted((folder / "groundTruth").glob("*.txt")):
        labels = [line.strip() for line in open_source(path).lines() if line.strip()]
        runs = ((label, len(list(group))) for label, group in groupby(labels))
        _add_runs(builder, path.stem, runs, rate, splits.get(path.stem, ""))
    return builder.build(strict=options.strict)


def _add_runs(builder: Builder, video: str, runs: Iterable[tuple[str, object]], fps: float, split: str) -> None:
    frame = 0
    for place, (label, count) in enumerate(runs):
        if not isinstance(count, int) or count <= 0:
            builder.annotations += 1
            builder.note(f"{video}[{place}]", f"found {count!r} frames; accepted: a whole number from 1")
            continue
        builder.video(video, (frame + count) / fps, split, fps)
        builder.add(video, f"{video}[{place}]", frame / fps, (frame + count) / fps, label)
        frame += count


def _bundles(source: Source, bundles: dict[str, list[str]], fold: int) -> dict[str, str]:
    """The split of each video in one fold."""
    found: dict[str, str] = {}
    for split in ("train", "test"):
        names = bundles.get(f"{split}.split{fold}.bundle")
        if bundles and names is None:
            raise source.fail(f"has no fold {fold}; accepted: {', '.join(sorted(bundles))}")
        found |= {Path(name.strip()).stem: split for name in names or () if name.strip()}
    return found
