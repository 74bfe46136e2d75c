"""Charades' own tables: `id, …, actions, length`, where actions are `c092 11.90 21.20;c147 0.00 12.60`."""

from __future__ import annotations

from action_localization.data.corpus import Builder, Corpus
from action_localization.data.options import ReadOptions
from action_localization.data.source import beside, split_in_name, table
from action_localization.data.thumos import charades_classes
from laban.scores.source import Source


def read(source: Source, options: ReadOptions) -> Corpus:
    """Every video; classes are named by `Charades_v1_classes.txt` beside the table, else by their codes."""
    there = beside(source.path, "Charades_v1_classes.txt")
    names = charades_classes(there) if there else []
    code = {f"c{number:03d}": name for number, name in enumerate(names)}
    builder = Builder("charades", source.path, options.classes or tuple(names) or None)
    split = split_in_name(source, "train", "test")
    for line, row in table(source, ("id", "actions", "length")):
        builder.video(row["id"], row["length"], split)
        for action in filter(None, row["actions"].split(";")):
            part = action.split()
            if len(part) != 3:
                builder.annotations += 1
                builder.note(f"line {line} ({row['id']})", f"found {action!r}; accepted: class, start, end")
                continue
            builder.add(row["id"], f"line {line} ({row['id']})", part[1], part[2], code.get(part[0], part[0]))
    return builder.build(strict=options.strict)
