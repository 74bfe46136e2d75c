"""Constraints: they hold at their moments whatever the network makes, and files of them say what is wrong."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from laban.errors import LabanError
from laban.timeline import PARTS, Segment, Timeline
from models.body.limbs import ARMS, bend, pose_of
from models.body.mirror import mirror_rotations
from models.body.model import load_body
from models.body.pose import motion_joints
from models.body.skeleton import JOINT
from models.body.vectors import axis_rotation, rotation_angle
from models.diffusion.denoiser import DenoiserConfig
from models.formats import write_motion
from models.motion import Motion
from models.representation import rifke
from motion.compose import Control, generate_timelines
from motion.constraint_files import pose_of_file, read_constraints
from motion.constraints import Constraints, JointKey, PoseKey, RootKey, mirrored, misses, pose_key
from motion.enforce import enforce
from motion.generate import FPS, GenerateConfig, generate
from motion.generator import Generator, GeneratorConfig, save_generator

SMALL = DenoiserConfig(rifke.LAYOUT.features, width=32, layers=2, heads=2, hidden=64)
QUICK = GenerateConfig(steps=4, guidance=1.5, candidates=1)
UP = np.array([0.0, 1.0, 0.0])


@pytest.fixture
def checkpoint(tmp_path):
    """A checkpoint folder with random weights whose poses are near the T-pose, its pelvis at standing height."""
    torch.manual_seed(0)
    network = Generator(GeneratorConfig(SMALL, known=(("walk", 3),)), load_body().joint_template)
    torch.nn.init.normal_(network.denoiser.out.weight, std=0.1)
    network.mean[0] = 0.95
    network.mean[4:136] = torch.eye(3)[:, :2].T.flatten().repeat(22)
    network.std.fill_(0.05)
    save_generator(tmp_path / "small", network, "# small\n")
    return tmp_path / "small"


def walking(frames: int = 80, speed: float = 1.0, fps: float = FPS) -> Motion:
    """Somebody gliding forward whose arms and spine sway."""
    rng = np.random.default_rng(5)
    rotations = np.broadcast_to(np.eye(3, dtype=np.float32), (1, frames, 55, 3, 3)).copy()
    for joint in range(22):
        axis = rng.normal(size=3)
        angle = 0.3 * np.sin(np.arange(frames) / fps * 3 + rng.uniform(0, 6))
        rotations[0, :, joint] = axis_rotation(axis / np.linalg.norm(axis), angle)
    root = np.zeros((1, frames, 3), np.float32)
    root[0, :, 1], root[0, :, 2] = 1.3, speed * np.arange(frames) / fps
    return Motion(rotations, root, fps)


def posed(time: float, place: tuple[float, float], yaw: float) -> PoseKey:
    rng = np.random.default_rng(round(time * 10))
    axes = rng.normal(size=(22, 3))
    rotations = axis_rotation(axes / np.linalg.norm(axes, axis=-1, keepdims=True), rng.uniform(-0.6, 0.6, 22))
    rotations[0] = axis_rotation(UP, np.array(float(yaw))) @ rotations[0]
    return PoseKey(time, rotations, np.array([float(place[0]), 0.9, float(place[1])]))


def hand(time: float = 1.5, place: tuple[float, float, float] = (-0.3, 1.3, 0.4)) -> JointKey:
    return JointKey(time, "right_wrist", np.array(place, float), axis_rotation(UP, np.array(0.4)))


EVERY_KIND = {
    "in-between": Constraints(poses=(posed(0.0, (1.0, 2.0), 2.0), posed(2.0, (0.5, 3.0), -2.5))),
    "later pose": Constraints(poses=(posed(1.5, (0.4, 0.8), 0.5),)),
    "end alone": Constraints(poses=(posed(2.9, (5.0, 5.0), 3.0),), anchored=False),
    "path": Constraints(path=tuple(RootKey(t, (0.5 * t, -t), height=None) for t in (0.0, 1.0, 2.0, 2.9))),
    "headings": Constraints(path=tuple(RootKey(t, (t, 0.2), heading=t) for t in (0.0, 1.0, 2.0))),
    "dense path": Constraints(path=tuple(RootKey(k / FPS, (0.0, k / FPS)) for k in range(60))),
    "hand": Constraints(joints=(hand(),)),
    "far hand": Constraints(joints=(JointKey(2.5, "left_wrist", np.array([1.5, 1.2, 0.8])),)),
    "low hand": Constraints(joints=(JointKey(1.5, "left_wrist", np.array([0.3, 0.15, 0.5])),)),
    "foot": Constraints(joints=(JointKey(1.0, "left_foot", np.array([0.2, 0.4, 0.4])),)),
    "together": Constraints((posed(0.0, (0.0, 0.0), 0.0),), (RootKey(1.5, (0.2, 0.3)),),
                            (hand(1.5, (-0.2, 1.2, 0.6)), JointKey(2.5, "left_ankle", np.array([0.1, 0.3, 0.6])))),
}  # fmt: skip


@pytest.mark.parametrize("kind", EVERY_KIND)
def test_an_untrained_network_meets_every_kind(checkpoint, kind) -> None:
    wanted = EVERY_KIND[kind]
    motion = generate(["a person walks"], 3.0, checkpoint=checkpoint, config=QUICK, constraints=wanted)[0]
    assert motion.frames == 60 and len(misses(motion, wanted)) == len(wanted)
    for miss in misses(motion, wanted):
        assert miss.metres < 0.01 and miss.degrees < 2.0, miss
    steps = np.linalg.norm(np.diff(motion_joints(motion)[0], axis=0), axis=-1)
    assert steps.max() < 0.8, "nobody jumps from frame to frame"


def test_long_clips_and_candidates_meet_them_too(checkpoint) -> None:
    wanted = Constraints((posed(0.0, (0.0, 0.0), 0.0), posed(11.0, (1.0, 4.0), 1.0)), (RootKey(6.0, (2.0, 2.0)),))
    config = replace(QUICK, candidates=2)
    for seconds, texts in ((12.0, ["a person walks"]), (11.05, ["a person walks", "a person runs"])):
        for motion in generate(texts, seconds, checkpoint=checkpoint, config=config, constraints=wanted):
            assert max(miss.metres for miss in misses(motion, wanted)) < 0.01


@pytest.mark.parametrize("method", ["stmc", "sinc"])
def test_scores_meet_them_too(checkpoint, method) -> None:
    score = Timeline((Segment(0.0, 2.0, "a person walks", PARTS), Segment(2.0, 4.0, "a person runs", PARTS)))
    wanted = Constraints((posed(1.0, (0.3, 0.5), 0.4),), (RootKey(4.0, (0.0, 2.0)),), (hand(3.0, (0.0, 1.3, 1.8)),))
    control = Control(method)
    for motion in generate_timelines([score, score], checkpoint=checkpoint, config=QUICK, control=control,
                                     constraints=wanted):  # fmt: skip
        for miss in misses(motion, wanted):
            assert miss.metres < 0.01 and miss.degrees < 2.0, miss
    with pytest.raises(LabanError, match="outside the clip"):
        generate_timelines([score], checkpoint=checkpoint, config=QUICK, constraints=EVERY_KIND["headings"]
                           + Constraints(path=(RootKey(9.0, (0.0, 0.0)),)))  # fmt: skip


def test_no_constraint_changes_nothing(checkpoint) -> None:
    free = generate(["a person walks"], 2.0, checkpoint=checkpoint, config=QUICK)[0]
    for nothing in (None, Constraints()):
        same = generate(["a person walks"], 2.0, checkpoint=checkpoint, config=QUICK, constraints=nothing)[0]
        np.testing.assert_array_equal(free.rotations, same.rotations)
        np.testing.assert_array_equal(free.root, same.root)


@pytest.mark.parametrize("kind", EVERY_KIND)
def test_the_mirror_image_is_corrected_to_the_mirror_image(kind) -> None:
    motion, wanted = walking(), EVERY_KIND[kind]

    def mirror(one: Motion) -> Motion:
        rotations, root = mirror_rotations(one.rotations, one.root)
        return replace(one, rotations=rotations, root=root)

    there, back = enforce(mirror(motion), mirrored(wanted)), mirror(enforce(motion, wanted))
    np.testing.assert_allclose(there.root, back.root, atol=2e-3)
    np.testing.assert_allclose(there.rotations, back.rotations, atol=1e-2)


@pytest.mark.parametrize("kind", [kind for kind, wanted in EVERY_KIND.items() if len(wanted.path) < 2])
def test_what_holds_already_is_left_alone(kind) -> None:
    once = enforce(walking(), EVERY_KIND[kind])
    again = enforce(once, EVERY_KIND[kind])
    assert np.abs(motion_joints(again) - motion_joints(once)).max() < 0.03


def test_corrections_are_local_and_without_jumps() -> None:
    motion = walking()
    joints = motion_joints(motion)[0]
    key = JointKey(2.0, "right_wrist", joints[40, JOINT["right_wrist"]] + np.array([0.1, -0.1, 0.1]))
    moved = enforce(motion, Constraints(joints=(key,)))
    change = np.linalg.norm(motion_joints(moved)[0] - joints, axis=-1)
    others = [j for j in range(22) if j not in (JOINT["right_elbow"], JOINT["right_wrist"])]
    assert change[:, others].max() < 1e-4 and change[[*range(28), *range(52, 80)]].max() < 1e-4
    assert np.diff(change[:, JOINT["right_wrist"]]).max() < 0.05


def test_a_path_turns_the_walker_and_a_backward_walker_stays_one() -> None:
    path = Constraints(path=tuple(RootKey(t, (t, 0.0)) for t in np.linspace(0, 3.9, 9)))
    for speed, facing in ((1.0, np.pi / 2), (-1.0, -np.pi / 2)):
        motion = walking(speed=speed)
        done = enforce(replace(motion, rotations=np.broadcast_to(np.eye(3, dtype=np.float32), motion.rotations.shape)),
                       path)  # fmt: skip
        ahead = done.rotations[0, 40, 0, :, 2]
        assert np.arctan2(ahead[0], ahead[2]) == pytest.approx(facing, abs=0.05)


def test_the_first_constraint_places_the_whole_motion() -> None:
    motion = walking()
    key = posed(0.0, (3.0, -2.0), 1.2)
    done = enforce(motion, Constraints(poses=(key,)))
    far = motion_joints(done)[0, -1, 0] - motion_joints(done)[0, 0, 0]
    assert np.linalg.norm(far) == pytest.approx(float(motion.root[0, -1, 2]), abs=0.05)
    assert misses(done, Constraints(poses=(key,)))[0].metres < 1e-4


def test_elbows_bend_the_natural_way() -> None:
    rest = load_body().joint_template
    rotations = np.broadcast_to(np.eye(3), (1, 22, 3, 3)).copy()
    for arm in ARMS:
        pose = pose_of(rotations, np.zeros((1, 3)), rest)
        inward = 0.15 * (pose.places[:, arm.start] - pose.places[:, arm.end])
        bend(rotations, pose, arm, np.zeros((1, 3)), inward)
        after = pose_of(rotations, np.zeros((1, 3)), rest).places[0]
        np.testing.assert_allclose(after[arm.end], pose.places[0, arm.end] + inward[0], atol=2e-3)
        assert after[arm.middle, 2] < after[arm.start, 2] - 0.02, "the elbow goes back, the forearm comes forward"


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: Constraints(path=(RootKey(1.0, (0.0, float("nan"))),)), "NaN"),
        (lambda: Constraints(path=(RootKey(-1.0, (0.0, 0.0)),)), "seconds from 0"),
        (lambda: Constraints(poses=(posed(1.0, (0, 0), 0.0), posed(1.0, (1, 0), 0.0))), "two full-body poses at 1 s"),
        (lambda: Constraints(path=(RootKey(1.0, (0, 0)), RootKey(1.0, (1, 0)))), "two places of the root at 1 s"),
        (lambda: Constraints(poses=(posed(1.0, (0, 0), 0),), path=(RootKey(1.0, (1, 0)),)), "and a place of the root"),
        (lambda: Constraints(joints=(replace(hand(), joint="tail"),)), "accepted: left_wrist"),
    ],
)
def test_what_contradicts_itself_is_refused(make, says) -> None:
    with pytest.raises(LabanError, match=says):
        make()


@pytest.mark.parametrize(
    ("wanted", "says"),
    [
        (Constraints(path=(RootKey(9.0, (0.0, 0.0)),)), "outside the clip; accepted: 0 to 3 s"),
        (Constraints(joints=(hand(1.0, (0.0, 3.5, 0.2)),)), "height of 3.50 m cannot be reached"),
        (Constraints(joints=(hand(1.0, (0.0, -0.5, 0.2)),)), "cannot be reached"),
        (Constraints(path=(RootKey(1.0, (30.0, 0.0)),)), "accepted: up to 8 m/s"),
        (Constraints(path=(RootKey(1.0, (0.0, 0.0)),), joints=(hand(1.0, (0.0, 1.0, 2.5)),)), "from the root"),
        (Constraints(poses=(posed(1.0, (0, 0), 0),), joints=(hand(1.0, (0, 1, 1)),)), "a full-body pose and a place"),
    ],
)
def test_what_no_body_can_do_is_refused(checkpoint, wanted, says) -> None:
    with pytest.raises(LabanError, match=says):
        generate(["a person walks"], 3.0, checkpoint=checkpoint, config=QUICK, constraints=wanted)


def test_kimodos_fields_are_read(tmp_path) -> None:
    key = posed(2.0, (0.1, 0.2), 0.3)
    from models.rotations import matrix_to_axis_angle

    body = {"local_joints_rot": [matrix_to_axis_angle(torch.from_numpy(key.rotations)).tolist()],
            "root_positions": [key.pelvis.tolist()], "frame_indices": [60]}  # fmt: skip
    path = tmp_path / "moves.json"
    path.write_text(json.dumps([
        {"type": "root2d", "frame_indices": [0, 30], "smooth_root_2d": [[0, 0], [0.5, 1]],
         "global_root_heading": [[1, 0], [0, 1]]},
        {"type": "fullbody", **body, "smooth_root_2d": [[0.1, 0.2]]},
        {"type": "left-hand", **body}, {"type": "end-effector", "joint_names": ["RightFoot", "Hips"], **body},
    ]))  # fmt: skip
    read = read_constraints(path)
    assert [k.time for k in read.path] == [0.0, 1.0, 2.0, 2.0] and read.path[1].position == (0.5, 1.0)
    assert [k.heading for k in read.path[:2]] == pytest.approx([0.0, np.pi / 2])
    assert rotation_angle(np.swapaxes(read.poses[0].rotations, -1, -2) @ key.rotations).max() < 1e-4
    assert [k.joint for k in read.joints] == ["left_wrist", "right_ankle"]
    done = enforce(walking(), Constraints(poses=(key,)))
    for miss in misses(done, read)[-2:]:
        assert miss.metres < 1e-3 and miss.degrees < 0.1


def test_the_plain_form_is_read(tmp_path) -> None:
    write_motion(walking(), tmp_path / "clip.npz")
    path = tmp_path / "moves.json"
    path.write_text(json.dumps([
        {"type": "fullbody", "time": 0, "pose": "clip.npz@2"},
        {"type": "fullbody", "time": 3, "pose": "clip.npz", "position": [1, 2], "heading": 90},
        {"type": "root2d", "times": [1, 2], "positions": [[0, 3], [0, 4]], "headings": [0, 90]},
        {"type": "right-hand", "time": 1.5, "position": [0.2, 1.2, 0.4], "rotation": [0, 0, 0]},
    ]))  # fmt: skip
    read = read_constraints(path)
    assert read.poses[0].pelvis[2] == pytest.approx(2.01, abs=1e-3)
    assert read.poses[1].pelvis[[0, 2]].tolist() == [1, 2]
    assert read.path[1].heading == pytest.approx(np.pi / 2)
    np.testing.assert_allclose(read.joints[0].rotation, np.eye(3), atol=1e-6)
    last = pose_of_file(f"{tmp_path}/clip.npz", "--from", None, 0.0)
    np.testing.assert_allclose(last.pelvis, pose_key(walking(), 79 / FPS, 0.0).pelvis, atol=1e-4)
    with pytest.raises(LabanError, match="accepted: MOTION or MOTION@SECOND"):
        pose_of_file(f"{tmp_path}/clip.npz@soon", "--from", None, 0.0)


@pytest.mark.parametrize(
    ("entry", "says"),
    [
        ({"type": "root2"}, "entry 0: type is \"root2\" .did you mean 'root2d'"),
        ({"type": "right-hand", "time": 1, "positon": [1, 1, 1]}, "field 'positon' .*did you mean 'position'"),
        ({"type": "right-hand", "time": 1}, "has no 'position'"),
        ({"type": "right-hand", "position": [1, 1, 1]}, "has no time"),
        ({"type": "right-hand", "time": 1, "position": [1, 1]}, "shape .1, 2.; accepted: 3 numbers"),
        ({"type": "root2d", "times": [0, 1], "positions": [[0, 0]]}, "1 values for 2 moments"),
        ({"type": "root2d", "frame_indices": [0.5], "positions": [[0, 0]]}, "whole numbers"),
        ({"type": "root2d", "time": 1, "position": [float("nan"), 0]}, "NaN"),
        ({"type": "root2d", "time": -1, "position": [0, 0]}, "numbers from 0"),
        ({"type": "fullbody", "time": 1}, "has no pose"),
        ({"type": "fullbody", "time": 1, "pose": "nowhere.npz"}, "nowhere.npz"),
        ({"type": "fullbody", "time": 1, "local_joints_rot": [[[0, 0, 0]] * 77], "root_positions": [[0, 1, 0]]},
         "has 77 joints; accepted: 22"),
        ({"type": "end-effector", "time": 1, "joint_names": ["LeftHnd"], "position": [0, 1, 0]}, "mean 'LeftHand'"),
        ("root2d", "accepted: an object"),
    ],
)  # fmt: skip
def test_bad_files_say_where_and_what(tmp_path, entry, says) -> None:
    path = tmp_path / "moves.json"
    path.write_text(json.dumps([entry]))
    with pytest.raises(LabanError, match=says) as error:
        read_constraints(path)
    assert "moves.json: entry 0" in str(error.value) and "\n" not in str(error.value)


def test_a_file_that_is_no_list_is_refused(tmp_path) -> None:
    path = tmp_path / "moves.json"
    path.write_text("{}")
    with pytest.raises(LabanError, match=r"moves\.json: is .* accepted: a JSON list"):
        read_constraints(path)
