"""From pictures to people: detections, following, lifting to the 22 body joints, and the features of a video."""

from __future__ import annotations

import itertools
from dataclasses import replace
from importlib.util import find_spec

import numpy as np
import pytest

from laban.errors import LabanError
from laban.files import cache_folder
from laban.timeline import FrameGrid
from models.body.retarget_body import target_body
from models.body.skeleton import JOINT, JOINT_NAMES, PARENTS
from models.formats.arrays import write_npz
from models.representation import joints as joint_features
from models.video.blazepose import (
    DETECTOR_SIZE,
    LANDMARK_SIZE,
    Landmarks,
    PoseNetworks,
    Region,
    _crop_matrix,
    _turned,
    anchors,
    decode_detections,
    refine,
)
from models.video.container import Info, Raw
from models.video.lifting import SEEN_BY, Shots, camera_pitch, floor_level, joint_confidence, lift, rebuild
from models.video.pose import People, Person, Tracks, read_people, stream_features, streams
from models.video.reading import Video
from models.video.tracking import Tracker, track_people
from models.video.tracks_file import SHAPES, read_tracks_file, write_tracks

INSTALLED = cache_folder()
"""The user's own cache, before the tests hide it."""

SIZE = (640, 480)


# --- a person whose landmarks are known -------------------------------------------------------------------------------


def standing(frames: int = 40) -> np.ndarray:
    """Landmarks of the open body at rest, arms down, facing the camera: metres, Y up, the feet on the floor."""
    body = target_body()
    points = np.zeros((33, 3))
    for landmark, name in {11: "left_shoulder", 12: "right_shoulder", 23: "left_hip", 24: "right_hip",
                           25: "left_knee", 26: "right_knee", 27: "left_ankle", 28: "right_ankle"}.items():  # fmt: skip
        points[landmark] = body.joints[JOINT[name]]
    for side, (elbow, wrist, shoulder) in enumerate(((13, 15, 11), (14, 16, 12))):
        points[elbow] = points[shoulder] + (0, -0.25, 0)
        points[wrist] = points[elbow] + (0, -0.245, 0)
        points[31 + side] = body.joints[JOINT["left_foot" if side == 0 else "right_foot"]]
        points[29 + side] = points[27 + side] + (0, -0.05, -0.04)
        points[7 + side] = body.joints[JOINT["head"]] + ((0.07, 0.05, 0), (-0.07, 0.05, 0))[side]
    points[0] = body.joints[JOINT["head"]] + (0, 0.03, 0.1)
    points[:, 1] -= body.floor
    return np.repeat(points[None], frames, 0)


def filmed(points: np.ndarray, place: np.ndarray, pitch: float = 0.0) -> Shots:
    """What the network would say of landmarks (Y up) when their person stands at `place` before a camera 1 m up."""
    cos, sin = np.cos(pitch), np.sin(pitch)
    look = np.array([[1, 0, 0], [0, cos, -sin], [0, sin, cos]])
    seen = (points + place[:, None] - (0, 1.0, 0)) @ look.T * (1, -1, -1)
    pixels = seen[..., :2] / seen[..., 2:] * max(SIZE) + np.array(SIZE) / 2
    world = seen - seen[:, [23, 24]].mean(1, keepdims=True)
    image = np.concatenate([pixels, np.zeros_like(pixels[..., :1])], -1)
    return Shots(image, world, np.ones(points.shape[:2]), 20.0, SIZE)


def still(frames: int, z: float = -4.0) -> np.ndarray:
    return np.tile((0.0, 0.0, z), (frames, 1))


def test_somebody_who_stands_is_put_on_the_floor_with_the_bodys_bones():
    joints = lift(filmed(standing(), still(40)))
    body = target_body()
    arms = [j for j, name in enumerate(JOINT_NAMES[:22]) if "elbow" in name or "wrist" in name]
    others = [j for j in range(22) if j not in arms]
    rest = body.joints - (0, body.floor, 0)
    rest[:, [0, 2]] -= rest[:1, [0, 2]]
    assert joints[:, others] == pytest.approx(np.tile(rest[others], (40, 1, 1)), abs=0.03)
    lengths = np.linalg.norm(joints[:, 1:] - joints[:, PARENTS[1:22]], axis=-1)
    bones = np.linalg.norm(body.joints[1:] - body.joints[list(PARENTS[1:22])], axis=-1)
    assert lengths == pytest.approx(np.tile(bones, (40, 1)), abs=1e-4)


