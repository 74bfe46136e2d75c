"""Lists that go with annotations: class names, and splits of classes into seen and unseen ones."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from action_localization.data.source import cells, kind, open_source
from laban.errors import LabanError


@dataclass(frozen=True)
class ClassSplit:
    """Classes to train on, and the others, which are only met in the test (open vocabulary)."""

    train: tuple[str, ...]
    test: tuple[str, ...]


def read_classes(path: str | Path) -> tuple[str, ...]:
    """Class names in order of a file: one a line, or after a number or code (`7 BaseballPitch`, `c000 Holding a …`).

    A table with a header gives its column `key`, `action`, `name` or `label`. Raises LabanError for none, or repeated.
    """
    source = open_source(path)
    rows = [row for _, row in cells(source)] if kind(path) == ".csv" else None
    if rows is not None:
        column = next((rows[0].index(name) for name in ("key", "action", "name", "label") if name in rows[0]), None)
        names = [row[-1 if column is None else column] for row in rows[0 if column is None else 1 :]]
    else:
        lines = [line.strip() for line in source.lines() if line.strip()]
        names = [_without_number(line) for line in lines]
    twice = sorted({name for name in names if names.count(name) > 1})
    if not names or twice:
        raise source.fail(f"names {twice[0]!r} twice" if twice else "names no class")
    return tuple(names)


def _without_number(line: str) -> str:
    head, _, rest = line.partition(" ")
    numbered = head.rstrip(".:").isdecimal() or (head[:1] == "c" and head[1:].isdecimal())
    return rest.strip() if numbered and rest.strip() else line


def read_class_splits(path: str | Path) -> dict[str, dict[str, ClassSplit]]:
    """`{set: {fold: {train: [class], test: [class]}}}`, as for open-set localization of THUMOS14 and ActivityNet."""
    source = open_source(path)
    try:
        return {
            name: {fold: ClassSplit(tuple(parts["train"]), tuple(parts["test"])) for fold, parts in folds.items()}
            for name, folds in source.document.items()
        }
    except (KeyError, TypeError, AttributeError):
        raise LabanError(f"{path}: holds no class splits; accepted: set, fold, and lists 'train' and 'test'") from None
