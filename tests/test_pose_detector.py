"""The embedded detector over pose: streams, simulated cameras, features, learning, checkpoint, bad input."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from action_localization.pose import classes
from action_localization.pose.checkpoint import best_thresholds, save_pose_detector
from action_localization.pose.detector import detect_motion, detect_person, load_pose_detector, shown
from action_localization.pose.features import (
    FPS,
    WIDTH,
    extracted_features,
    person_features,
    pooled,
    pose_rows,
)
from action_localization.pose.observe import CLEAN, landmarks, observe
from action_localization.pose.streams import (
    BLEND,
    Clip,
    Pool,
    StreamConfig,
    faster,
    make_stream,
    mirrored,
    splice,
    vary,
    with_bones,
)
from action_localization.pose.training import (
    SYSTEM,
    FineTuning,
    MixConfig,
    StreamBatches,
    StreamSource,
    finetune,
    stream_entries,
)
from action_localization.spine.network import Detector, build_network
from action_localization.spine.training import training_loss
from laban.errors import LabanError
from laban.timeline import FrameGrid, Segment, Timeline
from models.body.model import OPEN_BODY, load_body
from models.body.skeleton import JOINT, NUM_BODY, PARENTS
from models.features import Features
from models.motion import Motion
from models.representation.heading import joints_heading
from models.training import TrainConfig, fit


def person(frames: int, *, arm: float = 0.0, rate: float = 1.0, walk: float = 0.0, seed: int = 0) -> np.ndarray:
    """Somebody of the open body who stands, swings both forearms by `arm` radians, and moves ahead at `walk` m/s."""
    rest = load_body(OPEN_BODY).joint_template[:NUM_BODY].numpy().astype(np.float64)
    joints = np.repeat((rest - (0, rest[:, 1].min() - 0.03, 0))[None], frames, 0)
    time = np.arange(frames) / FPS
    for side in ("left", "right"):
        shoulder, elbow, wrist = (JOINT[f"{side}_{name}"] for name in ("shoulder", "elbow", "wrist"))
        angle = np.pi / 2 + arm * np.sin(2 * np.pi * rate * time + seed)
        sign = 1 if side == "left" else -1
        way = np.stack([sign * np.cos(angle - np.pi / 2), np.sin(angle - np.pi / 2), np.full(frames, 0.3)], -1)
        way /= np.linalg.norm(way, axis=-1, keepdims=True)
        joints[:, elbow] = joints[:, shoulder] + (0, -0.26, 0)
        joints[:, wrist] = joints[:, elbow] + 0.25 * way
    joints[..., 2] += (walk * time)[:, None]
    return joints.astype(np.float32)


def motion_clips() -> list[Clip]:
    clips = [Clip(f"a{k}", person(40 + 3 * k, arm=1.2, rate=1.5, seed=k), "wave") for k in range(3)]
    clips += [Clip(f"b{k}", person(50 + 2 * k, walk=1.5, seed=k), "walk") for k in range(3)]
    return [*clips, Clip("c", person(80), None, idle=True), Clip("d", person(60, arm=0.4, rate=0.3), None)]


# ---------------------------------------------------------------------------------------------------------- classes


def test_every_label_belongs_to_one_class_and_background_to_none():
    assert len(set(classes.names())) == len(classes.CLASSES)
    assert classes.class_of_motion("jog") == "run"
    assert classes.class_of_video("Soccer-Juggling") == "football juggling"
    assert classes.class_of_video("squat") == "squat"
    for label in (*classes.IDLE, *classes.DISTRACTORS, "sequence", "martial arts"):
        assert classes.class_of_motion(label) is None


# ---------------------------------------------------------------------------------------------------------- streams


def test_a_stream_is_a_function_of_its_seed():
    pool = Pool(motion_clips())
    one, again, other = (make_stream(pool, seed) for seed in ((1, 2), (1, 2), (1, 3)))
    assert np.array_equal(one.joints, again.joints) and one.truth == again.truth
    assert one.joints.shape != other.joints.shape or not np.array_equal(one.joints, other.joints)


def test_spliced_boundaries_are_exact():
    first, second = Clip("a", person(40), "wave"), Clip("b", person(60), "walk")
    stream = splice([first, second], np.random.default_rng(0))
    joint = (40 - BLEND / 2) / FPS
    assert stream.truth.segments == (Segment(0, joint, "wave"), Segment(joint, (100 - BLEND) / FPS, "walk"))
    assert len(stream.joints) == 100 - BLEND


def test_background_has_no_label_and_takes_its_time():
    parts = [Clip("a", person(40), "wave"), Clip("idle", person(50), None, idle=True), Clip("b", person(40), "walk")]
    stream = splice(parts, np.random.default_rng(0))
    assert [s.label for s in stream.truth.segments] == ["wave", "walk"]
    gap = stream.truth.segments[1].start - stream.truth.segments[0].end
    assert gap == pytest.approx((50 - BLEND) / FPS)


def test_a_join_is_smooth_and_keeps_bones_and_heading():
    turned = person(60, walk=1.0) @ np.array([[0, 0, 1], [0, 1, 0], [-1, 0, 0]], np.float32) + (5, 0, 3)
    before = person(60, walk=1.0)
    stream = splice([Clip("a", before, "walk"), Clip("b", turned.astype(np.float32), "walk")],
                    np.random.default_rng(0))  # fmt: skip
    assert np.abs(np.diff(stream.joints, axis=0)).max() < 0.12
    heading = joints_heading(stream.joints.astype(np.float64))
    assert np.abs(heading - heading[0]).max() < 0.4
    bones = [np.linalg.norm(stream.joints[:, j] - stream.joints[:, PARENTS[j]], axis=-1) for j in range(1, NUM_BODY)]
    assert max(float(np.ptp(bone)) for bone in bones) < 1e-3


def test_far_poses_get_more_time_which_is_background():
    lying = person(40)[..., [0, 2, 1]] * np.array([1, 1, -1], np.float32)
    stream = splice([Clip("a", person(40), "wave"), Clip("b", lying, "push-up")], np.random.default_rng(0))
    first, second = stream.truth.segments
    assert second.start - first.end > 0.2
    assert np.abs(np.diff(stream.joints, axis=0)).max() < 0.5


def test_no_class_follows_itself_without_a_gap():
    pool = Pool(motion_clips(), StreamConfig(gap=0.0))
    labels = [s.label for s in make_stream(pool, (0,)).truth.segments]
    assert all(a != b for a, b in zip(labels, labels[1:], strict=False))


def test_speed_and_mirror():
    clip = Clip("a", person(41, arm=1.0, walk=1.0), "wave")
    assert len(faster(clip, 2.0).joints) == 21
    np.testing.assert_allclose(faster(clip, 2.0).joints[10], clip.joints[20], atol=1e-5)
    np.testing.assert_allclose(mirrored(mirrored(clip)).joints, clip.joints, atol=1e-6)
    assert mirrored(clip).joints[0, JOINT["left_wrist"], 0] > 0
    long = Clip("b", person(2000), "walk")
    assert len(vary(long, StreamConfig(), np.random.default_rng(0)).joints) <= 14 * FPS / 0.8 + 1


def test_bone_lengths_are_put_right():
    joints = person(5)
    squeezed = joints * np.array([0.7, 0.9, 1.0], np.float32)
    whole = with_bones(squeezed, joints[0])
    for joint in range(1, NUM_BODY):
        wanted = np.linalg.norm(joints[0, joint] - joints[0, PARENTS[joint]])
        np.testing.assert_allclose(
            np.linalg.norm(whole[:, joint] - whole[:, PARENTS[joint]], axis=-1), wanted, rtol=1e-4
        )


def test_a_pool_without_labels_is_refused():
    with pytest.raises(LabanError, match="no labelled clip"):
        Pool([Clip("a", person(40), None)])


# --------------------------------------------------------------------------------------------------------- cameras


def test_a_clean_camera_gives_the_pose_back():
    joints = person(80, arm=1.0, walk=0.5)
    lifted, confidence, found = observe(joints, np.random.default_rng(0), CLEAN)
    assert found.all() and confidence.shape == (80, NUM_BODY)
    whole = np.ones((80, NUM_BODY), np.float32)
    one, other = pose_rows(joints, whole, found), pose_rows(lifted, confidence, found)
    error = np.linalg.norm((one[:, 4:67] - other[:, 4:67]).reshape(80, 21, 3), axis=-1)
    assert error.mean() < 0.06 and np.abs(one[:, 0] - other[:, 0]).mean() < 0.05


def test_landmarks_mirror_with_the_body():
    joints = person(10, arm=1.0).astype(np.float64)
    other = landmarks(mirrored(Clip("a", joints.astype(np.float32), None)).joints.astype(np.float64))
    points = landmarks(joints)
    np.testing.assert_allclose(other[:, 13] * (-1, 1, 1), points[:, 14], atol=1e-5)
    np.testing.assert_allclose(other[:, 7] * (-1, 1, 1), points[:, 8], atol=1e-5)


def test_views_differ_by_seed_alone_and_are_rough():
    joints = person(80, arm=1.0)
    one, again, other = (observe(joints, np.random.default_rng(seed)) for seed in (5, 5, 6))
    assert all(np.array_equal(a, b) for a, b in zip(one, again, strict=True))
    assert not np.array_equal(one[0], other[0])
    assert np.isfinite(one[0]).all() and one[1].min() >= 0 and one[1].max() <= 1


# -------------------------------------------------------------------------------------------------------- features


def test_features_ignore_place_and_heading():
    joints = person(40, arm=1.0, walk=1.0)
    whole, found = np.ones((40, NUM_BODY), np.float32), np.ones(40, bool)
    moved = joints @ np.array([[0.6, 0, 0.8], [0, 1, 0], [-0.8, 0, 0.6]], np.float32) + np.array([3, 0, -2], np.float32)
    one, other = (person_features(j.astype(np.float32), whole, found, FPS) for j in (joints, moved))
    np.testing.assert_allclose(one.values, other.values, atol=2e-3)
    assert one.values.shape == (20, WIDTH) and one.grid.seconds == 2.0


def test_features_of_a_motion_and_of_its_extracted_file_are_the_same():
    joints, whole, found = person(41, arm=1.0), np.ones((41, NUM_BODY), np.float32), np.ones(41, bool)
    direct = person_features(joints, whole, found, FPS)
    file = Features(pose_rows(joints, whole, found), FrameGrid(FPS, 41), "pose_confidence")
    assert np.array_equal(extracted_features(file).values, direct.values)
    assert extracted_features(file).grid == direct.grid and len(direct.values) == 21


def test_another_frame_rate_gives_about_the_same():
    fine, coarse = person(120, walk=1 / 3), person(40, walk=1.0)
    one = person_features(fine, np.ones((120, NUM_BODY), np.float32), np.ones(120, bool), 60.0)
    other = person_features(coarse, np.ones((40, NUM_BODY), np.float32), np.ones(40, bool), FPS)
    assert len(one.values) == len(other.values)
    np.testing.assert_allclose(one.values[2:-2], other.values[2:-2], atol=0.05)


def test_bad_poses_are_refused():
    whole, found = np.ones((4, NUM_BODY), np.float32), np.ones(4, bool)
    with pytest.raises(LabanError, match="no frames"):
        person_features(np.zeros((0, 22, 3), np.float32), whole[:0], found[:0], FPS)
    with pytest.raises(LabanError, match="NaN"):
        person_features(np.full((4, 22, 3), np.nan, np.float32), whole, found, FPS)
    with pytest.raises(LabanError, match="pose_confidence"):
        extracted_features(Features(np.zeros((4, 99), np.float32), FrameGrid(FPS, 4), "other"))


# -------------------------------------------------------------------------------------------------------- learning


def small() -> Detector:
    system = replace(
        SYSTEM, encoder=replace(SYSTEM.encoder, width=32, levels=4, hidden=64, heads=2, drop_path=0.0),
        head=replace(SYSTEM.head, width=32), learning=replace(SYSTEM.learning, normaliser=20.0),
    )  # fmt: skip
    torch.manual_seed(0)
    network = build_network(system, WIDTH, classes.names())
    assert isinstance(network, Detector)
    return network


MIX = MixConfig(size=2, frames=160, reuse=2, block=4, takes=0.0)


def test_batches_are_a_function_of_the_step_and_reuse_streams():
    pool = Pool(motion_clips(), StreamConfig(seconds=(20, 24)))
    one, other = (StreamBatches(StreamSource(pool, MIX), MIX) for _ in range(2))
    [one(step) for step in range(3)]
    assert torch.equal(one(3).features, other(3).features) and torch.equal(one(3).segments, other(3).segments)
    places = [one.number(place) for place in range(8)]
    assert sorted(places) == [0, 0, 1, 1, 2, 2, 3, 3]


def test_it_learns_a_toy_and_can_be_saved_and_fine_tuned(tmp_path: Path):
    pool = Pool(motion_clips(), StreamConfig(seconds=(20, 24)))
    mix = replace(MIX, observed=0.0)
    source = StreamSource(pool, mix)
    config = TrainConfig(steps=65, lr=4e-3, warmup=10, ema=0.9, precision="32-true", accelerator="cpu")
    trained = fit(small(), training_loss, StreamBatches(source, mix), config, tmp_path / "run", progress=False)
    stream = make_stream(pool, (99,))
    save_pose_detector(tmp_path / "detect", trained, {"wave": 0.3})
    detector = load_pose_detector(tmp_path / "detect")
    assert detector.classes == classes.names() and detector.thresholds == {"wave": 0.3}
    found = detect_person(detector, stream.joints, stream.confidence, stream.observed, FPS)
    hits = [max((s.score for s in found.segments if s.label == t.label and _iou(s, t) > 0.5), default=0.0)
            for t in stream.truth.segments]  # fmt: skip
    assert np.mean([hit > 0.2 for hit in hits]) > 0.6
    real = [replace(clip, confidence=np.full((len(clip.joints), NUM_BODY), 0.8, np.float32),
                    observed=np.ones(len(clip.joints), bool), label="squat")
            for clip in motion_clips()[:2]]  # fmt: skip
    before = {k: v.clone() for k, v in trained.state_dict().items()}
    tuned = finetune(trained, real, motion_clips(), FineTuning(tmp_path / "tune", steps=2, mix=replace(mix, real=0.5)),
                     quiet=True)  # fmt: skip
    assert all(torch.equal(v, before[k]) for k, v in trained.state_dict().items())
    assert any(not torch.equal(v, before[k]) for k, v in tuned.state_dict().items())
    with pytest.raises(LabanError, match="no class: juggle"):
        finetune(trained, [replace(real[0], label="juggle")], motion_clips(), FineTuning(tmp_path / "x"), quiet=True)


def test_motions_keep_their_actors(tmp_path: Path):
    save_pose_detector(tmp_path / "detect", small(), {})
    detector = load_pose_detector(tmp_path / "detect")
    rotations = np.broadcast_to(np.eye(3, dtype=np.float32), (2, 60, 55, 3, 3)).copy()
    found = detect_motion(detector, Motion(rotations, np.zeros((2, 60, 3), np.float32), 30.0))
    assert found.duration == 2.0 and {s.actor for s in found.segments} <= {0, 1}
    low = replace(detector, thresholds=dict.fromkeys(detector.classes, 1e-3))
    assert 1 <= len(shown(low, found).segments) <= len(found.segments)
    assert shown(replace(detector, thresholds=dict.fromkeys(detector.classes, 1.1)), found).segments == ()


def test_a_checkpoint_over_other_features_is_refused(tmp_path: Path):
    from action_localization.spine.checkpoint import save_detector

    save_detector(tmp_path / "other", small(), "card", extra={"extractor": "i3d"})
    with pytest.raises(LabanError, match="reads i3d"):
        load_pose_detector(tmp_path / "other")


def test_thresholds_are_those_of_the_best_f1():
    truth = {"a": Timeline(tuple(Segment(k, k + 0.9, "wave") for k in range(4)), 10.0)}
    right = [Segment(k, k + 0.9, "wave", score=0.9 - 0.1 * k) for k in range(4)]
    wrong = [Segment(5, 6, "wave", score=0.3), Segment(7, 8, "wave", score=0.2)]
    bars = best_thresholds(truth, {"a": Timeline((*right, *wrong), 10.0)})
    assert 0.3 < bars["wave"] <= 0.6
    assert best_thresholds(truth, {"a": Timeline((), 10.0)}) == {}


def test_entries_are_pooled_by_two():
    stream = make_stream(Pool(motion_clips(), StreamConfig(seconds=(20, 24))), (0,))
    rows = pose_rows(stream.joints, stream.confidence, stream.observed)
    entries = stream_entries(stream)
    assert entries.shape == (-(-len(rows) // 2), WIDTH)
    np.testing.assert_allclose(entries[3, 0], (rows[6:8, 0].mean() - 0.9) / 0.3, atol=1e-5)
    assert np.isfinite(pooled(rows[:1])).all()


def _iou(one: Segment, other: Segment) -> float:
    shared = min(one.end, other.end) - max(one.start, other.start)
    return shared / (max(one.end, other.end) - min(one.start, other.start))


@pytest.mark.data
def test_classes_cover_the_motion_set(mocap_folder: Path):
    import json

    index = json.loads((mocap_folder / "index.json").read_text("utf-8"))
    records = index if isinstance(index, list) else next(v for v in index.values() if isinstance(v, list))
    actions = {record["action"] for record in records}
    assert {label for label in (*classes.IDLE[:1], *classes.DISTRACTORS)} <= actions
    known = [record for record in records if classes.class_of_motion(record["action"])]
    assert len(known) > 0.9 * len(records)


def test_the_shipped_detector_has_the_classes_of_the_code():
    detector = load_pose_detector()
    assert detector.classes == classes.names()
    assert detector.config["class_version"] == classes.VERSION
    assert set(detector.thresholds) <= set(classes.names())
    assert all(0.05 <= bar <= 0.9 for bar in detector.thresholds.values())
    found = detect_person(detector, person(60), np.ones((60, NUM_BODY), np.float32), np.ones(60, bool), FPS)
    assert found.duration == 3.0
