"""How streams are measured: the rule of windows, rest, reaction, feet and freezing, on motions with known answers."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from laban.errors import LabanError
from models.body.model import load_body
from models.data.dataset import ClipRecord, MotionDataset
from models.diffusion.denoiser import Condition, DenoiserConfig
from models.motion_text.examples import Example
from models.motion_text.network import Sizes
from models.representation import joints as joint_features
from models.representation import primitive
from motion import evaluation_stream as evaluation
from motion import stream_metrics as measures
from motion.evaluation_stream import Seen, cut, is_right, places, real_windows, recognition, references, row_of, seen
from motion.judge.judge import Judge
from motion.judge.network import JudgeNetwork
from motion.primitives.network import FEATURES, PrimitiveConfig, PrimitiveModel
from motion.primitives.rollout import Sampling
from motion.stream_prompts import Rest, StreamPrompt, StreamPrompts, read_stream_prompts
from motion.stream_reaction import Reaction, measure_reaction, summary
from motion.stream_roll import Rolled, mended, resident, roll, rolled
from motion.stream_speed import Speed, measure_speed
from motion.timeline_real import RealClips
from tests.streaming_walk import Walker

ROOT = Path(__file__).parents[1]
FILES = {name: ROOT / "benchmarks" / f"{name}.json" for name in ("stream_prompts", "stream_prompts_dev")}
TEMPLATE = load_body().joint_template[:22].numpy().astype(np.float64)
STANDING = TEMPLATE - TEMPLATE.min(0) * np.array([0.0, 1.0, 0.0])
for side, joints in ((1, (18, 20)), (-1, (19, 21))):  # the arms hang down
    for level, joint in enumerate(joints, 1):
        STANDING[joint] = STANDING[15 + (3 - side) // 2] - np.array([0.0, 0.26 * level, 0.0])
ACTIONS = ("stand", "walk", "wave", "turn", "sit", "bow")
REST = {"stand": Rest(("stand",), (0.75, 1.2), (1.2, 2.0)), "chair": Rest(("sit",), (0.4, 0.75), (0.9, 1.4))}
WALK = StreamPrompt(0.0, "walk", ("walk",), False, (), "stand")
BOW = StreamPrompt(10.0, "bow", ("bow",), True, (), "stand")
STOP = StreamPrompt(20.0, "stand", ("stand",), False, (), "stand")
STARTS = {"goes on": (1.0, 4.0, 7.0), "ends": (0.5, 3.5, 6.5)}
PROMPTS = StreamPrompts("tiny", "", "", 10.0, 3.0, STARTS, 0.2, REST, (WALK, BOW, STOP))


def body(frames: int, *, speed: float = 0.0, fps: float = 30.0, down: float = 0.0) -> np.ndarray:
    """The rest pose that glides forward, lowered."""
    joints = np.repeat(STANDING[None], frames, 0) - np.array([0.0, down, 0.0])
    joints[..., 2] += (np.arange(frames) * speed / fps)[:, None]
    return joints


class Oracle(Judge):
    """A judge that knows what these tests draw: who moves over the floor walks, who does not stands."""

    def classify(self, motions, *, batch: int = 32):
        """By the mean planar speed, columns 1 and 2."""
        goes = np.array([np.linalg.norm(np.asarray(m)[:, 1:3], axis=1).mean() > 0.4 for m in motions])
        rows = np.full((len(goes), len(ACTIONS)), 0.01)
        rows[np.arange(len(goes)), goes.astype(int)] = 0.9
        return rows


@pytest.fixture(scope="module")
def oracle() -> Oracle:
    network = JudgeNetwork(Sizes(actions=len(ACTIONS), width=32, layers=2, heads=2, embedding=32)).eval()
    return Oracle(network, None, ACTIONS, {"sha256": "0" * 64})  # type: ignore[arg-type]


def example(action: str, joints: np.ndarray, split: str, name: str = "a") -> Example:
    """A clip at 20 fps."""
    record = ClipRecord(name, "made", action, action, (action,), "CC0", split)
    return Example(record, action, action, (action,), (action,), torch.from_numpy(joint_features.encode(joints)))


# ----------------------------------------------------------------------------------------------------------- prompts


@pytest.mark.parametrize(("name", "count", "actions"), [("stream_prompts", 60, 20), ("stream_prompts_dev", 20, 14)])
def test_the_committed_prompts_are_what_they_promise(name: str, count: int, actions: int) -> None:
    prompts = read_stream_prompts(FILES[name])
    share = Counter(prompt.action for prompt in prompts.prompts)
    assert len(prompts.prompts) == count
    assert prompts.duration == 10 * count
    assert len(share) >= actions
    assert max(share.values()) <= 0.15 * count
    known = set(json.loads((ROOT / "checkpoints" / "judge" / "config.json").read_text())["actions"])
    named = {a for p in prompts.prompts for a in (*p.right, *p.after)} | {
        a for r in prompts.rest.values() for a in r.actions
    }
    assert named <= known
    assert all(a.action != b.action for a, b in zip(prompts.prompts, prompts.prompts[1:], strict=False))
    assert all(len(prompts.windows(prompt)) == 3 for prompt in prompts.prompts)
    assert all(b <= prompts.seconds for prompt in prompts.prompts for _, b in prompts.windows(prompt))


def test_nobody_is_asked_what_a_body_cannot_do() -> None:
    """Who sits or lies is told to get up next, and nobody stands up who was standing."""
    for path in FILES.values():
        posture = "stand"
        for prompt in read_stream_prompts(path).prompts:
            assert (prompt.action in ("stand up", "get up")) == (posture != "stand"), prompt
            posture = prompt.posture


def test_no_wording_is_in_both_files() -> None:
    one, other = ({p.text for p in read_stream_prompts(path).prompts} for path in FILES.values())
    assert not one & other


@pytest.mark.parametrize(
    ("change", "said"),
    [({"format": "x"}, "is x version 1"), ({"prompts": []}, "holds no prompts"), ({"seconds": 9.0}, "starts at 10 s"),
     ({"starts": {}}, "is damaged"), ({"prompts": [{"text": "walk"}]}, "is damaged"), ({"rest": {}}, "in posture")],
)  # fmt: skip
def test_a_damaged_file_is_named(tmp_path: Path, change: dict[str, object], said: str) -> None:
    path = tmp_path / "prompts.json"
    path.write_text(json.dumps(json.loads(FILES["stream_prompts_dev"].read_text()) | change))
    with pytest.raises(LabanError, match=said):
        read_stream_prompts(path)


def test_a_missing_or_broken_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(LabanError, match="no such file"):
        read_stream_prompts(tmp_path / "none.json")
    (tmp_path / "cut.json").write_text('{"format": ')
    with pytest.raises(LabanError, match="is damaged"):
        read_stream_prompts(tmp_path / "cut.json")


# ---------------------------------------------------------------------------------------------------------- the rule


def test_what_counts_as_right() -> None:
    assert is_right(WALK, 0, "walk", resting=False)
    assert not is_right(WALK, 1, "stand", resting=True)  # what goes on may not rest
    assert is_right(BOW, 0, "bow", resting=False)
    assert not is_right(BOW, 0, "stand", resting=True)  # the action has to be seen first
    assert is_right(BOW, 1, "stand", resting=True)
    assert is_right(BOW, 2, "bow", resting=False)
    assert not is_right(BOW, 2, "walk", resting=False)
    turn = replace(BOW, right=("turn",), after=("walk",))
    assert not is_right(turn, 0, "walk", resting=False)
    assert is_right(turn, 1, "walk", resting=False)
    assert is_right(STOP, 0, "nod", resting=True)


def test_rest_is_in_the_posture_reached() -> None:
    chair = REST["chair"]
    assert measures.at_rest(body(60), 20, REST["stand"], 0.2)
    assert not measures.at_rest(body(60), 20, chair, 0.2)
    assert measures.at_rest(body(60, down=0.35), 20, chair, 0.2)
    assert not measures.at_rest(body(60, speed=0.3, fps=20), 20, REST["stand"], 0.2)
    wave = body(60)
    wave[:, 20, 1] += 0.2 * np.sin(np.arange(60))  # one hand alone
    assert not measures.at_rest(wave, 20, REST["stand"], 0.2)


def test_windows_are_cut_at_their_seconds() -> None:
    joints = np.repeat(np.arange(600.0)[:, None, None], 22, 1) * np.ones(3)
    first = [window[0, 0, 0] / 20 for window in cut(PROMPTS, joints)]
    assert first == pytest.approx([1, 4, 7, 10.5, 13.5, 16.5, 21, 24, 27])
    assert {len(window) for window in cut(PROMPTS, joints)} == {60}
    assert places(PROMPTS) == [(n, k) for n in range(3) for k in range(3)]


def test_a_performance_is_judged_window_by_window(oracle) -> None:
    """Walks throughout: right while walking is asked for, wrong for all else."""
    found = seen(PROMPTS, cut(PROMPTS, body(600, speed=1.0, fps=20)), oracle)
    assert [s.right for s in found] == [True] * 3 + [False] * 6
    still = seen(PROMPTS, cut(PROMPTS, body(600)), oracle)
    assert [s.right for s in still] == [False] * 4 + [True] * 5  # walking and the bow itself are missing
    figures = row_of(PROMPTS, "still", [still]).figures
    assert figures["right"].value == pytest.approx(5 / 9)
    assert figures["right"].n == 9
    assert figures[evaluation.FIRST].value == 0.0
    assert figures[evaluation.LATER].value == 1.0
    assert figures[evaluation.GOES_ON].value == pytest.approx(0.5)


def test_windows_that_are_not_there_say_nothing(oracle) -> None:
    windows = [None, *cut(PROMPTS, body(600))[1:]]
    found = seen(PROMPTS, windows, oracle)
    assert len(found) == 8
    assert (found[0].prompt, found[0].window) == (0, 1)
    assert seen(PROMPTS, [None] * 9, oracle) == []


def test_intervals_resample_prompts() -> None:
    """Windows of one prompt are not independent: all right or all wrong by prompt has a wide interval."""
    many = replace(PROMPTS, prompts=tuple(replace(WALK, start=10.0 * n) for n in range(10)))
    found = [Seen(n, k, "walk", False, n % 2 == 0) for n in range(10) for k in range(3)]
    estimate = row_of(many, "half", [found]).figures["right"]
    assert estimate.value == 0.5
    assert estimate.low <= 0.25
    assert estimate.high >= 0.75
    assert recognition(many, found)["right"].timeline.tolist() == [n for n in range(10) for _ in range(3)]


# -------------------------------------------------------------------------------------------------------- references


def test_real_clips_take_the_place_of_windows(oracle) -> None:
    """Rest once the bow is over; test clips alone leave windows empty; idling is right just where rest is."""
    prompts = replace(PROMPTS, prompts=(WALK, replace(BOW, right=("bow",)), STOP))
    examples = [example("walk", body(80, speed=1.2, fps=20), "test"), example("bow", body(80), "train"),
                example("stand", body(80), "train")]  # fmt: skip
    windows, held = real_windows(prompts, RealClips(examples), np.random.default_rng(0))
    assert [w is not None for w in windows] == [True] * 9
    assert held == [True] * 3 + [False] * 6
    rows = references(prompts, examples, oracle, repeats=2)
    assert all(len(found) == 2 for found in rows.values())
    assert [s.right for s in rows[evaluation.REAL][0]] == [True] * 3 + [False] + [True] * 5
    assert [s.prompt for s in rows[evaluation.TEST][0]] == [0, 0, 0]
    assert [s.right for s in rows[evaluation.IDLING][0]] == [False] * 4 + [True] * 5


# ----------------------------------------------------------------------------------------------------------- roll-out


def test_a_stream_is_told_everything_at_its_time() -> None:
    prompts = replace(PROMPTS, seconds=2.0, prompts=(WALK, replace(STOP, start=2.0), replace(WALK, start=4.0)))
    made = roll(prompts, Walker(), quiet=True)
    assert made.joints.shape == (180, 22, 3)
    assert len(made.joints20) == 120
    assert made.said.tolist() == [0, 64, 120]  # words wait for the next primitive of 8 frames
    assert made.broken == 0
    forward = made.joints[:, 0, 2]
    assert forward[59] - forward[0] == pytest.approx(1.2 * 59 / 30, abs=0.05)
    assert abs(forward[119] - forward[64]) < 0.05
    assert made.memory[1] > 0


def test_what_is_no_number_is_counted_and_mended() -> None:
    rotations, root = np.tile(np.eye(3, dtype=np.float32), (5, 22, 1, 1)), np.zeros((5, 3), np.float32)
    rotations[0, 3, 0, 0], root[3, 1] = np.nan, np.inf
    assert mended(rotations, root) == 2
    assert np.isfinite(rotations).all()
    assert np.isfinite(root).all()


def test_a_roll_out_is_made_once(tmp_path: Path) -> None:
    begun = []

    def begin(seed: int) -> Walker:
        begun.append(seed)
        return Walker()

    prompts = replace(PROMPTS, seconds=1.0, prompts=(WALK,))
    one = rolled(prompts, begin, 3, {"weights": "a"}, cache=tmp_path, quiet=True)
    again = rolled(prompts, begin, 3, {"weights": "a"}, cache=tmp_path, quiet=True)
    assert begun == [3]
    assert np.array_equal(one.joints, again.joints)
    assert again.said.tolist() == [0]
    rolled(prompts, begin, 3, {"weights": "b"}, cache=tmp_path, quiet=True)
    rolled(prompts, begin, 4, {"weights": "a"}, cache=tmp_path, quiet=True)
    assert begun == [3, 3, 4]
    for path in tmp_path.iterdir():
        np.savez(path, other=np.zeros(1))
    with pytest.raises(LabanError, match="delete it"):
        rolled(prompts, begin, 3, {"weights": "a"}, cache=tmp_path, quiet=True)


def test_memory_is_that_of_this_process() -> None:
    before = resident()
    block = np.ones((64, 1024, 1024 // 8))  # 64 MB, touched
    assert resident() - before == pytest.approx(64, abs=16)
    assert block.sum() > 0


# -------------------------------------------------------------------------------------------------------- kinematics


def made_of(joints: np.ndarray) -> Rolled:
    said = np.array([0, 304, 600])
    return Rolled(joints.astype(np.float32), joints[::3].astype(np.float32), said, (100.0, 100.0), 1.0, 0)


def test_freezing_skate_and_drift_are_seen() -> None:
    """Somebody who stands while told to walk is frozen; who glides while at rest drifts and skates."""
    still = evaluation.kinematics(PROMPTS, made_of(body(900)))
    assert still[evaluation.FROZEN].value.tolist() == [1.0, 1.0, 1.0]  # of walking alone: standing still was asked for
    assert still[evaluation.SKATE].value == pytest.approx([0, 0, 0], abs=1e-3)
    assert still[evaluation.MOVED].value == pytest.approx([0, 0], abs=1e-6)
    assert still[evaluation.MOVED].timeline.tolist() == [1, 2]
    glides = evaluation.kinematics(PROMPTS, made_of(body(900, speed=0.5)))
    assert glides[evaluation.FROZEN].value.tolist() == [0.0, 0.0, 0.0]
    assert glides[evaluation.SKATE].value == pytest.approx([0.5] * 3, abs=0.02)
    assert glides[evaluation.MOVED].value == pytest.approx([0.5, 0.5], abs=0.01)


def test_a_jolt_at_a_switch_is_seen_there_alone() -> None:
    joints = body(900)
    joints[304:, :, 0] += 0.05
    found = evaluation.kinematics(PROMPTS, made_of(joints))
    assert found[evaluation.SWITCH].value[0] > 1000
    assert found[evaluation.SWITCH].value[1] < 1
    assert found[evaluation.ELSEWHERE].value == pytest.approx([0, 0, 0], abs=1)


def test_drift_counts_turning_on_the_spot() -> None:
    angle = np.linspace(0, np.radians(30), 91)
    turn = np.zeros((91, 3, 3))
    turn[:, 1, 1] = 1
    turn[:, 0, 0] = turn[:, 2, 2] = np.cos(angle)
    turn[:, 0, 2], turn[:, 2, 0] = np.sin(angle), -np.sin(angle)
    joints = STANDING[None] @ turn.transpose(0, 2, 1)
    moved, turned = measures.drift(joints, 30)
    assert moved < 0.02
    assert turned == pytest.approx(10, abs=0.2)


def test_real_clips_have_the_same_figures(tmp_path: Path) -> None:
    """Two clips, one of walking on the spot of the test split: it alone stands for walking."""
    records = tuple(
        ClipRecord(name, "made", action, action, (action,), "CC0", split, start=60 * i, frames=60, seconds=2.0)
        for i, (name, action, split) in enumerate([("a", "walk", "test"), ("b", "walk", "train"), ("c", "bow", "train"),
                                                   ("d", "stand", "train")])
    )  # fmt: skip
    rotations = np.zeros((240, 22, 4), np.float32)
    rotations[..., 0] = 1
    root = np.zeros((240, 3), np.float32)
    root[60:120, 2] = np.arange(60) / 30  # the training clip of walking slides at 1 m/s
    real = evaluation.real_kinematics(PROMPTS, MotionDataset(tmp_path, records, rotations, root))
    assert real[evaluation.SKATE].value == pytest.approx([0, 0, 0], abs=1e-3)
    assert real[evaluation.FROZEN].value.tolist() == [1.0]
    assert len(real[evaluation.SWITCH].value) == 2
    with pytest.raises(LabanError, match="no clean clip"):
        evaluation.real_kinematics(PROMPTS, MotionDataset(tmp_path, records[:2], rotations, root))


def test_all_rows_of_a_report(oracle, tmp_path: Path) -> None:
    prompts = replace(PROMPTS, prompts=(WALK, replace(STOP, start=10.0)))
    examples = [example("walk", body(80, speed=1.2, fps=20), "test"), example("stand", body(80), "train")]
    records = tuple(ClipRecord(a, "made", a, a, (a,), "CC0", "train", start=60 * i, frames=60, seconds=2.0)
                    for i, a in enumerate(("walk", "stand")))  # fmt: skip
    rotations = np.zeros((120, 22, 4), np.float32)
    rotations[..., 0] = 1
    dataset = MotionDataset(tmp_path, records, rotations, np.zeros((120, 3), np.float32))
    rolls = (roll(prompts, Walker(), quiet=True) for _ in range(2))
    rows: list[str] = []
    report = evaluation.evaluate_stream(prompts, dataset, examples, oracle, {"walker": rolls}, repeats=2,
                                        finished=lambda row: rows.append(row.name))  # fmt: skip
    ours = report.rows[-1]
    assert rows[-1] == ours.name == "walker"
    assert ours.figures["right"].value == 1.0
    assert ours.prompts == (1.0, 1.0)
    assert evaluation.SKATE in ours.ratios
    assert "0 frames that are no numbers" in report.notes[0]
    json.dumps(report.to_json())
    odd = replace(prompts, prompts=(replace(WALK, right=("moonwalk",)),))
    with pytest.raises(LabanError, match="moonwalk"):
        evaluation.evaluate_stream(odd, dataset, examples, oracle, {})


# ----------------------------------------------------------------------------------------------------------- reaction


def test_departure_is_the_first_frame_that_differs() -> None:
    idle, moved = body(40), body(40)
    moved[12:, 20, 1] += 0.06
    assert measures.departure(moved, idle) == 12
    assert measures.departure(idle, idle) is None
    assert measures.departure(moved, idle, threshold=0.1) is None


@pytest.mark.parametrize(
    ("action", "joint", "by"),
    [("raise arms", 20, (0, 0.6, 0)), ("wave", 21, (0, 0.6, 0)), ("kick", 8, (0, 0.4, 0.3)),
     ("bow", 15, (0, -0.3, 0.3)), ("jump", slice(None), (0, 0.2, 0)), ("sit down", slice(None), (0, -0.3, 0))],
)  # fmt: skip
def test_signs_of_actions(action: str, joint: int | slice, by: tuple[float, float, float]) -> None:
    joints = body(40)
    assert measures.first_sign(joints, 30, action) is None
    joints[15:, joint] += np.array(by)
    assert measures.first_sign(joints, 30, action) == 15


def test_signs_of_going_and_turning() -> None:
    onward, back = body(60), body(60)
    onward[20:, :, 2] += (np.arange(40) / 30)[:, None]
    back[20:, :, 2] -= (np.arange(40) / 30)[:, None]
    assert 20 < measures.first_sign(onward, 30, "walk") <= 24  # type: ignore[operator]
    assert measures.first_sign(onward, 30, "walk backward") is None
    assert 20 < measures.first_sign(back, 30, "walk backward") <= 24  # type: ignore[operator]
    assert measures.first_sign(onward, 30, "turn") is None
    spun = body(60)
    spun[30:] = spun[30:, :, [2, 1, 0]] * np.array([1.0, 1.0, -1.0])  # a quarter turn about +Y
    assert measures.first_sign(spun, 30, "turn") == 30


@pytest.fixture(scope="module")
def tiny() -> PrimitiveModel:
    torch.manual_seed(0)
    own = DenoiserConfig(8, 32, 1, 2, 64, patch=1, text=16, slots=(("history", FEATURES),))
    network = PrimitiveModel(PrimitiveConfig(2, 8, 32, 1, 2, 64, own), load_body().joint_template).eval()
    pelvis = torch.tensor([[0.0, 0.95, 0.0]])
    network.stance.copy_(primitive.encode(torch.eye(3).expand(1, 22, 3, 3), pelvis, network.rest)[0])
    for values in network.parameters():  # what starts at zero would hide words and noise
        if not values.any():
            torch.nn.init.normal_(values, std=0.2)
    return network


def words(texts) -> Condition:
    """A text is its length: enough to be told apart."""
    rows = torch.tensor([[float(len(text))] * 16 for text in texts]) / 8
    return Condition(rows[:, None].repeat(1, 3, 1), torch.ones(len(rows), 3, dtype=torch.bool), rows)


def test_reaction_compares_the_same_noise(tiny) -> None:
    """The same words as idling never depart; other noise and other words do, at frames 1 to 152."""
    pairs = (("a person stands still", "walk"), ("a much longer text than the other one", "punch"))
    found = measure_reaction(tiny, words, Sampling(steps=2, guidance=1.0), seeds=3, pairs=pairs)
    assert isinstance(found, Reaction)
    assert np.isnan(found.departed[0]).all()
    assert np.isnan(found.signs[1]).all()  # punching has no kinematic sign
    assert found.departed.shape == found.chance.shape == (2, 3)
    seen_frames = found.chance[np.isfinite(found.chance)]
    assert len(seen_frames)
    assert seen_frames.min() >= 1
    assert seen_frames.max() <= 8 * 19


def test_a_summary_counts_what_was_never_seen_as_late() -> None:
    text = summary(np.array([4.0, 8.0, 9.0, np.nan]))
    assert text.startswith("9 frames (2 primitives) median, never p90")
    assert "within 2 primitives 75 %" in text
    assert "never 25 %" in text


def test_speed_counts_the_frames_of_everybody(tiny) -> None:
    one = measure_speed(tiny, words(["walk"]), Sampling(steps=2), primitives=6)
    assert one.people == 1
    assert len(one.seconds) == 6
    assert one.frames == pytest.approx(8 * 6 / one.seconds.sum())
    crowd = Speed(32, np.array([0.1, 0.1, 0.3]))
    assert crowd.frames == pytest.approx(32 * 8 * 3 / 0.5)
    assert crowd.median == pytest.approx(100)
    assert 290 < crowd.p99 <= 300
    assert "n = 3" in crowd.line()