def test_left_is_left_and_forward_is_towards_the_camera():
    joints = lift(filmed(standing(), still(40)))[20]
    assert joints[JOINT["left_wrist"], 0] > 0.1 > -0.1 > joints[JOINT["right_wrist"], 0]
    assert joints[JOINT["left_foot"], 2] > joints[JOINT["left_ankle"], 2] + 0.05
    assert np.abs(joint_features.encode(lift(filmed(standing(), still(40))).astype(float))[:, 3]).max() < 1e-3


def test_walking_and_coming_nearer_is_travel_in_metres():
    place = np.column_stack([np.linspace(-1, 1, 80), np.zeros(80), np.linspace(-6, -4, 80)])
    joints = lift(filmed(standing(80), place))
    travel = joints[-10, 0] - joints[10, 0]
    assert travel == pytest.approx((place[-10] - place[10]), abs=0.15)


def test_a_jump_leaves_the_floor_and_lands_on_it():
    place = still(60)
    place[25:35, 1] = 0.3 * np.sin(np.linspace(0, np.pi, 10))
    joints = lift(filmed(standing(60), place))
    pelvis = joints[:, 0, 1]
    assert pelvis[29:31].max() - pelvis[5] == pytest.approx(0.3, abs=0.05)
    assert pelvis[50] == pytest.approx(pelvis[5], abs=0.03)


def test_the_look_of_a_camera_that_points_down_is_taken_out():
    level, down = (lift(filmed(standing(), still(40), pitch)) for pitch in (0.0, 0.3))
    assert down == pytest.approx(level, abs=0.06)
    assert camera_pitch(rebuild(filmed(standing(), still(40), 0.3).world * (1, -1, -1))) == pytest.approx(0.3, abs=0.06)


def test_somebody_lying_down_tells_nothing_of_the_camera():
    lying = standing()[..., [1, 0, 2]] * (1, 1, -1)
    assert camera_pitch(rebuild(lying)) == 0.0


def test_a_knee_that_bends_backward_is_straightened_and_one_that_bends_forward_is_kept():
    points = standing()
    points[:, 25, 2] -= 0.15
    points[:, 26, 2] += 0.15
    joints = rebuild(points)
    for side, forward in (("left", 0.0), ("right", 0.13)):
        hip, knee, ankle = (joints[0, JOINT[f"{side}_{name}"]] for name in ("hip", "knee", "ankle"))
        assert knee[2] - (hip[2] + ankle[2]) / 2 == pytest.approx(forward, abs=0.04)


def test_the_floor_follows_slowly_and_ignores_short_flights():
    joints = np.repeat((target_body().joints - (0, target_body().floor, 0))[None], 100, 0)
    joints[40:48, :, 1] += 0.4
    assert np.abs(floor_level(joints, 20.0)).max() < 0.02


def test_confidence_is_that_of_the_landmarks_behind_a_joint():
    visibility = np.ones((3, 33))
    visibility[:, [25, 27, 31]] = 0.1
    confidence = joint_confidence(visibility)
    low = {JOINT_NAMES[j] for j in np.flatnonzero(confidence[0] < 0.5)}
    assert low == {"left_knee", "left_ankle", "left_foot"}
    assert tuple(SEEN_BY) == JOINT_NAMES[:22]


# --- the networks' numbers --------------------------------------------------------------------------------------------


def test_detections_are_decoded_and_overlapping_ones_are_merged():
    boxes, logits = np.zeros((2254, 12), np.float32), np.full(2254, -20.0, np.float32)

    def place(anchor, x, y, score):
        where = np.array([(x, y), (0.4, 0.8), (x, y), (x, y - 0.3), (x, y), (x, y)])
        where[[0, 2, 3, 4, 5]] -= anchors()[anchor]
        boxes[anchor], logits[anchor] = (where * DETECTOR_SIZE).ravel(), score

    place(100, 0.30, 0.5, 3.0)
    place(101, 0.32, 0.5, 3.0)
    place(2000, 0.80, 0.5, 5.0)
    rows = decode_detections(boxes, logits)
    assert rows[:, 1] == pytest.approx([0.80, 0.31], abs=1e-5)
    assert rows[:, 0] == pytest.approx(1 / (1 + np.exp([-5.0, -3.0])), abs=1e-5)
    assert rows[0, 5:9] == pytest.approx([0.8, 0.5, 0.8, 0.2], abs=1e-5)
    assert decode_detections(boxes, np.full(2254, -20.0, np.float32)).shape == (0, 13)


