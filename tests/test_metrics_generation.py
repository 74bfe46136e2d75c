"""Generation metrics: known answers, independent implementations, and what each must not be fooled by."""

from __future__ import annotations

import numpy as np
import pytest

from motion import metrics


def unit(rows: np.ndarray) -> np.ndarray:
    return (rows / np.linalg.norm(rows, axis=-1, keepdims=True)).astype(np.float32)


def embeddings(n: int, dim: int = 16, seed: int = 0) -> np.ndarray:
    return unit(np.random.default_rng(seed).standard_normal((n, dim)))


def test_perfect_embeddings_reach_one_and_random_ones_chance():
    text = embeddings(320, 64)
    texts, actions = [f"text {i}" for i in range(320)], [f"action {i % 8}" for i in range(320)]
    perfect = metrics.r_precision(text, text, texts, actions)
    assert perfect.micro[1].value == perfect.macro[1].value == 1
    chance = metrics.r_precision(embeddings(320, 64, seed=1), text, texts, actions)
    assert chance.micro[3].value == pytest.approx(3 / 32, abs=0.04)
    assert chance.micro[3].low < 3 / 32 < chance.micro[3].high


def test_r_precision_agrees_with_a_plain_loop_over_one_pool():
    motion, text = embeddings(32, 6), unit(embeddings(32, 6) + 0.4 * embeddings(32, 6, seed=1))
    texts = [f"t{i // 2}" for i in range(32)]
    found = metrics.r_precision(motion, text, texts, ["a"] * 32, repeats=1)
    for top in metrics.TOPS:
        right = 0
        for i in range(32):
            order = sorted((j for j in range(32) if j == i or texts[j] != texts[i]), key=lambda j: -motion[i] @ text[j])
            right += order.index(i) < top
        assert found.micro[top].value == pytest.approx(right / 32)


def test_identical_texts_never_compete():
    text = embeddings(64, seed=2)
    text[1::2] = text[0::2]
    texts = [f"t{i // 2}" for i in range(64)]
    assert metrics.r_precision(text, text, texts, ["a"] * 64).micro[1].value == 1


def test_one_constant_motion_for_every_text_earns_nothing():
    constant = np.repeat(embeddings(1), 64, axis=0)
    found = metrics.r_precision(constant, embeddings(64, seed=3), [str(i) for i in range(64)], ["a"] * 64)
    assert found.micro[1].value <= 2 / 32 + 0.03


def test_collapsed_text_embeddings_are_ties_and_ties_lose():
    same = np.repeat(embeddings(1), 64, axis=0)
    found = metrics.r_precision(same, same, [str(i) for i in range(64)], ["a"] * 64)
    assert found.micro[3].value == 0


def test_the_last_partial_pool_is_dropped_and_too_few_clips_are_refused():
    text = embeddings(70)
    texts = [str(i) for i in range(70)]
    assert metrics.r_precision(text, text, texts, ["a"] * 70, repeats=5).pools == 10
    with pytest.raises(ValueError, match="31 clips"):
        metrics.r_precision(text[:31], text[:31], texts[:31], ["a"] * 31)


def test_macro_weighs_actions_alike():
    text = embeddings(96, 64)
    motion = text.copy()
    motion[:8] = -motion[:8]
    actions = ["rare"] * 8 + ["common"] * 88
    found = metrics.r_precision(motion, text, [str(i) for i in range(96)], actions)
    assert found.micro[1].value == pytest.approx(88 / 96, abs=1e-6)
    assert found.macro[1].value == pytest.approx(0.5, abs=1e-6)


def test_balanced_pools_hold_every_action_once():
    actions = ["common"] * 200 + [f"rare {i}" for i in range(39)]
    text = embeddings(len(actions), 64)
    motion = text.copy()
    motion[:200] = -motion[:200]
    found = metrics.balanced_r_precision(motion, text, [str(i) for i in range(len(actions))], actions)
    assert found.macro[1].value == pytest.approx(39 / 40, abs=1e-6)
    assert found.pools == 50


def test_accuracy_micro_and_macro():
    micro, macro = metrics.accuracy(["a", "a", "a", "b"], ["a", "a", "a", "c"])
    assert micro.value == pytest.approx(0.75)
    assert macro.value == pytest.approx(0.5)
    assert micro.low <= micro.value <= micro.high


def test_mmd_agrees_with_the_definition_and_is_unbiased():
    x, y = embeddings(9, 4).astype(np.float64), embeddings(7, 4, seed=1).astype(np.float64)

    def k(a, b):
        return (a @ b + 1) ** 3

    within_x = np.mean([k(x[i], x[j]) for i in range(9) for j in range(9) if i != j])
    within_y = np.mean([k(y[i], y[j]) for i in range(7) for j in range(7) if i != j])
    between = np.mean([k(a, b) for a in x for b in y])
    assert metrics.mmd2(x, y) == pytest.approx(within_x + within_y - 2 * between)
    same = [metrics.mmd2(embeddings(40, 8, seed=s), embeddings(40, 8, seed=s + 500)) for s in range(200)]
    assert abs(np.mean(same)) < 3 * np.std(same) / 200**0.5


