"""Short clips and repetitions: AVE, LLP (AVVP), Countix, RepCount, cycle ends, and single-frame labels."""

from __future__ import annotations

from action_localization.data.corpus import Builder, Corpus
from action_localization.data.options import ReadOptions
from action_localization.data.source import split_in_name, table
from laban.scores.source import Source

CLIP_SECONDS = 10.0
"""AVE and LLP cut every video to this length."""

REPCOUNT_FPS = 30.0
"""RepCount counts frames; its rate is not stated and most of the videos have this one."""

SAME_CLASS = {
    "pullups": "pull_up", "squant": "squat", "pushups": "push_up", "jumpjacks": "jump_jack",
    "frontraise": "front_raise", "benchpressing": "bench_pressing",
}  # fmt: skip
"""RepCount's second names of its classes."""


def read_ave(source: Source, options: ReadOptions) -> Corpus:
    """AVE: lines of `class&video&quality&start&end`."""
    builder = Builder("ave", source.path, options.classes)
    for line, text in enumerate(source.lines(), 1):
        parts = text.strip().split("&")
        if parts[0] in ("", "Category"):
            continue
        if len(parts) != 5:
            raise source.fail(f"found {text!r}; accepted: class&video&quality&start&end", line)
        builder.video(parts[1], CLIP_SECONDS)
        builder.add(parts[1], f"line {line}", parts[3], parts[4], parts[0])
    return builder.build(strict=options.strict)


def read_avvp(source: Source, options: ReadOptions) -> Corpus:
    """LLP: tab-separated `filename, onset, offset, event_labels`; without times (training) a label spans the clip."""
    builder = Builder("llp", source.path, options.classes)
    split = split_in_name(source, "train", "eval", "val", "test")
    for line, row in table(source, ("filename", "event_labels"), "\t"):
        builder.video(row["filename"], CLIP_SECONDS, split)
        for label in filter(None, row["event_labels"].split(",")):
            start, end = row.get("onset", "0"), row.get("offset", str(CLIP_SECONDS))
            builder.add(row["filename"], f"line {line}", start, end, label)
    return builder.build(strict=options.strict)


def read_countix(source: Source, options: ReadOptions) -> Corpus:
    """Countix: the repeated interval of a Kinetics clip, in seconds of the whole video; one class if none is given."""
    builder = Builder("countix", source.path, options.classes)
    split = split_in_name(source, "train", "val", "test")
    for line, row in table(source, ("video_id", "repetition_start", "repetition_end")):
        builder.video(row["video_id"], row.get("kinetics_end", 0.0), split)
        label = row.get("class", "repetition")
        builder.add(row["video_id"], f"line {line}", row["repetition_start"], row["repetition_end"], label)
    return builder.build(strict=options.strict)


def read_repcount(source: Source, options: ReadOptions) -> Corpus:
    """RepCount: columns `type`, `name` and `L1`, `L2`, … with first and last frame of every cycle."""
    builder = Builder("repcount", source.path, options.classes)
    split = split_in_name(source, "train", "valid", "test")
    fps = options.fps or REPCOUNT_FPS
    for line, row in table(source, ("type", "name", "count", "L1")):
        label = SAME_CLASS.get(row["type"], row["type"])
        builder.video(row["name"], split=split, fps=fps)
        edges = [value for name, value in row.items() if name.startswith("L") and name[1:].isdecimal() and value]
        for cycle, (start, end) in enumerate(zip(edges[::2], edges[1::2], strict=False)):
            item = f"line {line} ({row['name']}) cycle {cycle + 1}"
            builder.add(row["name"], item, _frame(start, fps), _frame(end, fps), label)
    return builder.build(strict=options.strict)


def read_cycle_ends(source: Source, options: ReadOptions) -> Corpus:
    """`{set: {video: [last frame of each cycle]}}`: instants "cycle end", in seconds at `options.fps` or 30."""
    builder = Builder("cycle-ends", source.path)
    fps = options.fps or REPCOUNT_FPS
    for part, videos in source.document.items():
        for video, frames in videos.items():
            builder.video(video, split=part, fps=fps)
            for place, frame in enumerate(frames):
                builder.instant(video, f"{part}.{video}[{place}]", _frame(frame, fps), "cycle end")
    return builder.build(("cycle end",), strict=options.strict)


def read_points(source: Source, options: ReadOptions) -> Corpus:
    """Single-frame labels: `{annotator_N: [[video, seconds, label]]}`; annotator `options.fold`, as instants."""
    builder = Builder(source.path.name.split(".")[0], source.path, options.classes)
    name = f"annotator_{options.fold}"
    if name not in source.document:
        raise source.fail(f"has no {name}; accepted: {', '.join(source.document)}")
    for place, (video, time, label) in enumerate(source.document[name]):
        builder.instant(video, f"{name}[{place}]", time, label)
    return builder.build(strict=options.strict)


def _frame(value: object, fps: float) -> object:
    try:
        return float(value) / fps  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return value
