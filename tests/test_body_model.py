from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from laban.errors import LabanError
from models.body.landmarks import LANDMARK_VERTICES
from models.body.model import OPEN_BODY, load_body
from models.body.skeleton import JOINT, MIRROR

MIRRORED = torch.tensor([-1.0, 1.0, 1.0])


def open_arrays() -> dict[str, np.ndarray]:
    with np.load(OPEN_BODY, allow_pickle=False) as file:
        return dict(file)


def write(path: Path, arrays: dict[str, np.ndarray]) -> Path:
    np.savez(path, **arrays)
    return path


def test_open_body_is_an_adult_in_t_pose_on_flat_feet():
    body = load_body()
    height = body.v_template[:, 1].max() - body.v_template[:, 1].min()
    assert 1.68 < height < 1.76
    joints = body.joint_template
    for side, x in (("left", 1.0), ("right", -1.0)):
        arm = joints[[JOINT[f"{side}_{name}"] for name in ("shoulder", "elbow", "wrist", "middle1")]]
        direction = torch.nn.functional.normalize(arm.diff(dim=0), dim=-1)
        torch.testing.assert_close(direction, torch.tensor([x, 0.0, 0.0]).expand(3, 3), atol=1e-3, rtol=0)
        across = joints[JOINT[f"{side}_index1"]] - joints[JOINT[f"{side}_pinky1"]]
        assert across[2] > 5 * across[1].abs(), "the palm looks down and the thumb forward"
    floor = body.v_template[:, 1].min()
    for name in ("left_big_toe", "left_heel", "right_big_toe", "right_heel"):
        assert body.v_template[LANDMARK_VERTICES[name], 1] - floor < 0.03


def test_open_body_is_symmetric():
    body = load_body()
    joints = body.joint_template
    torch.testing.assert_close(joints[list(MIRROR)] * MIRRORED, joints, atol=1e-5, rtol=0)
    for name, vertex in LANDMARK_VERTICES.items():
        if name.startswith("left_"):
            other = LANDMARK_VERTICES[name.replace("left", "right")]
            expected = body.v_template[vertex] * MIRRORED
            torch.testing.assert_close(body.v_template[other], expected, atol=1e-4, rtol=0)


def test_pelvis_stays_and_legs_grow_over_shapes():
    body = load_body()
    betas = torch.randn(20, 10, generator=torch.Generator().manual_seed(0))
    joints = body.rest_joints(betas)
    torch.testing.assert_close(joints[:, 0], body.joint_template[0].expand(20, 3), atol=2e-3, rtol=0)
    leg = (joints[:, JOINT["left_hip"]] - joints[:, JOINT["left_ankle"]]).norm(dim=-1)
    assert leg.min() > 0.6
    assert leg.max() < 1.1
    tall, short = (body.rest_joints(sign * torch.eye(10)[:1])[0] for sign in (1.0, -1.0))
    assert tall[JOINT["head"], 1] - tall[JOINT["left_foot"], 1] > short[JOINT["head"], 1] - short[JOINT["left_foot"], 1]


def test_rest_joints_are_those_of_the_shaped_vertices():
    body = load_body()
    betas = torch.randn(3, 7, generator=torch.Generator().manual_seed(1))
    shaped = body.v_template + torch.einsum("bk,vdk->bvd", betas, body.shapedirs[..., :7])
    torch.testing.assert_close(body.rest_joints(betas), body.J_regressor @ shaped, atol=1e-5, rtol=0)
    longer = torch.cat([betas, torch.zeros(3, 3), torch.ones(3, 4)], dim=1)
    torch.testing.assert_close(body.rest_joints(longer), body.rest_joints(betas))


def test_weights_and_regressor_sum_to_one_and_nobody_is_naked():
    body = load_body()
    assert body.weights.min() >= 0
    torch.testing.assert_close(body.weights.sum(1), torch.ones(len(body.weights)))
    torch.testing.assert_close(body.J_regressor.sum(1), torch.ones(55), atol=1e-4, rtol=0)
    colors = body.colors.float()
    skin = (colors - torch.tensor([216.0, 170.0, 142.0])).abs().amax(1) < 1
    x, y, _ = body.v_template.T
    trunk_and_legs = (x.abs() < 0.2) & (y < 0.0)
    assert trunk_and_legs.sum() > 1000
    assert not (skin & trunk_and_legs).any()