@pytest.mark.parametrize("angle", [0.0, 0.7, -2.5])
def test_a_crop_is_the_turned_square_and_world_points_turn_back(angle):
    region = Region(200.0, 150.0, 100.0, angle)
    a, b, c, d, e, f = _crop_matrix(region)
    half = LANDMARK_SIZE / 2
    assert (a * half + b * half + c, d * half + e * half + f) == pytest.approx((200, 150))
    top = np.array([a * half + c, d * half + f]) - (200, 150)
    assert np.arctan2(top[0], -top[1]) == pytest.approx(angle) and np.hypot(*top) == pytest.approx(50)
    up = np.zeros((33, 3), np.float32)
    up[:, 1] = -1
    turned = _turned(up, angle)[0]
    assert turned[:2] == pytest.approx(top / 50, abs=1e-6)


def test_landmarks_move_to_the_heat_around_them_and_stay_where_there_is_none():
    heat = np.full((64, 64, 39), -20.0, np.float32)
    heat[20:23, 30:33, 5] = 10.0
    points = np.full((39, 2), 0.5, np.float32)
    points[5] = (30 / 64, 20 / 64)
    points[6] = (-0.2, 0.5)
    refined = refine(points, heat)
    assert refined[5] == pytest.approx((31 / 64, 21 / 64), abs=1e-4)
    assert np.delete(refined, 5, 0) == pytest.approx(np.delete(points, 5, 0))


# --- following --------------------------------------------------------------------------------------------------------


class Stage:
    """Stands in for the networks: people are (x, y, side) by the picture's number, which its pixels hold."""

    def __init__(self, people):
        self.people, self.searches, self.looks = people, 0, 0

    def _now(self, picture):
        return self.people(int(picture[0, 0, 0]))

    def detect(self, picture):
        self.searches += 1
        return [(0.9, Region(x, y, side, 0.0)) for x, y, side in self._now(picture)]

    def landmarks(self, picture, region):
        self.looks += 1
        near = [p for p in self._now(picture) if np.hypot(p[0] - region.x, p[1] - region.y) < region.side / 2]
        x, y, side = min(near or [(region.x, region.y, region.side)], key=lambda p: np.hypot(p[0] - region.x, p[1]))
        image = np.zeros((33, 3), np.float32) + (x, y, 0)
        image[[11, 12], 1] -= side / 4
        points = standing(1)[0].astype(np.float32) * (1, -1, -1)
        world = points - points[[23, 24]].mean(0)
        one = np.ones(33, np.float32)
        return Landmarks(image, world, one, one, float(bool(near)), Region(float(x), float(y), float(side), 0.0))


def pictures(frames, fps=20.0):
    for k in range(frames):
        yield k / fps, np.full((48, 64, 3), k % 256, np.uint8)


def test_somebody_is_followed_without_searching_again_and_again():
    stage = Stage(lambda k: [(20 + 0.2 * k, 24, 30)])
    tracks = list(track_people(pictures(100), stage))
    assert [len(track.times) for track in tracks] == [100]
    assert stage.searches <= 7 and stage.looks <= 102 + 2 * stage.searches


def test_somebody_hidden_for_a_moment_is_the_same_person_and_after_long_another():
    tracks = list(track_people(pictures(100), Stage(lambda k: [] if 30 <= k < 40 else [(30, 24, 30)])))
    assert [len(track.times) for track in tracks] == [90]
    tracks = list(track_people(pictures(100), Stage(lambda k: [] if 30 <= k < 70 else [(30, 24, 30)])))
    assert [len(track.times) for track in tracks] == [30, 30]


def test_several_people_are_followed_and_two_tracks_never_share_one():
    both = [(15, 24, 26), (48, 24, 26)]
    tracks = list(track_people(pictures(60), Stage(lambda k: both if k >= 20 else both[:1]), people=3))
    assert [len(track.times) for track in tracks] == [60, 40]
    meeting = track_people(pictures(60), Stage(lambda k: [(15 + k / 4, 24, 26), (45 - k / 4, 24, 26)]), people=2)
    assert all(len(set(track.times)) == len(track.times) for track in meeting)


