"""Two people in pictures: where they touch lights up."""

from __future__ import annotations

import numpy as np

from models.body.model import load_body
from models.body.touching import Hold, join_hands
from tests.test_pairs import facing_people
from viz.cast import Cast
from viz.contact import FAR, HIGHLIGHT, NEAR, highlighted, nearness
from viz.renderer import Mesh

FACES = np.array([[0, 1, 2]], np.int32)


def test_vertices_are_coloured_by_how_near_the_other_surface_is() -> None:
    near, far = Mesh(np.eye(3, dtype=np.float32), FACES), Mesh(np.eye(3, dtype=np.float32) + 1, FACES)
    assert highlighted([near]) == [near] and highlighted([near, far]) == [near, far]
    other = np.array([[1, 0, 0], [0, 1 + (NEAR + FAR) / 2, 0], [5, 5, 5]], np.float32)
    assert np.allclose(nearness(near.vertices, other), [1, 0.5, 0], atol=1e-4)
    first, second = highlighted([near, Mesh(other, FACES)])
    assert tuple(first.vertex_colors()[0]) == HIGHLIGHT and tuple(first.vertex_colors()[2]) == near.color
    assert tuple(second.vertex_colors()[0]) == HIGHLIGHT and tuple(second.vertex_colors()[2]) == near.color


def test_held_hands_light_up_and_nothing_else() -> None:
    motion = join_hands(facing_people(0.2, frames=12), (Hold(0, 12, 0, 1),))
    body = load_body()
    plain, shown = (Cast(body, contacts=contacts).at(motion, [6])[0] for contacts in (False, True))
    for person in (0, 1):
        changed = (plain[person].vertex_colors() != shown[person].vertex_colors()).any(1)
        hand = body.weights.numpy()[:, [20, 21, *range(25, 55)]].sum(1) > 0.01
        assert changed.sum() > 20 and hand[changed].all()
