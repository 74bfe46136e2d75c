"""The live stream: what is said and when it takes effect, voices for body parts, endings, scores played live."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch

from laban.errors import LabanError
from laban.timeline import PARTS, Segment, Timeline
from models.body.model import OPEN_BODY, load_body
from models.body.skeleton import JOINT
from models.diffusion.denoiser import DenoiserConfig
from models.representation import primitive
from models.representation.primitive import FUTURE
from motion.navigation.goal_policy import GoalPolicy, GoalPolicyConfig, save_goal_policy
from motion.primitives.choice import AHEAD, FIRST, PACE, PAST, Futures
from motion.primitives.frames import FPS, Frame
from motion.primitives.network import FEATURES, PrimitiveConfig, PrimitiveModel, digest_of, save_primitives
from motion.primitives.orders import Order, parse_order
from motion.primitives.played import PlayedScore, play
from motion.primitives.rollout import Made, State
from motion.primitives.stream import MotionStream, StreamConfig
from motion.primitives.voices import Voice, merged
from motion.prompts import STAND

KNOWN = (("walk", 9), ("wave", 9), ("stand", 9), ("sit down", 9), ("jump", 9), ("run", 9))


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of random weights whose words matter."""
    torch.manual_seed(0)
    config = PrimitiveConfig(
        latent=8, width=32, layers=1, heads=2, hidden=32, steps=50, known=KNOWN,
        denoiser=DenoiserConfig(8, 32, 1, 2, 32, patch=1, slots=(("history", FEATURES),)),
    )  # fmt: skip
    network = PrimitiveModel(config, load_body(OPEN_BODY).joint_template)
    eye = torch.eye(3).expand(1, 1, 22, 3, 3)
    network.stance.copy_(primitive.encode(eye, torch.tensor([[[0.0, 0.93, 0.0]]]), network.rest)[0, 0])
    network.mean.copy_(network.stance)
    network.std.fill_(0.05)
    for layer in (network.vae.out, network.denoiser.out, network.student.out):
        torch.nn.init.normal_(layer.weight, std=0.1)
    folder = tmp_path_factory.mktemp("weights") / "primitives"
    save_primitives(folder, network, "card")
    return folder


def frames(stream: MotionStream, count: int) -> list[Frame]:
    return list(islice(stream, count))


def same(a: list[Frame], b: list[Frame]) -> bool:
    return all(np.array_equal(x.root, y.root) and np.array_equal(x.rotations, y.rotations)
               for x, y in zip(a, b, strict=True))  # fmt: skip


def test_frames_count_and_begin_at_the_origin(weights: Path) -> None:
    made = frames(MotionStream(weights), 20)
    assert [f.index for f in made] == list(range(20))
    assert [f.seconds for f in made] == [i / FPS for i in range(20)]
    assert np.linalg.norm(made[0].root[[0, 2]]) < 0.3
    assert all(np.isfinite(f.rotations).all() and f.text == STAND for f in made)


def test_a_seed_makes_a_stream_repeatable_and_another_changes_it(weights: Path) -> None:
    a, b, c = (frames(MotionStream(weights, text="walk", config=StreamConfig(seed=s)), 24) for s in (3, 3, 4))
    assert same(a, b)
    assert not same(a, c)


@pytest.mark.parametrize("distilled", [False, True])
def test_a_word_takes_effect_at_the_next_primitive_and_not_before(weights: Path, distilled: bool) -> None:
    config = StreamConfig(distilled=distilled)
    changed, unchanged = MotionStream(weights, config=config), MotionStream(weights, config=config)
    assert same(frames(changed, 3), frames(unchanged, 3))  # in the middle of a primitive
    changed.say("run")
    a, b = frames(changed, 2 * FUTURE - 3), frames(unchanged, 2 * FUTURE - 3)
    assert same(a[: FUTURE - 3], b[: FUTURE - 3])
    assert not same(a[FUTURE - 3 :], b[FUTURE - 3 :])
    assert (a[FUTURE - 4].text, a[FUTURE - 3].text) == (STAND, "run")


def test_an_action_that_ends_is_followed_by_idling_in_the_posture_it_leads_to(weights: Path) -> None:
    stream = MotionStream(weights)
    said = stream.say("sit down")
    assert said.seconds is not None
    texts = [f.text for f in frames(stream, int((said.seconds + 2) * FPS))]
    assert texts[0] == "sit down"
    assert "sit" in texts[-1]
    assert texts[-1] != "sit down"
    going = MotionStream(weights, config=StreamConfig(idle=False))
    assert going.say("sit down").seconds is None
    assert {f.text for f in frames(going, 240)} == {"sit down"}


