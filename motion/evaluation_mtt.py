"""The protocol of MTT (Petrovich et al. 2024) with our judge: motion-to-text retrieval among the file's own texts.

It also serves any score whose intervals do not say which action they ask for. MTT's figures rest on another encoder
(TMR) and on AMASS clips, so they cannot be compared with these; rows of one run can be compared with one another.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from laban.errors import LabanError
from models.representation import joints as joint_features
from models.text.known import KnownActions
from motion import timeline_metrics as measures
from motion.evaluation_timelines import REAL, Measured, Plan, Report, Row, performed_rows, row_of
from motion.judge.judge import Judge
from motion.timeline_cache import Features, TimelineFunction
from motion.timeline_items import Benchmark, Item
from motion.timeline_metrics import Values

Protocol = Literal["corrected", "as-published"]
PROTOCOLS: tuple[Protocol, ...] = get_args(Protocol)
SINGLE = "single"
"""The method that performs a whole timeline as one sentence; MTT measures it in its own way."""
GUO_COLUMNS = 263
"""Columns of HumanML3D's features, which MTT's script takes for the number of frames of a motion."""
CROP, CROPS = 100, 5
"""FID+: 5 s at 20 fps, five of each motion."""
ABOUT = (
    "M2T among the file's {texts} texts by our judge (MTT's own figures use TMR: not comparable); protocol {protocol}; "
    "known: texts for which the nearest known action of checkpoint {checkpoint} is 'near' (cosine of its nearest "
    "caption >= 0.6), {near} of {texts}; other: the rest, which it was never taught"
)


@dataclass(frozen=True)
class Paired:
    """Real clips of the file's texts, one each, for M2M-S, FID+ and the row `real`."""

    texts: tuple[str, ...]
    clips: tuple[Features, ...]


def evaluate_mtt(
    benchmark: Benchmark, judge: Judge, generate: TimelineFunction, plan: Plan, *, known: KnownActions,
    protocol: Protocol = "corrected", paired: Paired | None = None,
    finished: Callable[[Row], None] = lambda row: None,
) -> Report:  # fmt: skip
    """All rows on timelines that do not say which known actions they ask for."""
    if protocol not in PROTOCOLS:
        raise LabanError(f"--protocol {protocol}; accepted: {', '.join(PROTOCOLS)}")
    items, texts = benchmark.items, benchmark.texts
    near = near_texts(texts, known)
    reading = Reading(judge, texts, judge.embed_text(texts), near, protocol, _embedded(paired, texts, judge))
    real: dict[str, list[Measured]] = {} if paired is None else {REAL: [real_values(paired, reading)]}
    rows = [row_of(name, values, real) for name, values in real.items()]
    for row in rows:
        finished(row)
    rows += performed_rows(
        items, generate, plan, real, finished,
        lambda motions, source: mtt_values(items, motions, reading, single=source.method == SINGLE),
    )  # fmt: skip
    about = ABOUT.format(texts=len(texts), protocol=protocol, checkpoint=plan.rows[0][1], near=len(near))
    notes = [f"chance: R@1 {1 / len(texts):.3f}, R@3 {min(1, 3 / len(texts)):.3f}",
             f"other texts: {', '.join(text for text in texts if text not in near) or 'none'}"]  # fmt: skip
    if paired is None:
        notes.append("no M2M-S, FID+ and real row: they need the AMASS clips that MTT pairs with its texts (--paired)")
    count = sum(len(item.intervals) for item in items)
    return Report(f"mtt {protocol}", str(judge.config["sha256"]), benchmark.name, about, len(items), count,
                  plan.repeats, dict(plan.settings or {}), tuple(rows), tuple(notes))  # fmt: skip


def near_texts(texts: Sequence[str], known: KnownActions) -> frozenset[str]:
    """The texts that a checkpoint knows: the known action that fits best has a caption with a cosine of 0.6 or more."""
    return frozenset(text for text in texts if known.leaning(text).nearness == "near")


@dataclass(frozen=True)
class Reading:
    """What every row is read with."""

    judge: Judge
    texts: tuple[str, ...]
    text: Float[ndarray, "texts dim"]
    near: frozenset[str]
    protocol: Protocol
    clips: Float[ndarray, "texts dim"] | None = None
    """The judge's embedding of each text's own real clip."""


def _embedded(paired: Paired | None, texts: Sequence[str], judge: Judge) -> Float[ndarray, "texts dim"] | None:
    if paired is None:
        return None
    if missing := [text for text in texts if text not in paired.texts]:
        raise LabanError(f"--paired: no clip for {missing[0]!r} (and {len(missing) - 1} more); accepted: one each")
    return judge.embed_motion([paired.clips[paired.texts.index(text)] for text in texts])


