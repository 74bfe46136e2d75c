"""Generated rooms: the same seed the same room, two families, everything reachable, seats where they are made."""

from __future__ import annotations

import numpy as np
import pytest

from laban.errors import LabanError
from models.scene.paths import find_path
from models.scene.pieces import MAKERS
from models.scene.rooms import make_room, routes
from models.scene.scene import SHELL
from models.scene.seats import bed_of, seat_of
from models.scene.walkable import walkable_of

SEEDS = [(0, False), (5, False), (9, True), (10, True)]


@pytest.mark.parametrize(("seed", "held_out"), SEEDS)
def test_a_seed_is_a_room(seed, held_out):
    first, second = (make_room(seed, held_out=held_out) for _ in range(2))
    assert np.array_equal(first.vertices, second.vertices) and first.objects == second.objects
    other = make_room(seed + 1, held_out=held_out)
    assert first.vertices.shape != other.vertices.shape or not np.array_equal(first.vertices, other.vertices)
    assert first.floor == 0 and all(one.low[1] > -1e-5 for one in first.objects)


@pytest.mark.parametrize(("seed", "held_out"), SEEDS)
def test_boxes_hold_their_meshes_and_stay_within_the_walls(seed, held_out):
    scene = make_room(seed, held_out=held_out)
    shell = scene.vertices[np.unique(scene.faces[scene.part == SHELL])]
    for one in scene.objects:
        vertices, faces = scene.mesh_of(one.name)
        np.testing.assert_allclose(vertices.min(0), one.low, atol=1e-5)
        np.testing.assert_allclose(vertices.max(0), one.high, atol=1e-5)
        assert (vertices[:, [0, 2]] > shell.min(0)[[0, 2]] + 0.1).all() and len(faces)
        assert (vertices[:, [0, 2]] < shell.max(0)[[0, 2]] - 0.1).all()


@pytest.mark.parametrize("kind", MAKERS)
def test_held_out_pieces_have_other_shapes_than_those_of_training(kind):
    learnt, kept = ({len(MAKERS[kind](np.random.default_rng(k), apart).faces) for k in range(12)}
                    for apart in (False, True))  # fmt: skip
    assert learnt != kept
    piece = MAKERS[kind](np.random.default_rng(0), True)
    corners = piece.vertices[piece.faces]
    volume = np.einsum("fi,fi->f", corners[:, 0], np.cross(corners[:, 1], corners[:, 2])).sum() / 6
    assert volume > 0 and piece.low[1] > -1e-9


@pytest.mark.parametrize(("seed", "held_out"), SEEDS[1:3])
def test_one_gets_everywhere_and_in_front_of_every_seat(seed, held_out):
    scene = make_room(seed, held_out=held_out)
    plan = walkable_of(scene)
    pairs = routes(scene, plan, 6, seed=1)
    assert np.array_equal(pairs, routes(scene, plan, 6, seed=1))
    assert (np.linalg.norm(pairs[:, 1] - pairs[:, 0], axis=-1) >= 1.5).all() and plan.inside(pairs).all()
    start, goal = map(tuple, pairs[0].tolist())
    assert len(find_path(plan, start, goal)) >= 2
    for one in scene.objects:
        if one.affords == "sit":
            front = plan.nearest(seat_of(one, scene).place(0.45), area=1)
            assert np.linalg.norm(front - seat_of(one, scene).place(0.45)) < 0.25


def test_a_seat_is_found_where_it_was_made():
    scene = make_room(5)
    chair = scene.object("chair_1")
    seat = seat_of(chair, scene)
    vertices, faces = scene.mesh_of("chair_1")
    tops = vertices[faces][np.ptp(vertices[faces][:, :, 1], axis=1) < 1e-5][:, 0, 1]
    assert np.abs(tops - seat.height).min() < 1e-3 and 0.28 < seat.height < 0.5 and seat.rest > 0.25
    assert seat.yaw == chair.yaw and 0.3 < seat.depth < 0.5 and 0.35 < seat.width < 0.55
    assert abs(float((seat.place(0) - np.array(chair.center)[[0, 2]]) @ seat.facing)) < 0.3


def test_a_bed_has_its_head_where_the_pillows_are():
    scene = make_room(6)
    bed = scene.object("bed_1")
    seat = bed_of(bed, scene)
    vertices, _ = scene.mesh_of("bed_1")
    highest = vertices[vertices[:, 1] > vertices[:, 1].max() - 1e-3].mean(0)[[0, 2]]
    assert (highest - seat.place(0)) @ seat.facing < -0.8 * seat.depth and seat.width < seat.depth


def test_what_cannot_be_is_refused():
    with pytest.raises(LabanError, match="room -1"):
        make_room(-1)
    scene = make_room(0)
    with pytest.raises(LabanError, match="nothing level"):
        seat_of(scene.object("plant_1"), scene)
