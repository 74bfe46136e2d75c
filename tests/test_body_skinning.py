from __future__ import annotations

from functools import cache

import numpy as np
import pytest
import torch

from models.body.kinematics import forward_kinematics
from models.body.model import OPEN_BODY, BodyModel, load_body
from models.body.skeleton import JOINT, NUM_BODY
from models.body.skinning import skin
from models.rotations import axis_angle_to_matrix, yaw_rotation

SHAPES, EXPRESSIONS, VERTICES = 300, 100, 10475


def full_size_file(path, vertices: int = VERTICES) -> None:
    """A synthetic file with the licensed model's layout: 10,475 vertices, 400 components, dense pose correctives."""
    rng = np.random.default_rng(0)
    body = load_body()
    joints = body.joint_template.numpy()
    owner = rng.integers(0, 55, (vertices, 2))
    template = joints[owner[:, 0]] + rng.normal(0, 0.05, (vertices, 3))
    weights = np.zeros((vertices, 55), np.float32)
    np.put_along_axis(weights, owner[:, 1:], 0.3, 1)
    np.put_along_axis(weights, owner[:, :1], 0.7, 1)
    weights /= weights.sum(1, keepdims=True)
    regressor = np.zeros((55, vertices), np.float32)
    for joint in range(55):
        regressor[joint, rng.choice(np.flatnonzero(owner[:, 0] == joint), 5)] += 0.2
    faces = rng.integers(0, vertices, (20908, 3))
    tables = {f"hands_{kind}{side}": np.zeros(shape, np.float32)
              for side in "lr" for kind, shape in (("mean", 45), ("components", (45, 45)))}  # fmt: skip
    np.savez(
        path, v_template=template.astype(np.float32), weights=weights, J_regressor=regressor, f=faces.astype(np.uint32),
        shapedirs=rng.normal(0, 1e-3, (vertices, 3, SHAPES + EXPRESSIONS)).astype(np.float32),
        posedirs=rng.normal(0, 1e-3, (vertices, 3, 486)).astype(np.float32),
        kintree_table=np.array([[2**32 - 1, *body.parents[1:]], range(55)], np.int64),
        lmk_faces_idx=rng.integers(0, 20908, 51), lmk_bary_coords=rng.dirichlet([1, 1, 1], 51).astype(np.float32),
        dynamic_lmk_faces_idx=np.zeros((79, 17), int), dynamic_lmk_bary_coords=np.full((79, 17, 3), 1 / 3), **tables,
    )  # fmt: skip


@cache
def small_body() -> BodyModel:
    """Few vertices, so that numerical gradients are quick: a subset of the open body in double precision."""
    body = load_body()
    pick = torch.arange(0, len(body.v_template), 2000)
    return BodyModel(
        v_template=body.v_template[pick].double(),
        shapedirs=body.shapedirs[pick].double(),
        exprdirs=body.exprdirs[pick].double(),
        posedirs=1e-2 * torch.randn(len(pick), 3, 486, generator=torch.Generator().manual_seed(0)).double(),
        J_regressor=body.J_regressor[:, pick].double(),
        weights=body.weights[pick].double(),
        faces=torch.zeros(1, 3, dtype=torch.long),
    )


def random_pose(batch: int, seed: int = 0, scale: float = 0.4) -> tuple[torch.Tensor, ...]:
    generator = torch.Generator().manual_seed(seed)
    angles = scale * torch.randn(batch, 55, 3, generator=generator)
    return angles, *(torch.randn(batch, size, generator=generator) for size in (3, 10, 10))


@pytest.mark.parametrize("kind", ["open", "full"])
def test_agrees_with_smplx(kind, tmp_path):
    smplx = pytest.importorskip("smplx")
    path = OPEN_BODY
    if kind == "full":
        path = tmp_path / "SMPLX_NEUTRAL.npz"
        full_size_file(path)
    model = smplx.create(str(path), model_type="smplx", use_pca=False, flat_hand_mean=True, batch_size=4, ext="npz")
    body = load_body(path)
    angles, root, betas, expression = random_pose(4)
    with torch.no_grad():
        expected = model(
            betas=betas, expression=expression, transl=root, global_orient=angles[:, 0],
            body_pose=angles[:, 1:22].flatten(1), jaw_pose=angles[:, 22], leye_pose=angles[:, 23],
            reye_pose=angles[:, 24], left_hand_pose=angles[:, 25:40].flatten(1),
            right_hand_pose=angles[:, 40:].flatten(1),
        )  # fmt: skip
        ours = skin(body, axis_angle_to_matrix(angles), root, betas, expression=expression)
    assert (body.posedirs is None) == (kind == "open")
    torch.testing.assert_close(ours.vertices, expected.vertices, atol=1e-5, rtol=0)
    everything = torch.cat([ours.joints, ours.extra_joints, ours.face], dim=1)
    torch.testing.assert_close(everything, expected.joints, atol=1e-5, rtol=0)