def mtt_values(items: Sequence[Item], motions: Sequence[Features], reading: Reading, *, single: bool) -> Measured:
    """What MTT measures on generated motions, one for each timeline."""
    published = reading.protocol == "as-published"
    crops, jumps, owners = [], list[ndarray](), list[int]()
    for number, (item, rows) in enumerate(zip(items, motions, strict=True)):
        whole = published and single
        spans = [(0, GUO_COLUMNS) if whole else item.span(interval) for interval in item.intervals]
        crops += [rows[first:last] for first, last in spans]
        joints = joint_features.decode(rows.astype(np.float64))
        frames = measures.quarters(len(rows)) if whole else seam_frames(item, len(rows), reading.protocol)
        measure = measures.transition_as_published if published else measures.transition_distance
        jumps.append(measure(joints, frames))
        owners += [number] * len(frames)
    wanted = [interval.text for item in items for interval in item.intervals]
    whose = np.repeat(np.arange(len(items)), [len(item.intervals) for item in items])
    found = retrieval(reading.judge.embed_motion(crops), wanted, whose, reading)
    found["transition cm"] = Values(np.concatenate(jumps), np.array(owners, np.int64))
    if reading.clips is not None:
        found |= realism(motions, reading)
    return found


def seam_frames(item: Item, frames: int, protocol: Protocol) -> list[int]:
    """Boundaries at which transitions are measured, by the script's rule or by what it says it does."""
    inside = [frame for frame in item.seams() if frame < frames]
    if protocol == "corrected":
        return inside
    edges = [edge for interval in item.intervals for edge in item.span(interval)]
    return [frame for frame in measures.seams_as_published(edges, frames) if frame > 0]


def retrieval(motion: Float[ndarray, "crops dim"], wanted: Sequence[str], whose: ndarray, reading: Reading) -> Measured:
    """M2T R@1, R@3 and M2T-S of crops against all texts, for all, known and other texts; M2M-S with real clips."""
    place = {text: i for i, text in enumerate(reading.texts)}
    column = np.array([place[text] for text in wanted])
    rows, similarity = np.arange(len(motion)), motion @ reading.text.T
    own = similarity[rows, column]
    rank = (similarity > own[:, None]).sum(1)
    table = {"M2T R@1": (rank < 1).astype(np.float64), "M2T R@3": (rank < 3).astype(np.float64),
             "M2T-S": (own.astype(np.float64) + 1) / 2}  # fmt: skip
    if reading.clips is not None:
        table["M2M-S"] = ((motion @ reading.clips.T)[rows, column].astype(np.float64) + 1) / 2
    near = np.array([text in reading.near for text in wanted])
    labels = np.array(wanted)
    found = {name: Values(values, whose, labels) for name, values in table.items()}
    for part, mask in (("known", near), ("other", ~near)):
        found |= {f"{name}, {part}": found[name].where(mask) for name in table}
    return found


def realism(motions: Sequence[Features], reading: Reading) -> Measured:
    """FID+: Frechet distance between embeddings of five 5 s crops of each motion and those of the texts' real clips.

    As published, crops start anywhere in the first 163 frames whatever the motion's length, and run out at its end.
    """
    assert reading.clips is not None
    crops = []
    for rows in motions:
        length = GUO_COLUMNS if reading.protocol == "as-published" else max(len(rows), CROP + 1)
        starts = np.random.RandomState(0).randint(0, length - CROP, CROPS)  # the script's own draw, the same for all
        crops += [crop for start in starts if len(crop := rows[start : start + CROP]) >= 4]
    distance = frechet(reading.judge.embed_motion(crops), reading.clips)
    return {"FID+": Values(np.array([distance]), np.zeros(1, np.int64))}


def frechet(one: Float[ndarray, "n dim"], other: Float[ndarray, "m dim"]) -> float:
    """Frechet distance of two Gaussians fitted to rows: |m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2))."""
    a, b = one.astype(np.float64), other.astype(np.float64)
    c1, c2 = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    values, vectors = np.linalg.eigh(c1)
    root = (vectors * np.sqrt(values.clip(0))) @ vectors.T
    cross = np.sqrt(np.linalg.eigvalsh(root @ c2 @ root).clip(0)).sum()
    return float(np.square(a.mean(0) - b.mean(0)).sum() + np.trace(c1) + np.trace(c2) - 2 * cross)


def real_values(paired: Paired, reading: Reading) -> Measured:
    """The row `real`: each text's own clip; transitions where nothing changes, at its quarters."""
    clips = [paired.clips[paired.texts.index(text)] for text in reading.texts]
    whose = np.arange(len(clips))
    found = retrieval(reading.judge.embed_motion(clips), reading.texts, whose, reading)
    jumps = [measures.transition_distance(joint_features.decode(rows.astype(np.float64)), measures.quarters(len(rows)))
             for rows in clips]  # fmt: skip
    found["transition cm"] = Values(np.concatenate(jumps), np.repeat(whose, 3))
    return found


def paired_clips(entries: Mapping[str, Features]) -> Paired:
    """Pairs of text and joint features."""
    return Paired(tuple(entries), tuple(entries.values()))
