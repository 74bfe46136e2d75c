"""Soft-NMS and voting against plain loops, and the invariants that hold whatever the numbers."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from action_localization.spine.nms import Candidates, SoftNMS, interval_iou, suppress, vote

METHODS = ("gaussian", "linear", "hard")


def iou(a0: float, a1: float, b0: float, b1: float) -> float:
    both = max(0.0, min(a1, b1) - max(a0, b0))
    return both / ((a1 - a0) + (b1 - b0) - both)


def reference(items: list[tuple[float, float, float, int]], config: SoftNMS, span: float) -> list[tuple]:
    """The algorithm as it is written down: no class knows of another, the best goes, the others are lowered."""
    result = []
    for label in sorted({item[3] for item in items}) if config.per_class else [None]:
        rest = [list(item) for item in items if label is None or item[3] == label]
        while rest:
            best = max(rest, key=lambda item: item[2])
            if best[2] < config.min_score:
                break
            rest.remove(best)
            result.append(tuple(best))
            bar = config.overlap + config.widen * (best[1] - best[0]) / span
            for item in rest:
                value = iou(best[0], best[1], item[0], item[1])
                if value <= bar:
                    continue
                if config.method == "gaussian":
                    item[2] *= math.exp(-(value**2) / config.sigma)
                else:
                    item[2] *= 1 - value if config.method == "linear" else 0.0
    return sorted(result, key=lambda item: -item[2])[: config.keep]


def random_candidates(seed: int, count: int, classes: int, *, skew: float = 0.0) -> Candidates:
    rng = np.random.default_rng(seed)
    start = rng.uniform(0, 100, count)
    chance = np.arange(1, classes + 1) ** -skew
    label = rng.choice(classes, count, p=chance / chance.sum())
    return Candidates(start, start + rng.gamma(2, 5, count) + 0.01, rng.beta(1, 6, count), label)


def rows(c: Candidates) -> list[tuple[float, float, float, int]]:
    return list(zip(c.start.tolist(), c.end.tolist(), c.score.tolist(), c.label.tolist(), strict=True))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("per_class", [True, False])
@pytest.mark.parametrize(("overlap", "widen", "keep"), [(0.0, 0.0, 1000), (0.3, 0.0, 40), (0.2, 0.5, 7)])
def test_equals_the_plain_loop(method, per_class, overlap, widen, keep) -> None:
    config = SoftNMS(method, overlap=overlap, widen=widen, keep=keep, per_class=per_class, min_score=0.01)
    for seed, skew in ((0, 0.0), (1, 2.0)):
        given_ = random_candidates(seed, 150, 7, skew=skew)
        found, wanted = suppress(given_, config, span=100.0), reference(rows(given_), config, 100.0)
        assert np.allclose(np.array(rows(found)), np.array(wanted), atol=1e-12)


@given(st.integers(0, 10_000), st.integers(0, 60), st.integers(1, 5), st.integers(1, 70), st.sampled_from(METHODS))
def test_equals_the_plain_loop_on_anything(seed, count, classes, keep, method) -> None:
    config, found = SoftNMS(method, keep=keep, min_score=0.05), random_candidates(seed, count, classes)
    wanted = reference(rows(found), config, 1.0)
    result = rows(suppress(found, config))
    assert len(result) == len(wanted)
    assert np.allclose(np.array(result).reshape(-1, 4), np.array(wanted).reshape(-1, 4), atol=1e-12)


def test_many_rounds_leave_out_what_cannot_matter() -> None:
    many = random_candidates(3, 600, 2, skew=3.0)
    config = SoftNMS(sigma=0.5, keep=25)
    assert np.allclose(np.array(rows(suppress(many, config))), np.array(reference(rows(many), config, 1.0)))


def test_classes_do_not_touch_one_another_unless_asked_to() -> None:
    twins = Candidates(np.zeros(2), np.ones(2), np.array([0.9, 0.8]), np.array([0, 1]))
    assert suppress(twins, SoftNMS("hard")).score.tolist() == [0.9, 0.8]
    assert suppress(twins, SoftNMS("hard", per_class=False)).score.tolist() == [0.9]


def test_scores_fall_and_no_candidate_comes_twice() -> None:
    found = suppress(random_candidates(5, 200, 3), SoftNMS(keep=200))
    assert (np.diff(found.score) <= 0).all()
    assert len({(a, b) for a, b, _, _ in rows(found)}) == len(found)


def test_equal_scores_come_in_the_order_given() -> None:
    same = Candidates(np.arange(4.0) * 10, np.arange(4.0) * 10 + 1, np.full(4, 0.5), np.zeros(4, int))
    assert suppress(same, SoftNMS()).start.tolist() == [0, 10, 20, 30]


@pytest.mark.parametrize("method", ["hard", "linear", "gaussian"])
def test_what_has_no_score_left_is_gone_even_without_a_least_score(method) -> None:
    same = np.array([0.0, 0.0, 5.0]), np.array([4.0, 4.0, 9.0])
    given = Candidates(*same, np.array([0.9, 0.8, 0.0]), np.zeros(3, np.int64))
    kept = suppress(given, SoftNMS(method=method, min_score=0.0, overlap=0.3))
    assert kept.start.tolist() == ([0.0] if method != "gaussian" else [0.0, 0.0])
    assert (kept.score > 0).all()


def test_nothing_in_nothing_out() -> None:
    empty = Candidates(np.empty(0), np.empty(0), np.empty(0), np.empty(0, int))
    for config in (SoftNMS(), SoftNMS(voting=0.9, per_class=False), SoftNMS("hard")):
        assert len(suppress(empty, config)) == 0


def test_scores_and_times_given_are_left_alone() -> None:
    given_ = random_candidates(9, 50, 2)
    before = rows(given_)
    suppress(given_, SoftNMS(voting=0.5))
    assert rows(given_) == before


@pytest.mark.parametrize("per_class", [True, False])
def test_voting_is_a_weighted_mean_and_keeps_the_count(per_class) -> None:
    all_of_them = random_candidates(2, 120, 3)
    kept = suppress(all_of_them, SoftNMS(keep=30, per_class=per_class))
    voted = vote(kept, all_of_them, 0.6, per_class=per_class)
    assert len(voted) == len(kept)
    moved = 0
    for (start, end, _, label), now in zip(rows(kept), rows(voted), strict=True):
        heard = [c for c in rows(all_of_them) if (not per_class or c[3] == label) and iou(start, end, *c[:2]) >= 0.6]
        total = sum(c[2] for c in heard)
        assert now[0] == pytest.approx(sum(c[0] * c[2] for c in heard) / total)
        assert now[1] == pytest.approx(sum(c[1] * c[2] for c in heard) / total)
        moved += len(heard) > 1
    assert moved > 5


def test_voting_holds_for_per_class_suppression_too() -> None:
    start, score = np.array([0.0, 0.2]), np.array([0.9, 0.3])
    pair = Candidates(start, np.array([10.0, 10.0]), score, np.zeros(2, int))
    found = suppress(pair, SoftNMS(voting=0.9))
    assert found.start[0] == pytest.approx(0.2 * 0.3 / 1.2)
    assert suppress(pair, replace(SoftNMS(), voting=0.0)).start[0] == 0.0


def test_iou_of_every_pair() -> None:
    one, other = random_candidates(0, 9, 1), random_candidates(1, 5, 1)
    table = interval_iou(one.start, one.end, other.start, other.end)
    wanted = [[iou(*a[:2], *b[:2]) for b in rows(other)] for a in rows(one)]
    assert np.allclose(table, wanted)
