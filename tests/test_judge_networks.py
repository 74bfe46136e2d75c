"""The judge and the motion-text encoder: what padding, mirroring, batching and damage may and may not change."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from laban.errors import LabanError
from laban.weights import save_weights
from models.body.skeleton import MIRROR, NUM_BODY, PARENTS
from models.data.dataset import Caption, ClipRecord
from models.motion_text import learning
from models.motion_text.augment import BUILD, Augmentation, augment, change_build, change_speed, mirror
from models.motion_text.encoder import MotionTextEncoder, load_motion_text
from models.motion_text.examples import Example, agreement, example_weights, may_agree, stretches
from models.motion_text.network import MotionText, Sizes, pad_clips
from models.representation import joints as joint_features
from models.text.encoder import TextFeatures
from motion.judge.judge import load_judge
from motion.judge.network import JudgeNetwork

SIZES = Sizes(actions=6, width=32, layers=2, text_layers=1, heads=2, embedding=16)
NETWORKS = {"encoder": MotionText, "judge": JudgeNetwork}


def walk(frames: int = 60, seed: int = 0) -> np.ndarray:
    """Smooth made-up joints that travel and turn; (frames, 22, 3)."""
    rng = np.random.default_rng(seed)
    rest = rng.normal(0, 0.3, (NUM_BODY, 3)) + np.array([0, 1, 0])
    for left, right in ((j, MIRROR[j]) for j in range(NUM_BODY)):
        if left < right:
            rest[left, 0], rest[right, 0] = 0.2, -0.2
    time = np.arange(frames)[:, None, None] / 20
    sway = 0.05 * np.sin(2 * np.pi * time * rng.uniform(0.3, 1.2, (1, NUM_BODY, 3)))
    turn = 0.4 * np.arange(frames) / 20
    c, s = np.cos(turn), np.sin(turn)
    joints = rest + sway
    joints = np.stack((c[:, None] * joints[..., 0] + s[:, None] * joints[..., 2], joints[..., 1],
                       -s[:, None] * joints[..., 0] + c[:, None] * joints[..., 2]), -1)  # fmt: skip
    return joints + np.stack((0.3 * time, 0 * time, 0.9 * time), -1)[:, :, 0]


def features(frames: int = 60, seed: int = 0) -> torch.Tensor:
    return torch.from_numpy(joint_features.encode(walk(frames, seed)))


def network(kind: str) -> torch.nn.Module:
    torch.manual_seed(0)
    return NETWORKS[kind](SIZES).eval()


class Letters:
    """A text encoder made here: one-hot letters, up to eight of them."""

    name, width = "letters", 384

    def encode(self, texts: list[str]) -> TextFeatures:
        tokens, mask = torch.zeros(len(texts), 8, 384), torch.zeros(len(texts), 8, dtype=torch.bool)
        for row, text in enumerate(texts):
            for column, letter in enumerate((text or " ")[:8]):
                tokens[row, column, ord(letter) % 384] = 1
                mask[row, column] = True
        return TextFeatures(tokens.mean(1), tokens, mask)


def loaded(kind: str) -> MotionTextEncoder:
    return MotionTextEncoder(network(kind), Letters(), tuple("abcdef"), {})


@pytest.mark.parametrize("kind", NETWORKS)
def test_padding_and_company_do_not_change_an_answer(kind):
    model = network(kind)
    clips = [features(frames, seed) for seed, frames in enumerate((40, 80, 120))]
    with torch.no_grad():
        together = model.motion(*pad_clips(clips))
        alone = [model.motion(*pad_clips([clip])) for clip in clips]
    torch.testing.assert_close(together.embedding, torch.cat([a.embedding for a in alone]), atol=2e-5, rtol=0)
    torch.testing.assert_close(together.logits, torch.cat([a.logits for a in alone]), atol=2e-5, rtol=0)


@pytest.mark.parametrize("kind", NETWORKS)
def test_text_padding_does_not_change_an_answer(kind):
    model, short = network(kind), Letters().encode(["walk"])
    longer = Letters().encode(["walk", "backward"])
    with torch.no_grad():
        alone = model.text(short.tokens[:, :4], short.mask[:, :4])
        padded = model.text(longer.tokens, longer.mask)
    torch.testing.assert_close(padded[:1], alone, atol=2e-5, rtol=0)


@pytest.mark.parametrize("kind", NETWORKS)
def test_answers_keep_the_order_of_the_clips_and_are_unit_vectors(kind):
    encoder = loaded(kind)
    clips = [features(frames, seed).numpy() for seed, frames in enumerate((90, 30, 3, 60))]
    rows = encoder.embed_motion(clips, batch=2)
    for clip, row in zip(clips, rows, strict=True):
        np.testing.assert_allclose(encoder.embed_motion([clip])[0], row, atol=0.02)
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(encoder.classify(clips).sum(1), 1, atol=1e-4)
    np.testing.assert_allclose(np.linalg.norm(encoder.embed_text(["walk", "run"]), axis=1), 1, atol=1e-5)


def test_long_motion_is_read_in_windows_and_patches_come_every_fifth_of_a_second():
    encoder = loaded("encoder")
    assert encoder.embed_motion([features(900).numpy()]).shape == (1, 16)
    assert encoder.patches(features(60).numpy()).shape == (15, 32)


def test_a_part_head_sees_its_part_alone():
    model = network("judge")
    clip = features()
    touched = clip.clone()
    arm = joint_features.LAYOUT.parts["left arm"]
    touched[:, list(arm)] += 0.5
    with torch.no_grad():
        before, after = (model.motion(*pad_clips([c])).part_logits[0] for c in (clip, touched))
    changed = (before - after).abs().amax(-1) > 1e-6
    assert dict(zip(joint_features.LAYOUT.parts, changed.tolist(), strict=True)) == {
        "legs": False, "spine": False, "head": False, "left arm": True, "right arm": False
    }  # fmt: skip


def test_the_two_networks_share_no_motion_weights_by_shape_or_name():
    names = {kind: set(network(kind).motion.state_dict()) for kind in NETWORKS}
    assert not any("attention.query" in name for name in names["judge"])
    assert not any("recurrence" in name for name in names["encoder"])


# ------------------------------------------------------------------------------------------------------ augmentation


def test_mirrored_features_are_the_features_of_mirrored_joints():
    joints = walk()
    reflected = joints[:, list(MIRROR[:NUM_BODY])] * np.array([-1.0, 1.0, 1.0])
    expected = torch.from_numpy(joint_features.encode(reflected))
    torch.testing.assert_close(mirror(features()), expected, atol=1e-4, rtol=0)
    torch.testing.assert_close(mirror(mirror(features())), features())


def test_half_speed_doubles_the_frames_and_halves_the_rates():
    clip = features(41)
    slow = change_speed(clip, 0.5)
    assert len(slow) == 81
    torch.testing.assert_close(slow[::2, 4:67], clip[:, 4:67], atol=1e-5, rtol=0)
    torch.testing.assert_close(slow[::2, 67:], clip[:, 67:] / 2, atol=1e-5, rtol=0)
    torch.testing.assert_close(change_speed(clip, 1.0), clip, atol=1e-5, rtol=0)


def test_another_build_gives_the_features_of_a_body_with_those_bones():
    joints, scales = walk(), torch.tensor([1.2, 1.2, 1.2, 0.8])  # hips and shoulders alike keep the heading
    grown = joints.copy()
    grown[:, 0] = 1.2 * joints[:, 0]
    for joint in range(1, NUM_BODY):
        group = next(k for k, joints_ in enumerate(BUILD) if joint in joints_)
        grown[:, joint] = grown[:, PARENTS[joint]] + float(scales[group]) * (
            joints[:, joint] - joints[:, PARENTS[joint]]
        )
    changed, expected = change_build(features(), scales), torch.from_numpy(joint_features.encode(grown))
    torch.testing.assert_close(changed[:, :67], expected[:, :67], atol=1e-4, rtol=0)
    torch.testing.assert_close(changed[:, 67:], expected[:, 67:], atol=1e-3, rtol=0)


def test_augmentation_is_repeatable_bounded_and_leaves_the_original_alone():
    clip = features(300)
    kept = clip.clone()
    rule = Augmentation(frames=100, still=0.5)
    first, second = (augment(clip, rule, torch.Generator().manual_seed(5)) for _ in range(2))
    torch.testing.assert_close(first, second)
    torch.testing.assert_close(clip, kept)
    for seed in range(20):
        changed = augment(clip, rule, torch.Generator().manual_seed(seed))
        assert 4 <= len(changed) <= 100
        assert changed.isfinite().all()


# ---------------------------------------------------------------------------------------------------------- examples


def record(**changes: object) -> ClipRecord:
    base = {"id": "a", "source": "s", "action": "raise arms", "label": "raise-up-left-hand", "license": "CC0",
            "texts": ("a person raises the left hand",), "split": "train", "seconds": 4.0}  # fmt: skip
    return ClipRecord(**(base | changes))


def example(features_: torch.Tensor | None = None, **changes: object) -> Example:
    clip = record(**changes)
    return Example(clip, clip.action, f"{clip.label} {clip.style or ''}".strip(), clip.texts, clip.texts,
                   features() if features_ is None else features_)  # fmt: skip


def test_the_other_side_and_direction_are_true_negatives():
    left = example()
    right = example(label="raise-up-right-hand", texts=("a person raises the right hand",))
    elsewhere = example(source="t", label="lift", texts=("someone lifts the left arm",))
    other = example(action="walk", label="walk", texts=("a person walks",))
    assert not may_agree(left, right, (left.texts[0], right.texts[0]))
    assert may_agree(left, elsewhere, (left.texts[0], elsewhere.texts[0]))
    assert not may_agree(left, other, (left.texts[0], other.texts[0]))
    assert may_agree(left, other, ("someone moves", "someone moves"))
    table = agreement([left, right, elsewhere], [e.texts[0] for e in (left, right, elsewhere)])
    assert table.tolist() == [[True, False, True], [False, True, False], [True, False, True]]


def test_a_mirrored_example_changes_side_in_label_and_texts():
    flipped = learning.mirrored(example())
    assert flipped.label == "raise-up-right-hand"
    assert flipped.texts == ("a person raises the right hand",)
    assert flipped.action == "raise arms"


def test_an_idle_arm_is_not_taught_the_action():
    targets = learning.part_classes([example(), example(label="raise-up-both-hands")], torch.tensor([3, 3]))
    assert targets[0].tolist() == [3, 3, 3, 3, -100]
    assert targets[1].tolist() == [3] * 5


def test_stretches_of_a_take_with_segments_and_captions():
    from laban.timeline import Segment

    clip = record(action="sequence", seconds=30.0, label="take", texts=("walks and sits",),
                  segments=(Segment(1, 4, "walk"), Segment(5, 5.2, "walk"), Segment(6, 9, "juggle")),
                  captions=(Caption(2.0, 8.0, ("A man walks.",)),))  # fmt: skip
    found = stretches(clip, ["sequence", "walk"])
    assert [(s.start, s.end, s.action) for s in found] == [(2.0, 8.0, "sequence"), (1, 4, "walk")]
    assert found[0].texts == ("a man walks",)
    assert any("walks" in text for text in found[1].texts)


def test_rare_actions_are_drawn_more_and_noisy_clips_less_than_their_share():
    common = [example(id=str(i)) for i in range(98)]
    rare = [example(action="bow", label="bow"), example(action="bow", label="bow", flags=("noisy",))]
    weights = example_weights(common + rare)
    assert weights.sum() == pytest.approx(1)
    assert weights[-2:].sum() > 0.02
    assert weights[-1] < 0.5 * weights[-2]


# ---------------------------------------------------------------------------------------------------------- learning


def test_contrastive_ignores_pairs_that_may_agree():
    torch.manual_seed(0)
    motion = torch.nn.functional.normalize(torch.randn(4, 8), dim=-1)
    text = motion.clone()
    text[1] = motion[0]  # text 1 also describes motion 0
    agree = torch.eye(4, dtype=torch.bool)
    strict = learning.contrastive(motion, text, torch.tensor(3.0), agree)
    agree[0, 1] = agree[1, 0] = True
    assert learning.contrastive(motion, text, torch.tensor(3.0), agree) < strict


@pytest.mark.slow
@pytest.mark.parametrize("kind", NETWORKS)
def test_both_networks_learn_to_tell_three_motions_apart(kind):
    examples = [example(features(60, "abc".index(name)), id=f"{name}{k}", action=name, label=name, texts=(name,))
                for name in "abc" for k in range(4)]  # fmt: skip
    from models.motion_text.examples import text_table

    table = text_table(learning.every_wording(examples), Letters())
    plan = learning.BatchPlan(size=12, augmentation=Augmentation(trim=0.05, speed=0.1))
    batches = learning.batch_maker(examples, ["a", "b", "c", "d", "e", "f"], table, plan)
    model, loss = network(kind).train(), learning.learning_loss(0.5, 0.1)
    model.motion.normalise.set(torch.cat([e.features for e in examples]))
    optimizer = torch.optim.AdamW(model.parameters(), 3e-3)
    for step in range(60):
        terms = loss(model, batches(step), torch.Generator())
        optimizer.zero_grad()
        terms["loss"].backward()
        optimizer.step()
    with torch.no_grad():
        output = model.eval().motion(*pad_clips([e.features for e in examples]))
        text = model.text(*table.take([e.texts[0] for e in examples]))
    wanted = torch.tensor([ord(e.action) - ord("a") for e in examples])
    assert (output.logits.argmax(-1) == wanted).all()
    nearest = (output.embedding @ text.T).argmax(-1)
    assert (wanted[nearest] == wanted).all()


def test_batches_depend_on_the_step_alone():
    examples = [example(features(40, seed), id=str(seed)) for seed in range(4)]
    from models.motion_text.examples import text_table

    table = text_table(learning.every_wording(examples), Letters())
    batches = learning.batch_maker(examples, ["raise arms"], table, learning.BatchPlan(size=4))
    torch.testing.assert_close(batches(7).features, batches(7).features)
    assert batches(7).features.shape != batches(8).features.shape or (batches(7).features != batches(8).features).any()


# ------------------------------------------------------------------------------------------------------- checkpoints


def write_checkpoint(folder: Path, kind: str) -> None:
    from dataclasses import asdict

    from models.text.encoder import load_text_encoder

    config = {"sizes": asdict(SIZES), "actions": list("abcdef"), "text_encoder": "embedded",
              "text_name": load_text_encoder().name}  # fmt: skip
    save_weights(folder, network(kind).state_dict(), config, "card")


def test_a_judge_with_changed_weights_is_refused(tmp_path):
    write_checkpoint(tmp_path / "judge", "judge")
    assert load_judge(tmp_path / "judge").predict([features().numpy()])[0] in "abcdef"
    copy = tmp_path / "changed"
    write_checkpoint(copy, "judge")
    tensors = load_file(copy / "model.safetensors")
    tensors["motion.actions.bias"][0] += 1
    save_file(tensors, copy / "model.safetensors")
    with pytest.raises(LabanError, match="SHA-256"):
        load_judge(copy)


def test_an_encoder_trained_on_another_text_encoder_is_refused(tmp_path):
    write_checkpoint(tmp_path / "e", "encoder")
    config = json.loads((tmp_path / "e" / "config.json").read_text())
    (tmp_path / "e" / "config.json").write_text(json.dumps(config | {"text_name": "student:other"}))
    with pytest.raises(LabanError, match="text encoder"):
        load_motion_text(tmp_path / "e")


def test_a_judge_is_not_taken_for_an_encoder(tmp_path):
    write_checkpoint(tmp_path / "j", "judge")
    with pytest.raises(LabanError, match="tensors"):
        load_motion_text(tmp_path / "j")