def test_rest_pose_is_the_shaped_template_moved_by_the_root():
    body = load_body()
    root = torch.tensor([[0.5, 1.0, -2.0]])
    output = skin(body, torch.eye(3).expand(1, 55, 3, 3), root)
    torch.testing.assert_close(output.vertices[0], body.v_template + root, atol=1e-5, rtol=0)
    torch.testing.assert_close(output.joints[0], body.joint_template + root, atol=1e-5, rtol=0)


def test_turning_the_root_turns_everything_about_the_pelvis():
    body = load_body()
    angles, root, betas, _ = random_pose(2)
    rotations = axis_angle_to_matrix(angles)
    turn = yaw_rotation(torch.tensor(1.1))
    turned = torch.cat([turn @ rotations[:, :1], rotations[:, 1:]], dim=1)
    before, after = (skin(body, pose, root, betas) for pose in (rotations, turned))
    pelvis = before.joints[:, :1]
    torch.testing.assert_close(after.vertices, (before.vertices - pelvis) @ turn.T + pelvis, atol=1e-5, rtol=0)


def test_bones_keep_their_length_and_22_joints_suffice():
    body = load_body()
    angles, root, betas, _ = random_pose(3)
    rest = body.rest_joints(betas)
    rotations = axis_angle_to_matrix(angles)
    places, turns = forward_kinematics(rotations, rest, root)
    parents = torch.tensor(body.parents[1:])
    length = (places[:, 1:] - places[:, parents]).norm(dim=-1)
    torch.testing.assert_close(length, (rest[:, 1:] - rest[:, parents]).norm(dim=-1), atol=1e-5, rtol=0)
    fewer, _ = forward_kinematics(rotations[:, :NUM_BODY], rest[:, :NUM_BODY], root)
    torch.testing.assert_close(fewer, places[:, :NUM_BODY])
    torch.testing.assert_close(places[:, 0], root + rest[:, 0])
    torch.testing.assert_close(turns[:, 1], rotations[:, 0] @ rotations[:, 1])


def test_kinematics_broadcast_one_skeleton_over_actors_and_frames():
    body = load_body()
    rotations = axis_angle_to_matrix(random_pose(6)[0]).unflatten(0, (2, 3))
    places, _ = forward_kinematics(rotations, body.joint_template, torch.zeros(2, 3, 3))
    single, _ = forward_kinematics(rotations[1, 2], body.joint_template, torch.zeros(3))
    torch.testing.assert_close(places[1, 2], single)


def test_skinning_is_differentiable_in_every_input():
    angles, root, betas, expression = (x.double().requires_grad_() for x in random_pose(1))

    def run(angles, root, betas, expression):
        output = skin(small_body(), axis_angle_to_matrix(angles), root, betas, expression=expression)
        return output.vertices, output.joints

    assert torch.autograd.gradcheck(run, (angles, root, betas, expression), fast_mode=True)


def test_correctives_of_joints_at_rest_are_skipped_without_changing_the_result():
    body = small_body()
    angles = random_pose(2)[0].double()
    angles[:, 25:] = 0
    rotations = axis_angle_to_matrix(angles)
    root = torch.zeros(2, 3).double()
    quick = skin(body, rotations, root).vertices
    full = skin(body, rotations.clone().requires_grad_(), root).vertices
    torch.testing.assert_close(quick, full)


def test_a_body_moves_to_another_precision_whole():
    body = load_body().to(torch.float64)
    rotations = torch.eye(3).double().expand(2, 55, 3, 3)
    output = skin(body, rotations, torch.zeros(2, 3).double())
    assert output.vertices.dtype == torch.float64
    assert body.faces.dtype == torch.int64
    assert output.joints.shape == (2, 55, 3)
    assert output.vertices[0, :, 1].argmax() == output.vertices[1, :, 1].argmax()
    assert output.joints[0, JOINT["head"], 1] > output.joints[0, JOINT["pelvis"], 1]
