"""Where people sit down, how they move on what they sit on, and what is under their feet."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from laban.errors import LabanError
from models.body.kinematics import forward_kinematics
from models.body.model import OPEN_BODY, load_body
from models.body.skeleton import JOINT, NUM_BODY
from models.motion import Motion
from models.scene import seating
from models.scene.scene import Scene, SceneObject
from models.scene.seats import moved, seat_of, sideways
from motion.navigation import settling
from motion.navigation.flesh import flesh_of
from motion.navigation.footing import grounded
from motion.navigation.placing import Target, before, target_on, way_onto
from motion.navigation.settling import Settler, backwards
from motion.navigation.shifting import drawn, shifted
from motion.navigation.stance import soles
from motion.navigation.surveyed import Surveyed, survey
from motion.primitives.network import PrimitiveModel
from motion.primitives.rollout import State, standing
from tests.small_primitives import small_primitives
from tests.test_navigate import SMALL

Box = tuple[float, float, float, float, float, float]
COUCH: Box = (-1.0, 0.0, -2.4, 1.0, 0.42, -1.6)
TABLE: Box = (-1.0, 0.0, -1.35, 0.5, 0.4, -0.6)
BED: Box = (1.2, 0.0, 0.2, 2.5, 0.45, 2.4)
CHAIR: Box = (-2.95, 0.0, 1.2, -2.5, 0.45, 1.65)
DESK: Box = (-3.0, 0.0, 1.75, -2.4, 0.75, 2.4)


def boxes(*things: tuple[str, Box, float, str | None]) -> Scene:
    """Things of one box each on an open floor of 6 x 5 m: name, box, degrees that it faces, what it is good for."""
    vertices, faces, part, objects = [], [], [], []
    square = np.array([[0, 2, 1], [1, 2, 3]])
    sides = np.concatenate(
        [
            square,
            square[:, ::-1] + 4,
            [[0, 1, 4], [1, 5, 4], [2, 6, 3], [3, 6, 7], [0, 4, 2], [2, 4, 6], [1, 3, 5], [3, 7, 5]],
        ]
    )
    for number, (name, (x0, y0, z0, x1, y1, z1), yaw, affords) in enumerate(things):
        corners = np.array([[x, y, z] for x in (x0, x1) for y in (y0, y1) for z in (z0, z1)])
        faces.append(sides + 8 * number)
        vertices.append(corners)
        part += [number] * len(sides)
        objects.append(SceneObject(name, name.split("_")[0], (x0, y0, z0), (x1, y1, z1), yaw=yaw, affords=affords))
    ground = np.array([[x, 0.0, z] for x in (-3.0, 3.0) for z in (-2.5, 2.5)])
    faces.append(np.array([[0, 1, 2], [2, 1, 3]]) + 8 * len(things))
    parts = np.array([*part, -1, -1], np.int32)
    return Scene("boxes", np.concatenate([*vertices, ground]).astype(np.float32),
                 np.concatenate(faces).astype(np.int32), parts, tuple(objects))  # fmt: skip


@pytest.fixture(scope="module")
def room() -> Surveyed:
    """A couch behind a low table that stands before its middle, a bed along a wall, a chair at a desk."""
    return survey(boxes(("couch_1", COUCH, 0.0, "sit"), ("table_1", TABLE, 0.0, None), ("bed_1", BED, 0.0, "lie"),
                        ("chair_1", CHAIR, 0.0, "sit"), ("desk_1", DESK, 0.0, None)), cells=48)  # fmt: skip


@pytest.fixture(scope="module")
def network() -> PrimitiveModel:
    return small_primitives(SMALL, 0.3).eval().requires_grad_(False)


@pytest.fixture(scope="module")
def lies(room: Surveyed) -> Target:
    """Lying on the bed, fitted less long than usual."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(seating, "STEPS", 15)
        patch.setattr(seating, "LYING", 15)
        patch.setattr(seating, "CELLS", 40)
        return target_on(room, "bed_1", "lie", (0.0, 1.0), load_body(OPEN_BODY))


def test_places_beside_and_sideways_of_a_seat(room: Surveyed) -> None:
    seat = seat_of(room.scene.object("couch_1"), room.scene)
    assert moved(seat, 0.3).middle == pytest.approx((seat.middle[0] + 0.3, seat.middle[1]))  # faces +Z: left is +X
    left = sideways(seat, 1, 0.2)
    assert left.facing == pytest.approx([1.0, 0.0], abs=1e-6)
    assert left.middle == pytest.approx((seat.middle[0] + seat.width / 2, seat.middle[1] - 0.2), abs=1e-6)
    assert sideways(seat, -1, 0.2).facing == pytest.approx([-1.0, 0.0], abs=1e-6)


def test_people_sit_where_they_can_get_to(room: Surveyed) -> None:
    way = way_onto(room, "couch_1", "sit", (0.0, 1.0))
    assert way.first is way.last and way.last.middle[0] > 0.4  # beside the table, not behind it
    free = survey(boxes(("couch_1", COUCH, 0.0, "sit")), cells=24)
    assert way_onto(free, "couch_1", "sit", (0.0, 1.0)).last.middle[0] == pytest.approx(0.0, abs=0.02)


