"""Sentences over time: ActivityNet Captions, TACoS, Charades-STA, QVHighlights and TVSum. A label is a sentence.

Their corpora have no classes: a sentence is told by its words, not by a number.
"""

from __future__ import annotations

from action_localization.data.corpus import Builder, Corpus
from action_localization.data.database import video_id
from action_localization.data.options import ReadOptions
from action_localization.data.source import records, split_in_name
from laban.scores.source import Source


def read_captions(source: Source, options: ReadOptions) -> Corpus:
    """`{video: {duration, timestamps, sentences}}` in seconds, or with `fps` and `num_frames` (TACoS) in frames."""
    builder = Builder(source.path.name.split(".")[0], source.path)
    split = split_in_name(source, "train", "val", "test")
    for video, entry in source.document.items():
        fps = entry.get("fps")
        rate = fps if isinstance(fps, (int, float)) and fps > 0 else 1.0
        frames = entry.get("num_frames")
        duration = frames / rate if isinstance(frames, (int, float)) else entry.get("duration", 0.0)
        name = video_id(video)
        builder.video(name, duration, split, fps)
        times, sentences = entry.get("timestamps", []), entry.get("sentences", [])
        if len(times) != len(sentences):
            builder.note(video, f"has {len(times)} timestamps and {len(sentences)} sentences", dropped=False)
        for place, (span, sentence) in enumerate(zip(times, sentences, strict=False)):
            start, end = (t / rate if isinstance(t, (int, float)) else t for t in span[:2])
            builder.add(name, f"{video}[{place}]", start, end, sentence)
    return builder.build((), strict=options.strict)


def read_charades_sta(source: Source, options: ReadOptions) -> Corpus:
    """Lines of `VIDEO START END##sentence`."""
    builder = Builder("charades-sta", source.path)
    split = split_in_name(source, "train", "val", "test")
    for line, text in enumerate(source.lines(), 1):
        if not text.strip():
            continue
        head, mark, sentence = text.partition("##")
        parts = head.split()
        if not mark or len(parts) != 3:
            raise source.fail(f"found {text[:40]!r}; accepted: VIDEO START END##sentence", line)
        builder.video(parts[0], split=split)
        builder.add(parts[0], f"line {line}", parts[1], parts[2], sentence)
    return builder.build((), strict=options.strict)


def read_queries(source: Source, options: ReadOptions) -> Corpus:
    """QVHighlights and the sets in its form, one query a line; a file without windows gives videos without segments."""
    builder = Builder(source.path.name.split(".")[0], source.path)
    split = split_in_name(source, "train", "val", "test")
    for line, record in records(source):
        video = str(record.get("vid", ""))
        if "pred_relevant_windows" in record:
            raise source.fail("holds answers, no annotation; they are scored by `evaluation.moments`", line)
        if not video or "query" not in record:
            raise source.fail("has no 'vid' or no 'query'; accepted: one query a line, with qid, query, vid", line)
        builder.video(video, record.get("duration", 0.0), split)
        for place, span in enumerate(record.get("relevant_windows") or ()):
            builder.add(video, f"line {line}.relevant_windows[{place}]", span[0], span[1], record["query"])
    return builder.build((), strict=options.strict)