def test_somebody_much_more_prominent_is_followed_instead():
    tracks = list(
        track_people(pictures(80), Stage(lambda k: [(55, 24, 25), (30, 24, 45)] if k > 30 else [(55, 24, 25)]))
    )
    assert len(tracks) == 2 and tracks[1].times[-1] == pytest.approx(79 / 20) and tracks[0].times[-1] < 2.6


def test_a_long_track_goes_on_in_another_without_a_gap(monkeypatch):
    monkeypatch.setattr("models.video.tracking.LONGEST", 1.0)
    stage = Stage(lambda k: [(30, 24, 30)])
    found = read_people(staged_video(150), networks=stage)
    spans = sorted((person.first, person.last) for person in found.people)
    assert spans[0][0] == 0 and spans[-1][1] == 100 and len(spans) == 5
    assert all(one[1] == other[0] for one, other in itertools.pairwise(spans))
    features = stream_features(found, streams(found)[0], confidence=True)
    assert features.values[:, -1].all() and np.abs(np.diff(features.values[:, :133], axis=0)).max() < 0.1


def test_a_cut_ends_every_track():
    tracker = Tracker(Stage(lambda k: [(30, 24, 30)]))
    for k in range(10):
        tracker.add(k / 20, np.full((48, 64, 3), 10 if k < 5 else 200, np.uint8))
    assert [len(track.times) for track in tracker.finished(all_of_them=True)] == [5, 5]


# --- a whole video ----------------------------------------------------------------------------------------------------


def staged_video(frames, fps=30.0):
    def draw(number):
        return lambda size: np.full((size[1], size[0], 3), number % 256, np.uint8)

    raw = (Raw(k / fps, draw(k)) for k in range(frames))
    return Video(Info("stage", 64, 48, fps), raw)


def test_people_lie_on_the_videos_grid_and_gaps_are_flagged():
    hidden = range(40, 55)
    stage = Stage(lambda k: [] if k in hidden else [(30, 24, 30)])
    found = read_people(staged_video(120), networks=stage)
    assert found.grid == FrameGrid(20.0, 80) and len(found.people) == 1
    person = found.people[0]
    assert (person.first, person.last) == (0, 80)
    missing = np.flatnonzero(~person.observed)
    assert 7 <= len(missing) <= 10 and missing[0] >= 26 and missing[-1] <= 37
    assert np.isfinite(person.joints).all()


def test_a_slow_video_is_looked_at_once_a_picture_and_nothing_counts_as_missing():
    stage = Stage(lambda k: [(30, 24, 30)])
    found = read_people(staged_video(40, fps=10.0), networks=stage)
    assert found.grid.frames == 80 and found.people[0].observed.all() and stage.looks < 60


def test_nobody_in_view_is_no_person():
    found = read_people(staged_video(30), networks=Stage(lambda k: []))
    assert found.people == () and streams(found, 2) == []


def people(*spans):
    rng = np.random.default_rng(0)
    made = []
    for first, last in spans:
        joints = lift(filmed(standing(last - first), still(last - first))) + rng.normal(0, 0.01, (last - first, 22, 3))
        frames = last - first
        made.append(Person(first, joints.astype(np.float32), np.full((frames, 22), 0.8, np.float32),
                           np.ones(frames, bool), np.zeros((frames, 33, 3), np.float32),
                           np.ones((frames, 33), np.float32)))  # fmt: skip
    return People(FrameGrid(20.0, 100), tuple(made), SIZE)


def test_streams_put_people_one_after_another_and_side_by_side():
    found = people((0, 40), (20, 60), (60, 90), (10, 15))
    spans = [[(p.first, p.last) for p in stream] for stream in streams(found, 2)]
    assert spans == [[(0, 40), (60, 90)], [(10, 15), (20, 60)]]
    assert [len(stream) for stream in streams(found, 1)] == [2]


def test_features_are_the_motion_encoders_and_gaps_go_evenly_between():
    found = people((5, 40), (60, 90))
    features = stream_features(found, list(found.people))
    assert features.values.shape == (100, 133) and features.grid == found.grid and features.extractor == "pose"
    wanted = joint_features.encode(found.people[0].joints.astype(float))
    assert features.values[5:40] == pytest.approx(wanted, abs=1e-6)
    assert features.values[:5] == pytest.approx(np.tile(wanted[0], (5, 1)), abs=1e-6)
    middle = (features.values[39] + features.values[60]) / 2
    assert (features.values[49] + features.values[50]) / 2 == pytest.approx(middle, abs=1e-5)


