"""Steps of instructional videos: COIN, CrossTask and NIV."""

from __future__ import annotations

from typing import Any

from action_localization.data.corpus import Builder, Corpus
from action_localization.data.options import ReadOptions
from action_localization.data.source import beside, open_source, split_in_name
from laban.scores.source import Source


def read_coin(source: Source, options: ReadOptions) -> Corpus:
    """COIN: `{video: {annotation: [[step number, start, end, text]], duration, subset}}`; the text is the label."""
    builder = Builder("coin", source.path, options.classes)
    names: dict[int, str] = {}
    for video, entry in source.document.items():
        builder.video(video, entry.get("duration", 0.0), entry.get("subset", ""))
        for place, step in enumerate(entry.get("annotation", [])):
            names[step[0]] = " ".join(str(step[3]).split())
            builder.add(video, f"{video}.annotation[{place}]", step[1], step[2], step[3])
    classes = dict.fromkeys(name for _, name in sorted(names.items()) if name in builder.labels)
    return builder.build(options.classes or tuple(classes), strict=options.strict)


def read_crosstask(source: Source, options: ReadOptions) -> Corpus:
    """CrossTask: `[{task, vid, steps: [[start, end, step number]]}]`; names from `crosstask_cls_step.json` beside it.

    A label is the step's name (see `crosstask_names`), or "TASK step N" without that file. A video that serves several
    tasks has the steps of all.
    """
    names = crosstask_names(source)
    builder = Builder("crosstask", source.path, options.classes)
    split = split_in_name(source, "train", "test")
    for record in source.document:
        task, video = str(record["task"]), str(record["vid"])
        builder.video(video, split=split)
        for place, (start, end, step) in enumerate(record["steps"]):
            label = names.get((task, step), f"{task} step {step}")
            builder.add(video, f"{task}/{video}.steps[{place}]", start, end, label)
    known = tuple(dict.fromkeys(names.values()))
    return builder.build(options.classes or known or None, strict=options.strict)


def crosstask_tasks(source: Source) -> dict[str, dict[str, Any]]:
    """What `crosstask_cls_step.json` beside a file says of every task; nothing without it."""
    there = beside(source.path, "crosstask_cls_step.json")
    return open_source(there).document if there else {}


def crosstask_names(source: Source) -> dict[tuple[str, int], str]:
    """The name of every (task, step number).

    Step numbers count from 0 within a task, or, as in PDPP's files, over all tasks: names in order of their first
    appearance, tasks in the order of the records. Which of the two holds is seen from the largest numbers.
    """
    tasks = crosstask_tasks(source)
    used: dict[str, set[int]] = {}
    for record in source.document:
        used.setdefault(str(record["task"]), set()).update(step for _, _, step in record["steps"])
    local = {task: [str(name) for name in entry["step_name"].values()] for task, entry in tasks.items()}
    if all(max(steps, default=0) < len(local.get(task, ())) for task, steps in used.items()):
        return {(task, int(step)): str(name) for task, entry in tasks.items()
                for step, name in entry["step_name"].items()}  # fmt: skip
    numbers: dict[str, int] = {}
    for task in used:
        for name in local.get(task, ()):
            numbers.setdefault(name, len(numbers))
    return {(task, numbers[name]): name for task in used for name in local.get(task, ())}


def read_niv(source: Source, options: ReadOptions) -> Corpus:
    """NIV: `{action_ids, splits_pdpp, videos: {id: [[action, start, end]]}}`."""
    document = source.document
    classes = sorted(document["action_ids"], key=document["action_ids"].get)
    split = {name: part for part, names in document.get("splits_pdpp", {}).items() for name in names}
    builder = Builder("niv", source.path, options.classes or tuple(classes))
    for video, steps in document["videos"].items():
        builder.video(video, split=split.get(video, ""))
        for place, (label, start, end) in enumerate(steps):
            builder.add(video, f"{video}[{place}]", start, end, label)
    return builder.build(strict=options.strict)
