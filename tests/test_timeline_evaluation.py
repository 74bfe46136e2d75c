"""Measures on performed timelines: known answers by hand-made motions and an oracle for a judge; files; commands."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch

from laban.cli import run
from laban.cli.eval_timeline import print_timelines
from laban.errors import LabanError
from models.body.model import load_body
from models.data.dataset import ClipRecord
from models.diffusion.denoiser import DenoiserConfig
from models.motion import Motion
from models.motion_text.examples import Example
from models.motion_text.network import Sizes
from models.representation import joints as joint_features
from models.representation import rifke
from motion import evaluation_mtt, timeline_cache
from motion import timeline_metrics as measures
from motion.evaluation_mtt import frechet, seam_frames
from motion.evaluation_timelines import (
    Plan,
    boundaries,
    evaluate_timelines,
    performed_values,
    recognition,
    seams,
    timing,
)
from motion.generator import Generator, GeneratorConfig, save_generator
from motion.judge.judge import PARTS, Judge
from motion.judge.network import JudgeNetwork
from motion.timeline_cache import Source, performances
from motion.timeline_items import Benchmark, Interval, Item, read_benchmark
from motion.timeline_metrics import Values
from motion.timeline_real import Cut, mirrored, opposite, splice, with_arms

ACTIONS = ("stand", "crouch", "reach")
TEMPLATE = load_body().joint_template[:22].numpy().astype(np.float64)
REST = TEMPLATE - TEMPLATE.min(0) * np.array([0.0, 1.0, 0.0])
ARM = {"left arm": [16, 18, 20], "right arm": [17, 19, 21]}


class Oracle(Judge):
    """A judge that knows what these tests draw: a low pelvis is "crouch", an arm held up "reach", else "stand"."""

    def classify(self, motions, *, batch: int = 32):
        """Crouching as far as the mean pelvis is low."""
        low = np.array([(np.asarray(m)[:, 0] < REST[0, 1] - 0.3).mean() for m in motions])
        return np.stack([1 - low, low, 0 * low], 1).clip(0.01, 0.98)

    def classify_parts(self, motions, *, batch: int = 32):
        """An arm reaches as far as its wrist is above the pelvis by more than half a metre."""
        out = np.tile(self.classify(motions)[:, None], (1, len(PARTS), 1))
        for part, wrist in (("left arm", 20), ("right arm", 21)):
            height = [np.asarray(m)[:, 4 + 3 * (wrist - 1) + 1] for m in motions]
            up = np.array([(h > 0.6).mean() for h in height]).clip(0.01, 0.98)
            out[:, PARTS.index(part)] = np.stack([1 - up, 0 * up + 0.005, up], 1)
        return out


@pytest.fixture(scope="module")
def oracle() -> Oracle:
    network = JudgeNetwork(Sizes(actions=3, width=32, layers=2, heads=2, embedding=32)).eval()
    return Oracle(network, None, ACTIONS, {"sha256": "0" * 64})  # type: ignore[arg-type]


def body(frames: int, *, down: float = 0.0, arm: str | None = None) -> np.ndarray:
    """The rest pose, lowered, one arm held up."""
    joints = np.repeat(REST[None], frames, 0) - np.array([0.0, down, 0.0])
    if arm is not None:
        shoulder = ARM[arm][0]
        for joint, lift in zip(ARM[arm][1:], (0.3, 0.6), strict=True):
            joints[:, joint] = joints[:, shoulder] + np.array([0.0, lift, 0.0])
    return joints


STAND, CROUCH = Interval("stand", 0, 3, "stand"), Interval("crouch", 3, 6, "crouch")
PAIR = Item("pair", (STAND, CROUCH))
REACH = Interval("reach with the left arm", 1.0, 2.0, "reach", ("left arm",), "left", 1)
LAYERED = Item("layered", (replace(STAND, parts=("legs",)), CROUCH, REACH))


def performed(item: Item, change: float, *, arm: str = "left arm") -> np.ndarray:
    """A performance whose crouch begins at `change` seconds, and whose reach keeps its time."""
    at = round(20 * change)
    joints = np.concatenate([body(at), body(item.frames - at, down=0.6)])
    for over in (i for i in item.intervals if i.track):
        start, stop = item.span(over)
        joints[start:stop, ARM[arm]] = body(stop - start, arm=arm)[:, ARM[arm]]
    return joint_features.encode(joints)


# ------------------------------------------------------------------------------------------------------------ timing


@pytest.mark.parametrize("late", [-0.8, 0.0, 0.5])
def test_the_timing_error_is_how_late_or_early_the_change_comes(oracle, late) -> None:
    found = timing([PAIR], [performed(PAIR, 3 + late)], oracle)
    assert found["timing error s"].value == pytest.approx([abs(late)], abs=0.11)
    assert found["timing bias s"].value == pytest.approx([late], abs=0.11)
    assert found["within 0.5 s"].value.tolist() == [float(abs(late) < 0.55)]


def test_starts_and_ends_of_a_second_track_are_timed_by_its_own_parts(oracle) -> None:
    found = timing([LAYERED], [performed(LAYERED, 3)], oracle)
    assert len(found["timing error s, second track"].value) == 2
    assert found["timing error s, second track"].value.max() < 0.16


def test_neighbours_that_ask_for_the_same_have_no_boundary() -> None:
    same = Item("same", (STAND, replace(STAND, start=3.0, end=6.0)))
    assert boundaries(same) == [] and len(boundaries(PAIR)) == 1


def test_the_change_point_is_where_a_leaning_and_noisy_curve_steps_up() -> None:
    rng = np.random.default_rng(0)
    for _ in range(50):
        step = int(rng.integers(5, 26))
        curve = np.where(np.arange(31) >= step, 3.0, 0.0) + rng.uniform(-5, 5) + rng.normal(0, 0.2, 31)
        assert measures.change_point(curve) == step
        ramp = np.clip((np.arange(31) - step) / 4, -1, 1)
        assert abs(measures.change_point(ramp) - step) <= 1
    assert measures.change_point(np.array([1.0])) in (0, 1)


# ------------------------------------------------------------------------------------------------------- recognition


def crops(item: Item, rows: np.ndarray) -> list[np.ndarray]:
    return [rows[slice(*item.span(i))] for i in item.intervals]


def test_swapped_arms_are_caught(oracle) -> None:
    held = np.ones(3, bool)
    right = recognition([LAYERED], crops(LAYERED, performed(LAYERED, 3)), oracle, held)
    assert right["top-1"].value.tolist() == [1, 1, 1] and right["right side"].value.tolist() == [1]
    wrong = recognition([LAYERED], crops(LAYERED, performed(LAYERED, 3, arm="right arm")), oracle, held)
    assert wrong["top-1"].value.tolist() == [1, 1, 0] and wrong["right side"].value.tolist() == [0]


def test_whole_and_partial_intervals_are_told_apart(oracle) -> None:
    found = performed_values([LAYERED, PAIR], [performed(LAYERED, 3), performed(PAIR, 3)], oracle, np.ones(5, bool))
    assert [len(found[f"{kind}top-1"].value) for kind in ("", "whole ", "partial ")] == [5, 3, 2]
    assert found["whole top-1"].timeline.tolist() == [0, 1, 1]
    assert len(found["transition cm"].value) == 3 + 1


@pytest.mark.parametrize(
    ("parts", "other"),
    [(("left arm",), ("right arm",)), (("right arm",), ("left arm",)), (("left arm", "right arm"), None),
     (("legs",), None), (("head",), None)],
)  # fmt: skip
def test_opposite_parts(parts, other) -> None:
    assert opposite(parts) == other


# ------------------------------------------------------------------------------------------------------------- seams


def test_a_jump_of_the_pose_counts_and_travel_and_turning_do_not() -> None:
    walk = body(40) + np.linspace(0, 2, 40)[:, None, None] * np.array([0.0, 0.0, 1.0])
    angle = np.linspace(0, 1, 40)
    turn = np.stack([np.cos(angle), 0 * angle, np.sin(angle), 0 * angle, 1 + 0 * angle, 0 * angle, -np.sin(angle),
                     0 * angle, np.cos(angle)], -1).reshape(-1, 3, 3)  # fmt: skip
    turned = np.einsum("fij,fkj->fki", turn, walk)
    np.testing.assert_allclose(measures.transition_distance(turned, [5, 20]), 0, atol=1e-6)
    jumped = turned.copy()
    jumped[20:, 20] += np.array([0.0, 0.22, 0.0])  # one of 22 joints, 22 cm
    np.testing.assert_allclose(measures.transition_distance(jumped, [5, 20]), [0, 1.0], atol=1e-6)
    calm, rough = (seams([clip], [[20]]) for clip in (turned, jumped))
    assert rough["seam peak jerk m/s3"].value[0] > 100 + calm["seam peak jerk m/s3"].value[0]


def test_a_foot_that_slides_at_the_seam_and_not_elsewhere_is_skate() -> None:
    joints = body(60)
    joints[30:35, :, 0] += 0.02 * np.arange(1, 6)[:, None]
    joints[35:, :, 0] += 0.1
    values = measures.seam_kinematics(joints, [10, 32], 20.0)["foot_skate"]
    assert values[0] < 1e-4 and values[1] > 0.1


def test_the_published_transition_subtracts_the_wrong_axis() -> None:
    joints = body(2)
    joints[1, 20, 0] += 0.22  # sideways: its own x is subtracted, so it shows in y and z instead
    right, published = measures.transition_distance(joints, [1]), measures.transition_as_published(joints, [1])
    assert right == pytest.approx([1.0], abs=1e-6) and published == pytest.approx([np.sqrt(2)], abs=1e-6)
    joints = body(2)
    joints[1, :, 1] += 0.5  # lifting the whole body is no change of pose, but the published one sees it
    assert measures.transition_distance(joints, [1]) == pytest.approx([0.0], abs=1e-6)
    assert measures.transition_as_published(joints, [1]) == pytest.approx([50.0], abs=1e-6)


def test_the_published_rule_loses_the_last_boundary() -> None:
    item = Item("m", (Interval("a", 0, 8.64), Interval("b", 8.64, 14.76), Interval("c", 0.47, 4.91, track=1)))
    assert seam_frames(item, item.frames, "corrected") == [9, 98, 173]
    assert seam_frames(item, item.frames, "as-published") == [9, 98]
    assert measures.seams_as_published([0, 173, 173, 295, 9, 98], 300) == [9, 98, 173]


def test_frechet_distance_of_gaussians_with_known_answer() -> None:
    rng = np.random.default_rng(0)
    one = rng.normal(0, 1, (4000, 3))
    assert frechet(one, one) == pytest.approx(0, abs=1e-9)
    assert frechet(one, one + np.array([3.0, 0, 0])) == pytest.approx(9, rel=1e-6)
    centred = one - one.mean(0)
    assert frechet(centred, 2 * centred) == pytest.approx(np.trace(np.cov(centred.T)), rel=1e-6)


# -------------------------------------------------------------------------------------------------------- estimates


def test_estimates_resample_timelines_and_average_over_labels() -> None:
    values = Values(np.array([1.0, 1, 1, 0]), np.array([0, 0, 1, 1]), np.array(["a", "a", "a", "b"]))
    assert measures.estimate(values).value == 0.75
    assert measures.estimate(values, macro=True).value == 0.5
    clustered = measures.estimate(Values(np.repeat([0.0, 1.0] * 10, 50), np.repeat(np.arange(20), 50)))
    assert clustered.low < 0.35 and clustered.high > 0.65 and clustered.n == 1000
    several = [Values(np.array([v]), np.array([0])) for v in (0.0, 1.0)]
    assert measures.estimate(Values.joined(several), repeats=several).spread == pytest.approx(1.96 * 0.5**0.5 / 2**0.5)


def test_ratios_are_paired_by_timeline() -> None:
    real = Values(np.random.default_rng(0).uniform(0.2, 1, 60), np.arange(60))
    half = measures.ratio(replace(real, value=real.value / 2), real)
    assert half.value == pytest.approx(0.5) and half.high - half.low < 1e-9


# -------------------------------------------------------------------------------------------------------- real clips


def test_spliced_clips_change_where_the_timeline_says(oracle) -> None:
    cuts = [Cut(body(60), True), Cut(body(45, down=0.6) + 5.0 * np.array([1, 0, 1.0]), False),
            Cut(body(30, arm="left arm"), True)]  # fmt: skip
    rows = joint_features.encode(splice(LAYERED, cuts))
    assert len(rows) == LAYERED.frames
    found = performed_values([LAYERED], [rows], oracle, np.ones(3, bool))
    assert found["top-1"].value.tolist() == [1, 1, 1]
    assert found["timing error s"].value.max() < 0.2
    joints = joint_features.decode(rows.astype(np.float64))
    assert np.linalg.norm(np.diff(joints[:, 0, [0, 2]], axis=0), axis=-1).max() < 0.01  # goes on where it stood


def test_arms_are_taken_over_relative_to_the_chest() -> None:
    other = body(5, arm="right arm")
    angle = 0.7
    turn = np.array([[np.cos(angle), 0, np.sin(angle)], [0, 1, 0], [-np.sin(angle), 0, np.cos(angle)]])
    base = body(5) @ turn.T + 2.0
    out = with_arms(base, other, ("right arm",))
    np.testing.assert_allclose(out[:, ARM["right arm"]], (other @ turn.T + 2.0)[:, ARM["right arm"]], atol=1e-9)
    np.testing.assert_array_equal(out[:, ARM["left arm"]], base[:, ARM["left arm"]])
    with pytest.raises(LabanError, match="head"):
        with_arms(base, other, ("head",))


def test_mirroring_twice_is_the_same() -> None:
    joints = body(3, arm="left arm")
    np.testing.assert_array_equal(mirrored(mirrored(joints)), joints)
    assert mirrored(joints)[0, 21, 1] == joints[0, 20, 1]


# ------------------------------------------------------------------------------------------------------------- cache


def test_an_interrupted_row_goes_on_where_it_stopped(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(timeline_cache, "CHUNK", 2)
    items = [Item(str(k), (Interval(f"walk {k}", 0, 1 + 0.5 * k),)) for k in range(5)]
    asked: list[tuple[int, int]] = []

    def generate(timelines, method, checkpoint, seed):
        asked.append((seed, len(timelines)))
        if len(asked) == 2:
            raise KeyboardInterrupt
        return [_motion(round(20 * t.duration), seed + k) for k, t in enumerate(timelines)]

    source = Source("stmc", "research", {"steps": 2})
    with pytest.raises(KeyboardInterrupt):
        performances(items, source, generate, repeat=3, cache=tmp_path)
    first = performances(items, source, generate, repeat=3, cache=tmp_path)
    assert asked == [(300_000, 2), (300_002, 2), (300_002, 2), (300_004, 1)]
    again = performances(items, source, generate, repeat=3, cache=tmp_path)
    assert len(asked) == 4 and [len(rows) for rows in first] == [20, 30, 40, 50, 60]
    for one, other in zip(first, again, strict=True):
        np.testing.assert_array_equal(one, other)
    performances(items, replace(source, settings={"steps": 3}), generate, repeat=3, cache=tmp_path)
    assert len(asked) == 7


def _motion(frames: int, seed: int) -> Motion:
    rotations = np.broadcast_to(np.eye(3, dtype=np.float32), (1, frames, 55, 3, 3)).copy()
    root = np.random.default_rng(seed).normal(0, 0.01, (1, frames, 3)).astype(np.float32)
    return Motion(rotations, root, 20.0)


def test_a_generator_that_gives_another_length_is_named() -> None:
    item = Item("x", (Interval("walk", 0, 2),))
    with pytest.raises(LabanError, match="10 frames at 20 fps; accepted: 40"):
        performances([item], Source("stmc", "research"), lambda *_: [_motion(10, 0)])


# ------------------------------------------------------------------------------------------------------------- files


@pytest.fixture(scope="module", params=["timelines", "timelines_dev"])
def written(request, repository) -> dict:
    return json.loads((repository / "benchmarks" / f"{request.param}.json").read_text())


def test_benchmark_timelines_make_sense(written) -> None:
    rows = written["timelines"]
    assert len(rows) >= (200 if written["name"] == "timelines" else 60)
    layered, count = 0, Counter()
    for row in rows:
        intervals = row["intervals"]
        assert 2 <= len(intervals) <= 6 and 10 <= row["seconds"] <= 25
        base = [i for i in intervals if i["track"] == 0]
        assert base[0]["start"] == 0 and base[0]["states"][0] == "stand"
        for a, b in zip(base, base[1:], strict=False):
            assert a["end"] <= b["start"] <= a["end"] + 0.5 and a["states"][1] == b["states"][0]
            assert a["action"] != b["action"]
        for over in (i for i in intervals if i["track"]):
            layered += 1
            assert over["side"] in over["text"] and over["side"] in over["parts"][0]
            under = [i for i in base if i["start"] < over["end"] and i["end"] > over["start"]]
            assert under and all(i["parts"] and not set(i["parts"]) & set(over["parts"]) for i in under)
        count.update(i["action"] for i in intervals)
        assert all(0.999 <= i["end"] - i["start"] <= 6.001 for i in intervals)
    assert 0.4 <= layered / len(rows) <= 0.6 and len(count) >= 25
    assert all(known["judge"] >= 0.8 and known["clips"] >= 2 for known in written["actions"].values())


def test_the_dev_set_shares_no_wording_with_the_test_set(repository) -> None:
    one, other = (read_benchmark(repository / "benchmarks" / f"{name}.json") for name in ("timelines", "timelines_dev"))
    assert one.actions and other.actions and not set(one.texts) & set(other.texts)
    orders = [{tuple(i.meaning for i in item.intervals) for item in b.items} for b in (one, other)]
    assert not orders[0] & orders[1]


def test_mtt_files_get_tracks_and_limits_keep_the_candidates(tmp_path) -> None:
    first = [{"text": "walk", "start": 0, "end": 3, "parts": ["legs"]}, {"text": "run", "start": 3, "end": 5},
             {"text": "wave", "start": 1, "end": 4, "parts": ["left arm"]}]  # fmt: skip
    rows = [first, [{"text": "sit", "start": 0, "end": 2}]]
    (tmp_path / "mtt.json").write_text(json.dumps(rows))
    found = read_benchmark(tmp_path / "mtt.json")
    assert not found.actions and [i.track for i in found.items[0].intervals] == [0, 0, 1]
    assert found.first(1).texts == ("walk", "run", "wave", "sit") and len(found.first(1).items) == 1


@pytest.mark.parametrize(
    ("content", "says"),
    [("[]", "holds no timeline"), ("{", "no JSON"), ("[[]]", "timeline 1 has no intervals"),
     ('[[{"text": "walk", "start": 2, "end": 1}]]', "timeline 1, interval 1: end 1 is not after start 2"),
     ('[[{"text": "walk", "start": 0}]]', "interval 1: KeyError"),
     ('[[{"text": "w", "start": 0, "end": 1, "parts": ["tail"]}]]', "tail"),
     ('{"format": "laban-timelines", "version": 9}', "version 9; accepted: 1"),
     ('{"format": "laban-timelines", "version": 1, "timelines": []}', "holds no timeline"),
     ('{"format": "laban-timelines", "version": 1, "timelines": [{"id": "a"}]}', "no 'intervals'")],
)  # fmt: skip
def test_files_that_are_no_timelines_are_one_line(tmp_path, capsys, content, says) -> None:
    (tmp_path / "x.json").write_text(content)
    assert run(["eval", "timeline", str(tmp_path / "x.json")]) != 0
    error = capsys.readouterr().err
    assert says in error and error.count("\n") == 1


@pytest.mark.parametrize(
    ("words", "says"),
    [(["--method", "magic"], "--method magic; accepted: stmc"),
     (["--protocol", "mine"], "accepted: corrected, as-published"),
     (["--checkpoint", "nothing"], "checkpoint nothing")],
)  # fmt: skip
def test_options_that_are_wrong_are_one_line(tmp_path, capsys, words, says) -> None:
    (tmp_path / "x.json").write_text('[[{"text": "walk", "start": 0, "end": 2}]]')
    assert run(["eval", "timeline", str(tmp_path / "x.json"), *words]) != 0
    assert says in capsys.readouterr().err


def test_our_benchmark_asks_for_real_clips(capsys) -> None:
    assert run(["eval", "timeline"]) != 0
    assert "--data is missing" in capsys.readouterr().err


def test_mtt_retrieval_tells_known_texts_from_others(oracle) -> None:
    assert evaluation_mtt.PROTOCOLS == ("corrected", "as-published")
    text = np.eye(4, dtype=np.float32)
    reading = evaluation_mtt.Reading(oracle, ("a", "b", "c", "d"), text, frozenset("ab"), "corrected")
    motion = np.array([[1, 0, 0, 0], [0.9, 0.8, 0.7, 0.1], [0, 0, 1, 0]], np.float32)
    found = evaluation_mtt.retrieval(motion, ["a", "b", "d"], np.array([0, 0, 1]), reading)
    assert found["M2T R@1"].value.tolist() == [1, 0, 0] and found["M2T R@3"].value.tolist() == [1, 1, 1]
    assert found["M2T R@1, known"].value.tolist() == [1, 0] and found["M2T R@1, other"].value.tolist() == [0]
    assert found["M2T-S"].value == pytest.approx([1, 0.9, 0.5])


def test_oracle_and_network_share_their_parts(oracle) -> None:
    rows = [performed(LAYERED, 3)[:40]]
    with torch.inference_mode():
        assert Judge.classify_parts(oracle, rows).shape == oracle.classify_parts(rows).shape


# -------------------------------------------------------------------------------------------------------- whole runs


def example(number: int, action: str, split: str, joints: np.ndarray, side: str = "") -> Example:
    text = f"a person does {action} with the {side} hand" if side else f"a person does {action}"
    record = ClipRecord(f"clip{number}", "made", action, action, (text,), "CC0", split, seconds=len(joints) / 20)
    return Example(record, action, action, (text,), (text,), torch.from_numpy(joint_features.encode(joints)))


def test_a_whole_evaluation_ranks_what_it_should(oracle) -> None:
    examples = [example(0, "stand", "train", body(80)), example(1, "crouch", "train", body(80, down=0.6)),
                example(2, "reach", "train", body(40, arm="right arm"), "right")]  # fmt: skip
    examples += [example(10 + k, "stand", "val", body(80)) for k in range(3)]
    items = tuple(replace(LAYERED, id=str(k)) for k in range(4))
    seen: list[str] = []

    def generate(timelines, method, checkpoint, seed):
        return [_motion(round(20 * t.duration), seed) for t in timelines]

    report = evaluate_timelines(Benchmark("made", "", items), examples, oracle, generate,
                                Plan((("stmc", "research"),), repeats=2, quiet=True),
                                finished=lambda row: seen.append(row.name))  # fmt: skip
    assert seen == ["real", "spliced", "shuffled", "stmc"] == [row.name for row in report.rows]
    real, spliced, _, stmc = report.rows
    assert real.figures["top-1"].value == spliced.figures["top-1"].value == 1  # the right arm's clip came mirrored
    assert spliced.figures["timing error s"].value < 0.16
    assert real.figures["right side"].value == 1 and real.figures["held-out top-1"].n == 8
    assert stmc.figures["top-1"].n == 24 and stmc.shares["real"]["top-1"].value < 1
    assert set(stmc.actions) == set(ACTIONS) and json.dumps(report.to_json())
    print_timelines(report, by_action=True)
    with pytest.raises(LabanError, match="no clean clip"):
        evaluate_timelines(Benchmark("made", "", items), examples[:2], oracle, generate, Plan(()))


def test_a_score_is_measured_from_the_command_line(tmp_path, capsys) -> None:
    torch.manual_seed(0)
    small = DenoiserConfig(rifke.LAYOUT.features, width=32, layers=2, heads=2, hidden=64)
    network = Generator(GeneratorConfig(small, known=(("walk", 3), ("wave", 3))), load_body().joint_template)
    network.mean[4:136] = torch.eye(3)[:, :2].T.flatten().repeat(22)
    save_generator(tmp_path / "small", network, "# small\n")
    (tmp_path / "x.txt").write_text("a person walks # 0 # 2 # legs\nplay the harp # 2 # 4\n")
    words = ["eval", "timeline", str(tmp_path / "x.txt"), "--checkpoint", str(tmp_path / "small"), "--steps", "2",
             "--no-cleanup", "--cache", str(tmp_path / "cache"), "--json"]  # fmt: skip
    words += ["--method", "stmc", "--method", "single"]
    reports = []
    for protocol in evaluation_mtt.PROTOCOLS:
        assert run([*words, "--protocol", protocol]) == 0
        reports.append(json.loads(capsys.readouterr().out))
    assert [row["name"] for row in reports[0]["rows"]] == ["stmc", "single"]
    assert len(list((tmp_path / "cache").iterdir())) == 2
    assert reports[0]["rows"][0]["figures"]["M2T R@1, known"]["n"] == 1
    assert any("play the harp" in note for note in reports[0]["notes"])
