"""The body in pieces for viewers that animate by bones: one colour each, few joints, and stick figures likewise."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float32, Int, UInt8
from numpy import ndarray

from models.body.skeleton import JOINT_NAMES, NUM_BODY, NUM_JOINTS, PARENTS
from viz.renderer import CLAY
from viz.skeleton import ball_sizes, side_colors, skeleton_mesh

if TYPE_CHECKING:
    from models.body.model import BodyModel

Color = tuple[int, int, int]

ALIKE = 30
"""How far two colours may be apart, in sRGB, to be painted as one."""


@dataclass(frozen=True)
class Piece:
    """A rigged surface of one colour at rest, in metres; `weights` are over `joints`, numbers of body joints."""

    color: Color
    vertices: Float32[ndarray, "vertices 3"]
    faces: Int[ndarray, "faces 3"]
    joints: tuple[int, ...]
    weights: Float32[ndarray, "vertices used"]


def body_pieces(body: BodyModel) -> list[Piece]:
    """The body of average shape; what hangs on fingers, jaw and eyes follows the wrists and the head."""
    rest, faces = body.v_template.numpy(), body.faces.numpy()
    weights = _of_body_joints(body.weights.numpy())
    if body.colors is None:
        return [_piece(CLAY, rest, faces, weights)]
    palette, kind = _few_colors(body.colors.numpy())
    of_face = kind[faces].max(1)  # rims between skin and cloth belong to the rarer of the two colours all around
    return [_piece(palette[k], rest, faces[of_face == k], weights) for k in np.unique(of_face)]


def skeleton_pieces(rest: Float32[ndarray, "22 3"]) -> list[Piece]:
    """A stick figure: a ball at each joint and a stick to its parent, blue on the left, red on the right."""
    colors, sizes = side_colors(JOINT_NAMES[:NUM_BODY]), ball_sizes(JOINT_NAMES[:NUM_BODY])
    pieces = []
    for color in dict.fromkeys(colors):
        vertices: list[ndarray] = []
        faces: list[ndarray] = []
        owners: list[ndarray] = []
        for joint in (j for j in range(NUM_BODY) if colors[j] == color):
            parent = PARENTS[joint]
            ball = skeleton_mesh(rest[joint][None], (-1,), sizes=sizes[joint : joint + 1])
            made = [(ball.vertices, ball.faces, joint)]
            if parent >= 0:
                both = skeleton_mesh(rest[[parent, joint]], (-1, 0), sizes=(0.02, 0.02))
                made.append((both.vertices, both.faces, parent))
            for points, triangles, owner in made:
                faces.append(triangles + sum(len(v) for v in vertices))
                vertices.append(points)
                owners.append(np.full(len(points), owner))
        rigid = np.eye(NUM_BODY, dtype=np.float32)[np.concatenate(owners)]
        pieces.append(_piece(color, np.concatenate(vertices), np.concatenate(faces), rigid))
    return pieces


def _piece(
    color: Color,
    vertices: Float32[ndarray, "vertices 3"],
    faces: Int[ndarray, "faces 3"],
    weights: Float32[ndarray, "vertices 22"],
) -> Piece:
    """The vertices that the faces use, and the joints that move any of them."""
    used, where = np.unique(faces, return_inverse=True)
    joints = np.flatnonzero((weights[used] > 0).any(0))
    own = np.ascontiguousarray(weights[np.ix_(used, joints)], np.float32)
    return Piece(color, np.ascontiguousarray(vertices[used], np.float32), where.reshape(-1, 3), tuple(joints.tolist()),
                 own)  # fmt: skip


def _of_body_joints(weights: Float32[ndarray, "vertices 55"]) -> Float32[ndarray, "vertices 22"]:
    """Weights of the 22 body joints, each with those of the face and finger joints that hang on it."""
    owner = list(range(NUM_JOINTS))
    for joint in range(NUM_BODY, NUM_JOINTS):
        owner[joint] = owner[PARENTS[joint]]
    summed = np.zeros((len(weights), NUM_BODY), np.float32)
    for joint, body_joint in enumerate(owner):
        summed[:, body_joint] += weights[:, joint]
    return summed / summed.sum(1, keepdims=True)


def _few_colors(colors: UInt8[ndarray, "vertices 3"]) -> tuple[list[Color], Int[ndarray, " vertices"]]:
    """The most frequent colours that differ, and which of them is nearest to each vertex's own."""
    distinct, where, counts = np.unique(colors, axis=0, return_inverse=True, return_counts=True)
    palette: list[ndarray] = []
    for color in distinct[np.argsort(-counts, kind="stable")].astype(float):
        if all(np.linalg.norm(color - other) > ALIKE for other in palette):
            palette.append(color)
    nearest = np.linalg.norm(distinct[:, None].astype(float) - np.array(palette)[None], axis=-1).argmin(1)
    return [(int(c[0]), int(c[1]), int(c[2])) for c in palette], nearest[where.reshape(-1)]