def test_stop_idles_in_the_posture_that_the_body_is_in(weights: Path) -> None:
    stream = MotionStream(weights)
    stream.say("sit down")
    frames(stream, 8)
    stream.say("stop")
    assert "sit" in frames(stream, 1)[0].text
    stream.say("walk")
    stream.say("stop")
    frames(stream, 8)
    assert frames(stream, 1)[0].text == STAND


def test_what_is_said_is_understood_or_doubted(weights: Path) -> None:
    stream = MotionStream(weights)
    assert stream.say("  walk   forward ").text == "walk forward"
    assert stream.say("walk").sure
    assert "walk" in stream.say("walk").leaning
    assert not any(stream.say(text).sure for text in ("qwxz vbnm", "florgle"))
    assert stream.say("stop").leaning == f"rests: {STAND}"
    for bad in ("", "   ", "x" * 301):
        with pytest.raises(LabanError, match="text"):
            stream.say(bad)
    with pytest.raises(LabanError, match="body part"):
        stream.say("wave", parts=["tail"])


def test_a_voice_for_an_arm_leaves_the_rest_alone(weights: Path) -> None:
    alone, waving = (MotionStream(weights, text="walk", config=StreamConfig(guidance=1.0)) for _ in range(2))
    waving.say("wave", parts=["right arm"])
    assert {v.text: set(v.parts) for v in waving.voices} == {
        "walk": set(PARTS) - {"right arm"}, "wave": {"right arm"}}  # fmt: skip
    waving.say("jump")
    assert waving.voices == (replace(waving.voices[0], text="jump", parts=PARTS),)
    del alone


def test_a_line_names_parts_and_places() -> None:
    assert parse_order(" wave  [right arm + head] ") == Order("wave", ("right arm", "head"))
    assert parse_order("walk to 2 -1.5") == Order("walk", (), (2.0, -1.5))
    assert parse_order("go to 0,1") == Order("a person walks forward", (), (0.0, 1.0))
    assert parse_order("walk to the door") == Order("walk to the door")
    for line, told in (("wave [", "found 'wave \\['"), ("wave []", "accepted"), ("wave [tail]", "unknown body part")):
        with pytest.raises(LabanError, match=told):
            parse_order(line)


def test_parts_in_the_text_are_parts(weights: Path) -> None:
    written, given = MotionStream(weights), MotionStream(weights)
    assert written.say("wave [right arm]") == given.say("wave", parts=["right arm"])
    assert same(frames(written, 16), frames(given, 16))


def test_merging_takes_each_part_from_its_voice(weights: Path) -> None:
    rotations = torch.arange(6.0).view(6, 1, 1, 1, 1).expand(6, 8, 22, 3, 3)
    pelvis = torch.arange(6.0).view(6, 1, 1).expand(6, 8, 3)
    voices = (Voice("wave", ("right arm", "head"), None, ""), Voice("walk", ("legs",), None, ""),
              Voice("bend", ("spine", "left arm"), None, ""))  # fmt: skip
    made = merged(Made(rotations, pelvis), voices)
    assert made.rotations.shape == (2, 8, 22, 3, 3)
    for person in range(2):
        value = {name: float(made.rotations[person, 0, JOINT[name], 0, 0]) - 3 * person
                 for name in ("right_elbow", "head", "pelvis", "left_knee", "spine2", "left_wrist")}  # fmt: skip
        assert value == {"right_elbow": 0, "head": 0, "pelvis": 1, "left_knee": 1, "spine2": 2, "left_wrist": 2}
        assert float(made.pelvis[person, 0, 0]) == 3 * person + 1


def test_a_voice_that_is_over_gives_its_parts_back(weights: Path) -> None:
    stream = MotionStream(weights, text="walk")
    said = stream.say("jump", parts=["right arm"])
    assert said.seconds
    frames(stream, int(said.seconds * FPS) + 2 * FUTURE)
    assert [(v.text, set(v.parts)) for v in stream.voices] == [("walk", set(PARTS))]


def test_saying_from_many_threads_never_tears_a_frame(weights: Path) -> None:
    stream = MotionStream(weights)
    errors: list[Exception] = []

    def talk(words: str) -> None:
        try:
            for _ in range(5):
                stream.say(words)
        except Exception as error:  # noqa: BLE001 - any is a failure
            errors.append(error)

    threads = [threading.Thread(target=talk, args=(words,)) for words in ("walk", "run", "wave")]
    for thread in threads:
        thread.start()
    made = frames(stream, 40)
    for thread in threads:
        thread.join()
    assert not errors
    assert [f.index for f in made] == list(range(40))