def test_face_landmarks_lie_in_ibug_order():
    body = load_body()
    corners = body.v_template[body.faces[body.landmark_faces]]
    points = (corners * body.landmark_weights[..., None]).sum(1)
    right_brow, left_brow, bridge, base = points[0:5], points[5:10], points[10:14], points[14:19]
    right_eye, left_eye, outer = points[19:25], points[25:31], points[31:43]
    for run in (torch.cat([right_brow, left_brow]), base, outer[:7]):
        assert (run[:, 0].diff() > 0).all(), "from the person's right to the left"
    assert (bridge[:, 1].diff() < 0).all()
    assert bridge[-1, 2] > points[:, 2].median()
    for eye in (right_eye, left_eye):
        assert eye[1:3, 1].min() > eye[[0, 3], 1].max() - 0.002
        assert eye[4:6, 1].max() < eye[[0, 3], 1].min() + 0.002
        assert eye[0, 0] < eye[3, 0]
    assert right_brow[:, 1].min() > right_eye[:, 1].max() > base[:, 1].max() > outer[:, 1].max()
    torch.testing.assert_close(right_eye[[0, 3], 0], -left_eye[[3, 0], 0], atol=1e-3, rtol=0)


def test_body_file_comes_from_the_environment(tmp_path, monkeypatch):
    arrays = open_arrays() | {"v_template": open_arrays()["v_template"] + np.float32(1)}
    monkeypatch.setenv("LABAN_BODY", str(write(tmp_path / "mine.npz", arrays)))
    torch.testing.assert_close(load_body().v_template, load_body(OPEN_BODY).v_template + 1)


def test_object_arrays_that_we_do_not_need_are_never_unpickled(tmp_path):
    arrays = open_arrays() | {"joint2num": np.array({"pelvis": 0}, dtype=object)}
    assert load_body(write(tmp_path / "named.npz", arrays)).posedirs is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda a: {k: v for k, v in a.items() if k not in ("weights", "f")}, "lacks weights, f"),
        (lambda a: a | {"weights": a["weights"][:, :24]}, r"weights \(16968, 24\)"),
        (lambda a: a | {"posedirs": a["posedirs"][..., :207]}, "posedirs"),
        (lambda a: a | {"J_regressor": a["J_regressor"] * np.float32("nan")}, "J_regressor.*NaN"),
        (lambda a: a | {"f": a["f"] + 20000}, "f names vertex"),
        (lambda a: a | {"shapedirs": a["shapedirs"][..., :5]}, "5 components"),
        (lambda a: a | {"kintree_table": a["kintree_table"] * 0}, "kintree_table"),
        (lambda a: a | {"weights": a["weights"].astype(str)}, "weights holds"),
    ],
)
def test_bad_files_are_refused_by_name(tmp_path, change, message):
    path = write(tmp_path / "bad.npz", change(open_arrays()))
    with pytest.raises(LabanError, match=message) as caught:
        load_body(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_damaged_pickled_and_missing_files_are_refused(tmp_path):
    whole = OPEN_BODY.read_bytes()
    for name, content in (("half.npz", whole[: len(whole) // 2]), ("empty.npz", b""), ("text.npz", b"hello")):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(LabanError, match="damaged or not"):
            load_body(tmp_path / name)
    broken = bytearray(whole)
    broken[len(whole) // 3 : len(whole) // 3 + 2000] = bytes(2000)
    (tmp_path / "broken.npz").write_bytes(bytes(broken))
    with pytest.raises(LabanError, match="damaged or not"):
        load_body(tmp_path / "broken.npz")
    (tmp_path / "SMPLX_NEUTRAL.pkl").write_bytes(b"\x80\x04.")
    with pytest.raises(LabanError, match="pickle"):
        load_body(tmp_path / "SMPLX_NEUTRAL.pkl")
    for missing in (tmp_path / "none.npz", tmp_path):
        with pytest.raises(LabanError, match="found"):
            load_body(missing)


def test_declared_size_is_checked_before_anything_is_read(tmp_path):
    path = tmp_path / "bomb.npz"
    header = b"{'descr': '<f4', 'fortran_order': False, 'shape': (1000000, 3, 486), }"
    header += b" " * (117 - len(header)) + b"\n"
    bomb = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header
    with zipfile.ZipFile(OPEN_BODY) as source, zipfile.ZipFile(path, "w") as target:
        for name in source.namelist():
            target.writestr(name, bomb if name == "posedirs.npy" else source.read(name))
    with pytest.raises(LabanError, match="declares"):
        load_body(path)