def test_kid_grows_as_samples_leave_the_reference():
    reference = embeddings(300, seed=1)
    near, _ = metrics.kid(embeddings(300, seed=2), reference)
    far, _ = metrics.kid(unit(embeddings(300, seed=2) + np.eye(16)[0]), reference)
    assert abs(near) < 20 < far
    halves, spread = metrics.kid_of_halves(reference)
    assert abs(halves) < spread


def test_matching_diversity_and_multimodality_on_known_geometry():
    one, other = np.eye(8)[:1].astype(np.float32), np.eye(8)[1:2].astype(np.float32)
    ones, others = np.repeat(one, 50, 0), np.repeat(other, 50, 0)
    assert metrics.matching_distance(ones, others).value == pytest.approx(2**0.5)
    assert metrics.diversity(ones).value == 0
    assert metrics.diversity(np.concatenate((ones, others))).value == pytest.approx(2**0.5 / 2, abs=0.12)
    assert metrics.multimodality(np.stack((ones, others), 1)).value == pytest.approx(2**0.5)
    assert metrics.multimodality(np.stack((ones, ones), 1)).value == 0


def test_nearest_finds_copies_and_orders_by_distance():
    bank = embeddings(200)
    index, distance = metrics.nearest(bank[[5, 17]], bank, 4)
    assert index[:, 0].tolist() == [5, 17]
    assert distance[:, 0] == pytest.approx([0, 0], abs=1e-3)
    assert (np.diff(distance, axis=1) >= 0).all()
    brute = np.sort(np.linalg.norm(bank[5] - bank, axis=1))[:4]
    np.testing.assert_allclose(distance[0], brute, atol=1e-3)


def test_pose_distance_finds_a_copied_stretch_turned_and_moved_elsewhere():
    rng = np.random.default_rng(0)
    clip = rng.standard_normal((40, 22, 3))
    c, s = np.cos(1.1), np.sin(1.1)
    turned = clip[12:30] @ np.array([[c, 0, -s], [0, 1, 0], [s, 0, c]]) + np.array([4.0, 0.0, -2.0])
    copied = metrics.pose_distance(metrics.local_poses(turned), metrics.local_poses(clip))
    fresh = metrics.pose_distance(metrics.local_poses(rng.standard_normal((18, 22, 3))), metrics.local_poses(clip))
    assert copied == pytest.approx(0, abs=1e-6)
    assert fresh > 0.5


def test_local_poses_face_forward_at_the_origin():
    rng = np.random.default_rng(1)
    poses = metrics.local_poses(rng.standard_normal((30, 22, 3)))
    across = poses[:, 1] - poses[:, 2] + poses[:, 16] - poses[:, 17]
    np.testing.assert_allclose(across[:, 2], 0, atol=1e-9)
    assert (across[:, 0] > 0).all()
    np.testing.assert_allclose(poses[:, 0, [0, 2]], 0, atol=1e-12)


def test_kinematic_ratios_compare_like_with_like():
    def clip(value: float) -> dict[str, float]:
        return dict.fromkeys(metrics.KINEMATICS, value)

    captured = {"walk": [clip(1.0), clip(3.0)], "run": [clip(8.0)], "fly": []}
    table = metrics.kinematic_ratios([clip(2.0), clip(4.0), clip(8.0), clip(99.0)], ["walk", "walk", "run", "fly"],
                                     captured)  # fmt: skip
    assert set(table) == {"walk", "run", "all"}
    assert table["walk"]["jerk"].ratio == pytest.approx(1.5)
    assert table["run"]["jerk"].ratio == pytest.approx(1.0)
    assert table["all"]["jerk"].ratio == pytest.approx((3 + 3 + 8) / (2 + 2 + 8))
    assert table["all"]["jerk"].clips == 3


def test_differences_too_small_to_see_are_no_difference():
    tiny, ten, hundred = ({**dict.fromkeys(metrics.KINEMATICS, 1.0), "penetration": v} for v in (1e-4, 0.9, 3.0))
    table = metrics.kinematic_ratios([ten], ["walk"], {"walk": [tiny]})
    assert table["walk"]["penetration"].ratio == 1
    table = metrics.kinematic_ratios([hundred], ["walk"], {"walk": [tiny]})
    assert table["walk"]["penetration"].ratio == pytest.approx(3)


def test_kinematics_of_a_sliding_sunk_body():
    joints = np.zeros((40, 22, 3))
    joints[:, :, 1] = np.linspace(0.9, 1.6, 22)
    joints[:, [7, 8, 10, 11], 1] = [0.07, 0.07, 0.01, 0.01]
    joints[:, :, 0] += 0.01 * np.arange(40)[:, None]
    values = metrics.kinematics(joints, 20.0)
    assert set(values) == set(metrics.KINEMATICS)
    assert values["foot_skate"] == pytest.approx(0.2, rel=1e-4)
    assert values["penetration"] == pytest.approx(15, rel=1e-4)
    assert values["bone_drift"] == pytest.approx(0, abs=1e-6)