def test_futures_that_go_farther_are_kept_and_grow_a_little_at_a_time(weights: Path) -> None:
    stream, drawn = MotionStream(weights), []

    def draw(state: State, voices: Sequence[Voice]) -> Made:
        drawn.append(voices[0])
        return stream._drawn(state, voices)

    def farthest(past: Sequence[Made], futures: Sequence[Made], text: str) -> int:
        assert len(past) <= PAST and FIRST <= len(futures) <= AHEAD
        return int(futures[-1].pelvis[:, -1, 2].argmax())

    def way(people: int, count: int = 12) -> tuple[float, list[int]]:
        planner, state, calls = Futures(people, draw, farthest), stream.state, []
        for _ in range(count):
            drawn.clear()
            made = planner.next(state, stream.voices)
            assert made.pelvis.shape == (1, FUTURE, 3)
            state, calls = made.state, [*calls, len(drawn)]
        return float(state.pelvis[0, -1, 2]), calls

    with torch.inference_mode():
        alone, _ = way(1)
        far, calls = way(16)
    assert far > alone
    assert calls[0] == FIRST and max(calls[1:]) == PACE


def test_a_word_and_an_end_discard_what_was_planned(weights: Path) -> None:
    stream = MotionStream(weights, text="walk", config=StreamConfig(candidates=3))
    frames(stream, FUTURE)
    stream.say("run")
    assert frames(stream, 1)[0].text == "run"
    stream.perform([Voice("jump", PARTS, 2, STAND)])
    frames(stream, FUTURE)  # the rest of this primitive, and the next
    texts = [f.text for f in frames(stream, 5 * FUTURE)]
    assert texts.count("jump") == 2 * FUTURE - 1 and texts[-1] == STAND
    assert [stream.primitive()[0].text for _ in range(3)] == [STAND] * 3


def test_a_score_is_played_with_its_tracks_and_its_length(weights: Path) -> None:
    score = Timeline((
        Segment(0, 2, "walk", ("legs", "spine")), Segment(0.5, 1.5, "wave", ("right arm",)), Segment(2, 3.05, "jump"),
    ))  # fmt: skip
    made = list(play(MotionStream(weights), score))
    assert len(made) == round(3.05 * FPS)
    assert {"walk", "wave"} <= set(made[30].text.split(" + "))
    assert made[-1].text == "jump"


def test_tokens_of_different_length_go_together(weights: Path) -> None:
    stream = MotionStream(weights, text="walk")
    stream.say("a person waves with the right hand to somebody far away", parts=["right arm"])
    assert len(frames(stream, FUTURE)) == FUTURE


def test_a_played_score_goes_on_with_its_last_words_and_gives_way_to_what_is_said(weights: Path) -> None:
    score = Timeline((Segment(0, 1, "walk"), Segment(1, 2, "run")))
    played = PlayedScore(MotionStream(weights), score)
    texts = [next(played).text for _ in range(90)]
    assert (texts[5], texts[40], texts[-1]) == ("walk", "run", "run")
    other = PlayedScore(MotionStream(weights), score)
    next(other)
    other.say("jump")
    assert [next(other).index for _ in range(2 * FUTURE)] == list(range(1, 2 * FUTURE + 1))  # none left out
    assert {next(other).text for _ in range(FUTURE)} == {"jump"}


def test_a_goal_leads_until_something_is_said(weights: Path, tmp_path: Path) -> None:
    config = GoalPolicyConfig(digest_of(weights), 32, 1, tokens=2, latent=8, text=384)
    save_goal_policy(tmp_path / "policy", GoalPolicy(config), "card")
    stream, free = MotionStream(weights), MotionStream(weights)
    stream.go(3, 2, gait="walk", policy=tmp_path / "policy")
    made = frames(stream, 4 * FUTURE)
    assert {f.text for f in made} == {"walk"}
    assert not same(made, frames(free, 4 * FUTURE))
    stream.say("jump")
    assert {f.text for f in frames(stream, FUTURE)} == {"jump"}
    x, _, z = stream.state.pelvis[0, -1].tolist()
    stream.go(x, z, gait="walk", policy=tmp_path / "policy")
    assert frames(stream, 2 * FUTURE)[-1].text == STAND  # there already
    for bad in (float("nan"), 1e9):
        with pytest.raises(LabanError, match="goal"):
            stream.go(bad, 0)
    save_goal_policy(tmp_path / "other", GoalPolicy(replace(config, primitives="0" * 64)), "card")
    with pytest.raises(LabanError, match="trained for primitives"):
        stream.go(1, 1, policy=tmp_path / "other")
