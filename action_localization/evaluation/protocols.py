"""Evaluation protocols by name, so that nobody edits thresholds: `PROTOCOLS["thumos14"]`."""

from __future__ import annotations

from dataclasses import dataclass
from difflib import get_close_matches
from typing import Literal

import numpy as np

from laban.errors import LabanError

THUMOS14_OFTEN_LEFT_OUT = ("video_test_0000270", "video_test_0001292", "video_test_0001496")
"""Test videos with wrong annotation that many papers leave out; no preset does so unasked."""

AMBIGUOUS = "Ambiguous"
"""The label of intervals that are neither right nor wrong (THUMOS14)."""


@dataclass(frozen=True)
class Protocol:
    """How detections are scored.

    `tious` are the thresholds. `rule` is `activitynet` (each detection takes the best free truth, interpolated AP) or
    `thumos-kit` (each truth takes the best free detection, strictly above the threshold; unmatched detections that
    touch an ambiguous interval do not count; AP without interpolation; Jiang et al. 2014). `merge` drops truths of no
    length and repeated truths whose ends differ by no more seconds than that, as OpenTAD does; None keeps everything,
    as the official evaluators do. `without` names videos that are left out.
    """

    name: str
    tious: tuple[float, ...]
    rule: Literal["activitynet", "thumos-kit"] = "activitynet"
    merge: float | None = None
    without: tuple[str, ...] = ()
    about: str = ""


def _range(low: float, high: float, count: int) -> tuple[float, ...]:
    """The thresholds that official code gets from `np.linspace`, equal to the last bit."""
    return tuple(float(value) for value in np.linspace(low, high, count))


_STRICT, _THUMOS = _range(0.5, 0.95, 10), _range(0.3, 0.7, 5)
_EGO, _DENSE = _range(0.1, 0.5, 5), _range(0.1, 0.9, 9)

PROTOCOLS = {
    protocol.name: protocol
    for protocol in (
        Protocol("activitynet", _STRICT, about="ActivityNet 1.3, mAP .5:.05:.95 (official evaluator)"),
        Protocol("hacs", _STRICT, about="HACS Segments, mAP .5:.05:.95"),
        Protocol("fineaction", _STRICT, about="FineAction, mAP .5:.05:.95"),
        Protocol("thumos14", _THUMOS, about="THUMOS14, mAP .3:.1:.7 by the ActivityNet rule, as papers since 2017"),
        Protocol("thumos14-opentad", _THUMOS, merge=1e-3, about="the same without repeated and empty truths (OpenTAD)"),
        Protocol("thumos14-kit", _range(0.1, 0.7, 7), "thumos-kit", about="THUMOS14 evaluation kit of 2015-09-30"),
        Protocol("multithumos", _DENSE, about="MultiTHUMOS, mAP .1:.1:.9"),
        Protocol("charades", _DENSE, about="Charades, mAP .1:.1:.9"),
        Protocol("muses", _THUMOS, about="MUSES, mAP .3:.1:.7"),
        Protocol("epic", _EGO, about="EPIC-KITCHENS-100, mAP .1:.1:.5, of verbs, nouns and actions each"),
        Protocol("ego4d-mq", _EGO, about="Ego4D moment queries, mAP .1:.1:.5; recall in `retrieval`"),
        Protocol("gtea", _range(0.1, 0.7, 7), about="GTEA and BEOID, mAP .1:.1:.7 (weak supervision)"),
        Protocol("egtea", _EGO, about="EGTEA Gaze+, mAP .1:.1:.5"),
    )
}


def protocol_named(name: str) -> Protocol:
    """The preset of a name; LabanError that lists them for an unknown one."""
    if name in PROTOCOLS:
        return PROTOCOLS[name]
    near = get_close_matches(name, PROTOCOLS, n=1)
    hint = f" (did you mean {near[0]!r}?)" if near else ""
    raise LabanError(f"unknown protocol {name!r}{hint}; accepted: {', '.join(PROTOCOLS)}")
