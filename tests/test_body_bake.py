"""The parts of the baking script that need no source data: mesh surgery, T-pose, shape space, regressor, weights."""

from __future__ import annotations

import numpy as np
import pytest

from models.body.bake_mesh import Surface, cut, normals, refine, smooth, triangles, without
from models.body.bake_shape import joint_regressor, shape_space, to_t_pose
from models.body.bake_weights import INFLUENCES, limit_influences
from models.body.model import OPEN_BODY, load_body
from models.body.skeleton import JOINT, MIRROR


def grid(size: int = 8) -> Surface:
    """A square of size x size quads in the plane z = 0, facing +z; the attribute is x."""
    steps = np.linspace(0, 1, size + 1)
    points = np.stack([*np.meshgrid(steps, steps, indexing="xy"), np.zeros((size + 1, size + 1))], axis=-1).reshape(
        -1, 3
    )
    corner = (np.arange(size)[:, None] * (size + 1) + np.arange(size)).ravel()
    quads = np.stack([corner, corner + 1, corner + size + 2, corner + size + 1], axis=1)
    return Surface(points, points[:, :1].copy(), np.zeros(len(points), int), triangles(quads, points))


def area(surface: Surface) -> float:
    a, b, c = surface.points[surface.faces.T]
    return float(np.cross(b - a, c - a)[:, 2].sum() / 2)


@pytest.mark.parametrize("rim", [False, True])
def test_cut_splits_along_the_line_and_loses_no_area(rim):
    surface = grid()
    halves = cut(surface, 0.53 - surface.points[:, 0] - 0.3 * surface.points[:, 1], 0, 1, rim=rim)
    assert area(halves) == pytest.approx(1.0)
    field = 0.53 - halves.points[:, 0] - 0.3 * halves.points[:, 1]
    assert (field[halves.parts == 1] > -1e-9).all()
    assert (field[halves.parts == 0] < 1e-9).all()
    np.testing.assert_allclose(halves.attributes[:, 0], halves.points[:, 0], atol=1e-12)
    mixed = np.ptp(halves.parts[halves.faces], axis=1) > 0
    assert mixed.any() == rim, "only the strip joins the two parts"
    left = without(halves, 0)
    assert area(left) == pytest.approx(0.53 - 0.15, abs=1e-9)


def test_lifting_one_part_opens_a_wall_that_faces_outwards():
    surface = grid()
    halves = cut(surface, 0.5 - surface.points[:, 0] + 0.01, 0, 1, rim=True)
    lifted = halves.points + (halves.parts == 1)[:, None] * [0, 0, 0.1]
    wall = halves.faces[np.ptp(halves.parts[halves.faces], axis=1) > 0]
    a, b, c = lifted[wall.T]
    facing = np.cross(b - a, c - a)
    assert (facing[:, 0] >= -1e-12).all(), "the raised part is at small x, so its wall looks towards +x"
    assert facing[:, 0].sum() / 2 == pytest.approx(0.1)


def test_refine_halves_edges_inside_and_keeps_the_surface():
    surface = grid(4)
    finer = refine(surface, surface.points[:, 0] < 0.6)
    assert area(finer) == pytest.approx(1.0)
    assert len(finer.faces) > len(surface.faces)
    np.testing.assert_allclose(finer.attributes[:, 0], finer.points[:, 0])
    edges = np.sort(np.concatenate([finer.faces[:, [0, 1]], finer.faces[:, [1, 2]], finer.faces[:, [2, 0]]]), axis=1)
    _, uses = np.unique(edges, axis=0, return_counts=True)
    assert set(uses) == {1, 2}, "no cracks: every inner edge is shared by two faces"
    assert (uses == 1).sum() == 16 + 2 * 2 + 4


def test_smooth_moves_only_where_told():
    surface = grid()
    points = surface.points.copy()
    points[40, 2] = 1.0
    amount = np.zeros(len(points))
    amount[40] = 1.0
    flat = smooth(points, surface.faces, amount, 1)
    np.testing.assert_allclose(flat, surface.points, atol=1e-12)
    np.testing.assert_allclose(normals(flat, surface.faces)[:, 2], 1.0)


