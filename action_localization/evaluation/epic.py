"""EPIC-KITCHENS-100 action detection: mAP at .1:.1:.5 of verbs, nouns and actions (pairs of both), each by itself.

Detections are labelled "verb,noun" with class numbers, as the challenge's `action` key has them; a submission may name
verb and noun apart, so each task has its own `Instances`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Literal

from action_localization.evaluation.detection import DetectionScores, evaluate_detection
from action_localization.evaluation.instances import Instances
from action_localization.evaluation.protocols import PROTOCOLS
from laban.errors import LabanError

Task = Literal["verb", "noun", "action"]
TASKS: tuple[Task, ...] = ("verb", "noun", "action")
NOUNS = 300
"""An action's number is verb * 300 + noun."""


def epic_tasks(pairs: Instances) -> dict[Task, Instances]:
    """The three tasks of intervals labelled "verb,noun" (class numbers); LabanError for another label."""
    numbers = {label: _pair(label) for label in pairs.labels}
    return {
        "verb": pairs.relabelled({label: str(verb) for label, (verb, _) in numbers.items()}),
        "noun": pairs.relabelled({label: str(noun) for label, (_, noun) in numbers.items()}),
        "action": pairs.relabelled({label: str(verb * NOUNS + noun) for label, (verb, noun) in numbers.items()}),
    }


def evaluate_epic(
    truth: Mapping[Task, Instances], detections: Mapping[Task, Instances], *, as_published: bool = False
) -> dict[Task, DetectionScores]:
    """Scores of each task; labels are class numbers as text (see `epic_tasks`).

    Detections of a class without truth are ignored. The published evaluator means that too, but renumbers the classes
    of the truth in a way that leaves such a detection under its old number, which may now be another class's:
    `as_published` repeats this, for comparison with numbers of the challenge.
    """
    return {task: _score(task, truth[task], detections[task], as_published) for task in TASKS}


def _score(task: Task, truth: Instances, detections: Instances, as_published: bool) -> DetectionScores:
    protocol = replace(PROTOCOLS["epic"], name=f"epic {task}")
    if as_published:
        present = sorted({int(truth.labels[i]) for i in set(truth.label.tolist())})
        new = {str(old): str(number) for number, old in enumerate(present)}
        detections = detections.relabelled({label: new.get(label, label) for label in detections.labels})
        truth = truth.keep(truth.label >= 0).relabelled({label: new.get(label, label) for label in truth.labels})
    return evaluate_detection(truth, detections, protocol)


def _pair(label: str) -> tuple[int, int]:
    parts = label.split(",")
    if len(parts) != 2 or not all(part.strip().isascii() and part.strip().isdigit() for part in parts):
        raise LabanError(f"label {label!r} is not VERB,NOUN; accepted: two class numbers such as '0,2'")
    return int(parts[0]), int(parts[1])
