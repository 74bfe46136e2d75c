"""Scores to motion: staging on the grid, owners of body parts, weights of windows, and whole performances."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from laban.errors import LabanError
from laban.timeline import PARTS, Segment, Timeline
from models.body.model import load_body
from models.diffusion.denoiser import DenoiserConfig
from models.representation import rifke
from motion.compose import AS_PUBLISHED, Control, generate_timelines, isolated
from motion.generate import FPS, GenerateConfig, generate
from motion.generator import Generator, GeneratorConfig, save_generator
from motion.prompts import STAND, Prompt, owners, stage
from motion.windows import METHODS, Limits, method_named, pieces, retold

SMALL = DenoiserConfig(rifke.LAYOUT.features, width=32, layers=2, heads=2, hidden=64)
QUICK = GenerateConfig(steps=3, guidance=1.5, candidates=1, cleanup=False)
LIMITS = Limits(5, 0, 200, 30)
ARM, LEGS = ("right arm",), ("legs",)


def whole(texts):
    return [PARTS for _ in texts]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """A checkpoint folder with random weights whose poses are near the T-pose."""
    torch.manual_seed(0)
    network = Generator(GeneratorConfig(SMALL, known=(("walk", 3), ("wave", 2))), load_body().joint_template)
    torch.nn.init.normal_(network.denoiser.out.weight, std=0.1)
    network.mean[4:136] = torch.eye(3)[:, :2].T.flatten().repeat(22)
    network.std.fill_(0.05)
    folder = tmp_path_factory.mktemp("weights") / "small"
    save_generator(folder, network, "# small\n")
    return folder


def segments(*rows):
    return Timeline(tuple(Segment(start, end, text, parts) for text, start, end, parts in rows))


@st.composite
def scores(draw):
    rows = []
    for _ in range(draw(st.integers(1, 7))):
        start = draw(st.integers(0, 400)) / 20
        length = draw(st.integers(5, 260)) / 20
        rows.append((draw(st.sampled_from(("walk", "wave", "sit down"))), start, start + length, ()))
    return segments(*rows)


@settings(max_examples=60, deadline=None)
@given(scores(), st.sampled_from(METHODS), st.integers(0, 20), st.sampled_from((0, 40)), st.data())
def test_the_weights_of_all_windows_sum_to_one_everywhere(score, method, half, least, data) -> None:
    named = data.draw(st.lists(st.sampled_from(((), ARM, LEGS, ("head", "spine"), PARTS)), min_size=7, max_size=7))
    staged = retold(stage(score, FPS, lambda texts: [named[i] or PARTS for i in range(len(texts))]), method)
    total = torch.zeros(staged.frames, rifke.LAYOUT.features)
    for piece in pieces(staged, method, Limits(half, least, 200, 30)):
        assert 0 < piece.stop - piece.start <= 200 and piece.start >= 0 and piece.stop <= staged.frames
        assert piece.stop - piece.start >= min(least, staged.frames)
        total[piece.start : piece.stop] += piece.weight
    torch.testing.assert_close(total, torch.ones_like(total), atol=1e-5, rtol=0)


@pytest.mark.parametrize("method", METHODS)
def test_windows_over_a_gap_without_overlap_sum_to_one(method) -> None:
    staged = retold(stage(segments(("walk", 0.0, 0.25, ()), ("walk", 0.3, 0.55, ())), FPS, whole), method)
    total = torch.zeros(staged.frames, rifke.LAYOUT.features)
    for piece in pieces(staged, method, Limits(0, 0, 200, 30)):
        total[piece.start : piece.stop] += piece.weight
    torch.testing.assert_close(total, torch.ones_like(total), atol=1e-5, rtol=0)


@settings(max_examples=60, deadline=None)
@given(scores())
def test_every_part_has_an_owner_at_every_frame(score) -> None:
    staged = stage(score, FPS, whole)
    for track in staged.tracks.values():
        assert track[0].start == 0 and track[-1].stop == staged.frames
        assert all(a.stop == b.start for a, b in zip(track, track[1:], strict=False))
        assert all(staged.prompts[t.prompt].start <= t.start and t.stop <= staged.prompts[t.prompt].stop for t in track)


def test_the_most_specific_prompt_owns_its_parts_and_the_base_the_rest() -> None:
    walk, wave, both = Prompt("walk", 0, 9, LEGS), Prompt("wave", 0, 9, ARM), Prompt("cheer", 0, 9, (*ARM, "left arm"))
    owned = owners([(0, wave), (1, both), (2, walk)])
    assert owned == {"legs": 2, "spine": 2, "head": 2, "right arm": 0, "left arm": 1}
    assert set(owners([(0, wave)]).values()) == {0}  # alone it moves the whole body
    assert owners([(0, wave), (1, both)]) == dict.fromkeys(PARTS, 1) | {"right arm": 0}
    later = owners([(0, Prompt("walk", 0, 9, LEGS)), (1, Prompt("kick", 3, 9, LEGS))])
    assert later["legs"] == 1 and later["spine"] == 0


def test_a_long_gap_is_idled_in_the_posture_before_and_a_short_one_is_bridged() -> None:
    score = segments(("sit down on a chair", 0, 2, PARTS), ("stand up", 5, 7, PARTS), ("walk", 7.6, 9, PARTS))
    staged = stage(replace(score, duration=12.0), FPS, whole)
    texts = [staged.prompts[t.prompt].text for t in staged.tracks["legs"]]
    assert texts == ["sit down on a chair", "a person sits still", "stand up", "walk", STAND]
    assert [t.start for t in staged.tracks["legs"]] == [0, 40, 100, 146, 180] and staged.bridges == {146: 6}
    weights = [(p.start, p.stop) for p in pieces(staged, "stmc", LIMITS) if p.prompt is None]
    assert (135, 157) in weights  # the seam over the gap is as much longer
    early = stage(segments(("walk", 0.5, 3, PARTS)), FPS, whole)
    assert early.tracks["legs"][0].prompt == 0 and early.frames == 60


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        ([], "empty"),
        ([("walk", 0, 0.1, ())], "lasts 0.10 s; accepted: at least 0.25"),
        ([("wave", 0, 3, ARM), ("punch", 2, 4, ("right arm", "spine"))], "both claim right arm on one track"),
        ([("walk", 0, 700, ())], "up to 600"),
        ([("walk", k / 10, k / 10 + 1, ()) for k in range(4001)], "accepted: at most 4000"),
    ],
)
def test_a_score_that_cannot_be_performed_is_refused(checkpoint, rows, says) -> None:
    with pytest.raises(LabanError, match=says):
        generate_timelines([segments(*rows)], checkpoint=checkpoint, config=QUICK, parts_of=whole)


def test_two_people_and_bad_settings_are_refused(checkpoint) -> None:
    pair = Timeline((Segment(0, 2, "walk", actor=1),))
    with pytest.raises(LabanError, match="person 2; accepted: one person"):
        generate_timelines([pair], checkpoint=checkpoint, config=QUICK)
    with pytest.raises(LabanError, match="accepted: stmc"):
        method_named("best")
    with pytest.raises(LabanError, match="--overlap 9"):
        Control(overlap=9)
    tracks = Timeline((Segment(0, 2, "walk", ARM), Segment(0, 2, "wave", ARM, track=1)))
    assert stage(tracks, FPS, whole).tracks["right arm"][0].prompt == 1  # another track may take it over


@pytest.mark.parametrize("method", METHODS)
def test_a_performance_lasts_as_long_as_its_score_and_depends_on_its_seed_alone(checkpoint, method) -> None:
    first = segments(("walk", 0, 3, ()), ("wave", 1, 2, ARM), ("sit down", 3, 5.5, ()))
    second = segments(("walk backward", 0, 4, ()))
    both = generate_timelines([second, first], checkpoint=checkpoint, config=QUICK, control=Control(method))
    alone = generate_timelines([first], checkpoint=checkpoint, config=replace(QUICK, seed=1), control=Control(method))
    assert [m.frames for m in both] == [80, 110] and both[0].fps == FPS
    np.testing.assert_allclose(alone[0].rotations, both[1].rotations, atol=0.05)
    assert np.abs(both[1].rotations[0, 1:, 16] - both[1].rotations[0, :-1, 16]).max() < 0.5  # no jump at a seam


def test_one_prompt_is_plain_generation(checkpoint) -> None:
    score = segments(("a person walks", 0, 3, ()))
    plain = generate(["a person walks"], 3.0, checkpoint=checkpoint, config=QUICK)[0]
    for control in (Control(), AS_PUBLISHED, Control("single"), Control("diffcollage")):
        motion = generate_timelines([score], checkpoint=checkpoint, config=QUICK, control=control)[0]
        np.testing.assert_allclose(motion.rotations, plain.rotations, atol=0.02)


def test_failed_prompts_are_drawn_again_in_place_and_the_rest_stays(checkpoint) -> None:
    score = segments(("a person walks", 0, 4, ()), ("a person cheers", 4, 8, ()), ("a person walks", 8, 12, ()))
    once = generate_timelines([score], checkpoint=checkpoint, config=QUICK)[0]
    again = generate_timelines([score], checkpoint=checkpoint, config=replace(QUICK, candidates=3))[0]
    gap = np.abs(once.rotations - again.rotations)[0].max((1, 2, 3))
    assert gap.max() > 0.05 and again.frames == once.frames
    same = generate_timelines([score], checkpoint=checkpoint, config=replace(QUICK, candidates=3))[0]
    np.testing.assert_array_equal(same.rotations, again.rotations)


def test_a_part_by_itself_is_shown_on_a_standing_body(checkpoint) -> None:
    network = Generator(GeneratorConfig(SMALL), load_body().joint_template)
    features, weight = torch.randn(20, 205), torch.zeros(20, 205)
    arm = list(rifke.LAYOUT.parts["right arm"])
    weight[:, arm] = 1
    shown = isolated(features, weight, network)
    torch.testing.assert_close(shown[:, arm], features[:, arm])
    legs = shown[:, list(rifke.LAYOUT.parts["legs"])]
    assert torch.equal(legs, legs[:1].expand_as(legs)) and float(legs[0, 0]) > 0.7  # upright, and still
    assert torch.equal(isolated(features, torch.ones(20, 205), network), features)


def test_hundreds_of_intervals_are_performed(checkpoint) -> None:
    score = segments(*(("walk", k / 2, (k + 1) / 2, ()) for k in range(300)))
    motion = generate_timelines([score], checkpoint=checkpoint, config=replace(QUICK, steps=1), control=AS_PUBLISHED)[0]
    assert motion.frames == 3000 and np.isfinite(motion.rotations).all()