def test_who_sits_at_a_desk_sits_down_from_the_side(room: Surveyed) -> None:
    way = way_onto(room, "chair_1", "sit", (0.0, 1.0))
    assert way.first is not way.last
    assert math.sin(way.first.yaw) == pytest.approx(1.0, abs=1e-6) and math.cos(way.last.yaw) == pytest.approx(1.0)


def test_who_lies_down_sits_on_the_side_that_can_be_reached(room: Surveyed, lies: Target) -> None:
    assert math.sin(lies.heading) == pytest.approx(-1.0, abs=1e-6)  # the other side stands by the wall
    x, z = before(room, lies, (0.0, 1.0))
    assert room.walkable.inside(np.array([x, z])) and 0.6 < x < 1.2 and 0.2 < z < 2.4
    pelvis = float(lies.pose.pelvis[0])
    assert 1.4 < pelvis < 1.9 and float(lies.pose.joints[:, 1].max()) < 0.9  # not in the middle of something wide
    assert float(lies.first.joints[JOINT["head"], 1] - lies.first.joints[0, 1]) > 0.5


def test_lying_down_goes_evenly_from_the_edge_into_the_pose_and_through_nothing(room: Surveyed, lies: Target) -> None:
    rest = load_body(OPEN_BODY).joint_template[:NUM_BODY]
    motion = shifted(lies, rest, room)
    for frame, pose in ((0, lies.first), (-1, lies.pose)):
        assert motion.rotations[0, frame, :NUM_BODY] == pytest.approx(pose.rotations.numpy(), abs=1e-3)
        assert motion.root[0, frame] + rest[0].numpy() == pytest.approx(pose.pelvis.numpy(), abs=1e-3)

    def places(rotations: torch.Tensor, pelvis: torch.Tensor) -> torch.Tensor:
        return forward_kinematics(rotations, rest - rest[0], pelvis)[0]

    joints = places(torch.from_numpy(motion.rotations[0, :, :NUM_BODY]), torch.from_numpy(motion.root[0]) + rest[0])
    assert float(joints.diff(dim=0).norm(dim=-1).max()) * motion.fps < 4.0
    before_fitting = flesh_of().depth(places(*drawn(lies)), room.distance, 0.02)
    assert float(flesh_of().depth(joints, room.distance, 0.02)) < 0.5 * float(before_fitting) + 0.01
    assert np.array_equal(backwards(motion).root[0, 0], motion.root[0, -1])


def test_there_has_to_be_something_level(room: Surveyed) -> None:
    flat = survey(boxes(("rug_1", (-1.0, 0.0, -1.0, 1.0, 0.01, 1.0), 0.0, "sit")), cells=16)
    with pytest.raises(LabanError, match="nothing level"):
        way_onto(flat, "rug_1", "sit", (0.0, 1.5))


def test_soles_come_out_of_the_floor_and_the_first_frame_stays(network: PrimitiveModel) -> None:
    state = standing(network, 1, dtype=torch.float32)
    rotations = np.broadcast_to(np.eye(3, dtype=np.float32), (1, 40, 55, 3, 3)).copy()
    rotations[:, :, :NUM_BODY] = state.rotations[:, -1:].numpy()
    root = np.broadcast_to((state.pelvis[0, -1] - network.rest[0]).numpy(), (1, 40, 3)).copy()
    root[..., 1] -= 0.04
    motion = Motion(rotations, root, 30.0)

    def heights(one: Motion) -> torch.Tensor:
        turns = torch.from_numpy(one.rotations[:, :, :NUM_BODY])
        return soles(network, turns, torch.from_numpy(one.root) + network.rest[0])[0, :, :, 1]

    done = grounded(motion, network)
    assert float(heights(motion).amin()) < -0.05 and float(heights(done)[10:].amin()) > -0.01
    assert np.allclose(done.root[0, 0], motion.root[0, 0]) and float(np.abs(np.diff(done.root[0, :, 1])).max()) < 0.02
    root[..., 1] += 0.5
    assert grounded(Motion(rotations, root, 30.0), network).root[0, -1, 1] == pytest.approx(root[0, -1, 1])


def test_lying_ends_in_the_pose_and_standing_up_gets_up(
    network: PrimitiveModel, room: Surveyed, lies: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (("LOOKED", 2), ("DOWN", (2, 3)), ("UP", (2, 3))):
        monkeypatch.setattr(settling, name, value)
    settler = Settler(network, load_body(OPEN_BODY), room)
    x, z = lies.spot
    start = standing(network, 1, places=torch.tensor([[x, 0.0, z]]), headings=torch.tensor([lies.heading]),
                     dtype=torch.float32)  # fmt: skip
    down = settler.settle(start, lies, lambda n: None)
    pelvis = down.root[0] + network.rest[0].numpy()
    assert pelvis[-1] == pytest.approx(lies.pose.pelvis.numpy(), abs=1e-3)
    assert down.rotations[0, -1, JOINT["left_knee"]] == pytest.approx(lies.pose.rotations[4].numpy(), abs=1e-3)
    laid = State(torch.from_numpy(down.rotations[:, -2:, :NUM_BODY]), torch.from_numpy(pelvis[None, -2:]))
    up = settler.rise(laid, "a person stands up", lambda n: None)
    assert up.root[0, -1, 1] + network.rest[0, 1] > 0.75