def test_t_pose_is_undone_by_forward_skinning():
    body = load_body()
    rng = np.random.default_rng(0)
    joints = body.joint_template.numpy().astype(np.float64)
    for side, x in (("left", 1.0), ("right", -1.0)):
        for name in ("elbow", "wrist"):
            joints[JOINT[f"{side}_{name}"]] += [-0.05 * x, -0.1, 0.05]
    pick = rng.choice(len(body.v_template), 500)
    weights = body.weights[pick].numpy().astype(np.float64)
    weights /= weights.sum(1, keepdims=True)
    vertices = body.v_template[pick].numpy().astype(np.float64)
    pose = to_t_pose(vertices, joints, weights)
    arm = pose.joints[JOINT["left_elbow"]] - pose.joints[JOINT["left_shoulder"]]
    np.testing.assert_allclose(arm / np.linalg.norm(arm), [1, 0, 0], atol=1e-9)
    turns, places = [pose.rest[0]], [pose.joints[0]]
    for joint, parent in list(enumerate(body.parents))[1:]:
        places.append(places[parent] + turns[parent] @ (pose.joints[joint] - pose.joints[parent]))
        turns.append(turns[parent] @ pose.rest[joint])
    shift = np.array(places) - np.einsum("jab,jb->ja", np.array(turns), pose.joints)
    blended = np.einsum("vj,jab->vab", weights, np.array(turns))
    back = np.einsum("vab,vb->va", blended, pose.vertices) + weights @ shift
    np.testing.assert_allclose(back - (places[0] - joints[0]), vertices, atol=1e-9)


def test_regressor_finds_the_joints_of_every_shape():
    rng = np.random.default_rng(0)
    body = load_body()
    joints = body.joint_template.numpy().astype(np.float64)
    vertices = joints[rng.integers(0, 55, 3000)] + rng.normal(0, 0.08, (3000, 3))
    scales = rng.normal(1, 0.05, (12, 3))

    def person(scale: np.ndarray):
        from models.body.bake_shape import TPose

        return TPose(vertices * scale, joints * scale, np.tile(np.eye(3), (55, 1, 1)))

    space = shape_space(person(np.ones(3)), [person(scale) for scale in scales], 3)
    regressor = joint_regressor(space, np.zeros((3000, 3, 1)))
    np.testing.assert_allclose(regressor.sum(1), 1, atol=1e-4)
    for _ in range(5):
        betas = rng.standard_normal(3)
        found = regressor @ (space.vertices + space.vertex_components @ betas)
        np.testing.assert_allclose(found, space.joints + space.joint_components @ betas, atol=2e-3)


def test_no_vertex_of_the_open_body_follows_more_than_four_joints():
    weights = load_body(OPEN_BODY).weights.numpy()
    assert (weights > 0).sum(1).max() == INFLUENCES == 4
    np.testing.assert_allclose(weights.sum(1), 1, atol=1e-6)


def row(**shares: float) -> np.ndarray:
    weights = np.zeros(55)
    for name, share in shares.items():
        weights[JOINT[name]] = share
    return weights


def test_limited_weights_keep_their_sum_their_sides_and_whatever_was_few_enough():
    rng = np.random.default_rng(0)
    weights = np.zeros((300, 55))
    for vertex in weights:
        joints = rng.choice(55, rng.integers(1, 9), replace=False)
        vertex[joints] = rng.dirichlet(np.ones(len(joints)))
    limited = limit_influences(weights)
    assert ((limited > 0).sum(1) <= INFLUENCES).all()
    np.testing.assert_allclose(limited.sum(1), weights.sum(1))
    few = (weights > 0).sum(1) <= INFLUENCES
    assert 0 < few.sum() < len(few)
    np.testing.assert_array_equal(limited[few], weights[few])
    np.testing.assert_allclose(limit_influences(weights[:, MIRROR]), limited[:, MIRROR], atol=1e-12)


def test_the_weight_given_up_is_the_one_that_moves_the_skin_least():
    throat = row(left_collar=0.41, spine3=0.27, left_shoulder=0.08, spine2=0.12, neck=0.12)
    kept = row(left_collar=0.41, spine3=0.39, left_shoulder=0.08, neck=0.12)
    np.testing.assert_allclose(limit_influences(throat[None])[0], kept)
    middle = row(spine3=0.7, neck=0.12, head=0.06, left_collar=0.01, right_collar=0.01, jaw=0.1)
    kept = row(spine3=0.72, neck=0.12, head=0.06, jaw=0.1)
    np.testing.assert_allclose(limit_influences(middle[None])[0], kept)