def test_confidence_columns_tell_what_was_seen():
    found = people((5, 40))
    person = replace(found.people[0], observed=np.arange(35) != 7)
    features = stream_features(found, [person], confidence=True)
    assert features.values.shape == (100, 156) and features.extractor == "pose_confidence"
    seen = np.zeros(100)
    seen[5:40] = person.observed
    assert features.values[:, 155] == pytest.approx(seen)
    assert features.values[:, 133:155] == pytest.approx(np.tile(0.8 * seen[:, None], (1, 22)))


def test_without_the_networks_the_installer_step_is_named():
    if find_spec("ai_edge_litert") is None:
        pytest.skip("LiteRT is not installed")
    with pytest.raises(LabanError, match="laban setup"):
        PoseNetworks()


# --- real videos ------------------------------------------------------------------------------------------------------


@pytest.fixture
def networks(monkeypatch):
    """The real networks out of the user's cache; skips where they are not installed."""
    pytest.importorskip("ai_edge_litert")
    monkeypatch.setenv("LABAN_CACHE", str(INSTALLED))
    try:
        return PoseNetworks(threads=1)
    except LabanError as error:
        pytest.skip(str(error))


def real(folder, name, networks, count=1):
    from models.video.reading import open_video

    with open_video(folder / "video" / name) as video:
        return read_people(video, people=count, networks=networks)


@pytest.mark.data
def test_a_real_jumping_jack(data_folder, networks):
    found = real(data_folder, "exercise/jumpingjack_correct_001.mp4", networks)
    person = found.people[0]
    joints = person.joints
    assert person.observed.mean() > 0.95 and person.confidence.mean() > 0.9
    assert 0.85 < np.median(joints[:, 0, 1]) < 1.1
    assert (joints[:, JOINT["left_shoulder"], 0] > joints[:, JOINT["right_shoulder"], 0]).all()
    hands = joints[:, [JOINT["left_wrist"], JOINT["right_wrist"]], 1].mean(1) - joints[:, JOINT["head"], 1]
    apart = joints[:, JOINT["left_ankle"], 0] - joints[:, JOINT["right_ankle"], 0]
    assert hands.max() > 0.1 and hands.min() < -0.5 and apart.max() > 0.6 and apart.min() < 0.3
    assert np.corrcoef(hands, apart)[0, 1] > 0.5


@pytest.mark.data
def test_a_real_plank_lies_low_and_straight(data_folder, networks):
    person = real(data_folder, "exercise/plank_correct_001.mp4", networks).people[0]
    trunk = person.joints[:, JOINT["neck"]] - person.joints[:, 0]
    assert np.median(person.joints[:, 0, 1]) < 0.6
    assert np.median(np.abs(trunk[:, 1]) / np.linalg.norm(trunk, axis=-1)) < 0.4


@pytest.mark.data
def test_two_people_are_followed_at_once(data_folder, networks):
    found = real(data_folder, "exercise/jumpingjack_correct_001.mp4", networks, 2)
    both = streams(found, 2)
    assert [sum(int(p.observed.sum()) for p in stream) > 0.9 * found.grid.frames for stream in both] == [True, True]


@pytest.mark.parametrize("wrong", [
    {"grid": np.zeros(2)}, {"track": np.array([10**9])}, {"track": np.array([-1])}, {"track": np.array([0, 0])},
    {"image": np.zeros((1, 33, 2))}, {"time": np.array(["a"])},
])  # fmt: skip
def test_a_file_that_is_no_file_of_tracks_is_refused(tmp_path, wrong):
    write_tracks(Tracks((), 5, (64, 48), 20.0), tmp_path / "none.npz")
    assert read_tracks_file(tmp_path / "none.npz").tracks == ()
    arrays = {"grid": np.array([5.0, 64, 48, 20]), "track": np.zeros(1, int)}
    arrays |= {name: np.zeros((1, *shape)) for name, shape in SHAPES.items() if name != "track"}
    write_npz(tmp_path / "one.npz", arrays)
    assert len(read_tracks_file(tmp_path / "one.npz").tracks) == 1
    write_npz(tmp_path / "wrong.npz", {**arrays, **wrong})
    with pytest.raises(LabanError, match=r"wrong\.npz: no file of tracks"):
        read_tracks_file(tmp_path / "wrong.npz")
