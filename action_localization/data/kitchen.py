"""EPIC-KITCHENS-100 and EGTEA as tables, and Ego4D moment queries: first-person actions with verb and noun."""

from __future__ import annotations

from pathlib import Path

from action_localization.data.corpus import Builder, Corpus
from action_localization.data.options import ReadOptions
from action_localization.data.source import beside, cells, open_source, split_in_name, table
from laban.errors import LabanError
from laban.scores.source import Source, number

RULSTM_FPS = 30.0
"""RULSTM counts frames of videos resampled to this rate, for EPIC-KITCHENS and for EGTEA."""

RULSTM_COLUMNS = 7


def seconds(timestamp: str) -> float:
    """Seconds of `HH:MM:SS.ss`; LabanError for anything else."""
    parts = timestamp.split(":")
    if len(parts) != 3:
        raise LabanError(f"time {timestamp!r} is not HH:MM:SS.ss")
    hours, minutes, rest = (number(part, "time") for part in parts)
    return 3600 * hours + 60 * minutes + rest


def read_epic(source: Source, options: ReadOptions) -> Corpus:
    """The official table. Labels by `options.task`: verb ("take"), noun ("plate") or action ("take plate").

    Names come from `EPIC_100_verb_classes.csv` and `EPIC_100_noun_classes_v2.csv` beside it, durations and frame rates
    from `EPIC_100_video_info.csv`; without these, labels are class numbers ("0", "2", "0,2"). The split is `validation`
    or `train`, if the file's name says so.
    """
    verbs, nouns = epic_names(source.path)
    builder = Builder(f"epic100-{options.task}", source.path, options.classes)
    videos = _video_info(source.path)
    split = split_in_name(source, "validation", "train", "test")
    needed = ("narration_id", "video_id", "start_timestamp", "stop_timestamp", "verb_class", "noun_class")
    for line, row in table(source, needed):
        duration, fps = videos.get(row["video_id"], (0.0, None))
        builder.video(row["video_id"], duration, split, fps)
        item = f"line {line} ({row['narration_id']})"
        try:
            start, end = seconds(row["start_timestamp"]), seconds(row["stop_timestamp"])
            label = epic_label(options.task, row["verb_class"], row["noun_class"], verbs, nouns)
        except LabanError as error:
            builder.annotations += 1
            builder.note(item, str(error))
            continue
        builder.add(row["video_id"], item, start, end, label)
    classes = {"verb": verbs, "noun": nouns, "action": ()}[options.task]
    return builder.build(classes or options.classes, strict=options.strict)


def epic_label(task: str, verb: object, noun: object, verbs: tuple[str, ...], nouns: tuple[str, ...]) -> str:
    """The label of class numbers: their names where there are any; LabanError for a number that is none."""
    found = []
    for value, names, what in ((verb, verbs, "verb"), (noun, nouns, "noun")):
        text = str(value).strip()
        if not (text.isascii() and text.isdecimal()) or (names and int(text) >= len(names)):
            raise LabanError(f"{what} class is {text!r}; accepted: 0 to {len(names) - 1 if names else '…'}")
        found.append(names[int(text)] if names else text)
    if task == "action":
        return " ".join(found) if verbs and nouns else ",".join(found)
    return found[0] if task == "verb" else found[1]


def epic_names(path: Path) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Verb and noun names in order of their numbers, from the class tables beside `path`; empty without them."""
    found = []
    for name in ("EPIC_100_verb_classes.csv", "EPIC_100_noun_classes_v2.csv"):
        there = beside(path, name)
        rows = table(open_source(there), ("id", "key")) if there else ()
        found.append(tuple(row["key"] for _, row in rows))
    return found[0], found[1]


def _video_info(path: Path) -> dict[str, tuple[float, float | None]]:
    there = beside(path, "EPIC_100_video_info.csv")
    if there is None:
        return {}
    rows = table(open_source(there), ("video_id", "duration", "fps"))
    return {row["video_id"]: (number(row["duration"], "duration"), number(row["fps"], "fps")) for _, row in rows}


def read_rulstm(source: Source, options: ReadOptions) -> Corpus:
    """RULSTM's tables of EPIC-KITCHENS-100 and EGTEA: id, video, first frame, last frame, verb, noun, action.

    Actions are named by `rulstm_actions.csv` beside the table; verbs and nouns by EPIC's class tables, else by number.
    """
    builder = Builder(source.path.name.split(".")[0], source.path, options.classes)
    actions, (verbs, nouns) = _actions(source.path), epic_names(source.path)
    videos = _video_info(source.path)
    split = split_in_name(source, "validation", "training", "test")
    fps = options.fps or RULSTM_FPS
    for line, row in cells(source):
        item = f"line {line}"
        if len(row) != RULSTM_COLUMNS:
            raise source.fail(f"found {len(row)} cells; accepted: {RULSTM_COLUMNS}", line)
        duration, _ = videos.get(row[1], (0.0, None))
        builder.video(row[1], duration, split, fps)
        try:
            start, end = number(row[2], "first frame") / fps, number(row[3], "last frame") / fps
            if options.task == "action":
                label = actions.get(row[6], row[6])
            else:
                label = epic_label(options.task, row[4], row[5], verbs, nouns)
        except LabanError as error:
            builder.annotations += 1
            builder.note(item, str(error))
            continue
        builder.add(row[1], item, start, end, label)
    known = {"action": tuple(actions.values()), "verb": verbs, "noun": nouns}[options.task]
    return builder.build(known or options.classes, strict=options.strict)


def _actions(path: Path) -> dict[str, str]:
    there = beside(path, "rulstm_actions.csv")
    if there is None:
        return {}
    rows = [row for _, row in cells(open_source(there)) if row[0].isdecimal()]
    return {row[0]: row[-1] for row in rows}


def read_ego4d(source: Source, options: ReadOptions) -> Corpus:
    """Ego4D's `moments_*.json`: each clip is a video; annotators' labels that are `primary` are the benchmark's."""
    builder = Builder("ego4d-mq", source.path, options.classes)
    for video in source.document["videos"]:
        split = video.get("split", source.document.get("split", ""))
        for clip in video.get("clips", []):
            name = str(clip.get("clip_uid", clip.get("clip_id", "")))
            start, end = (clip.get(key) for key in ("video_start_sec", "video_end_sec"))
            known = isinstance(start, (int, float)) and isinstance(end, (int, float))
            builder.video(name, end - start if known else 0.0, split)
            for person, annotation in enumerate(clip.get("annotations", [])):
                for place, label in enumerate(annotation.get("labels", [])):
                    if label.get("primary", True):
                        item = f"{name}.annotations[{person}].labels[{place}]"
                        builder.add(name, item, label.get("start_time"), label.get("end_time"), label.get("label"))
    return builder.build(strict=options.strict)
