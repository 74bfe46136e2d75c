"""Spheres that fill the body, placed by its joints: what is kept out of a scene while motion is being made."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy.spatial import cKDTree
from torch import Tensor

from models.body.model import BodyModel, load_body
from models.body.skeleton import JOINT, NUM_BODY
from models.objectives import Joints, PerClip
from motion.primitives.control import Distance

THINNEST, THICKEST = 0.03, 0.15
"""Metres that a sphere's radius has at least and at most."""
_SPANS: tuple[tuple[str, str, tuple[float, ...]], ...] = (
    ("hip", "knee", (0.33, 0.67)), ("knee", "ankle", (0.33, 0.67)), ("ankle", "foot", (0.5, 1.5)),
    ("shoulder", "elbow", (0.5,)), ("elbow", "wrist", (0.5, 1.35, 1.65)),
)  # fmt: skip
"""Further spheres of both sides' limbs: between two joints, or beyond the second (toes, hands)."""


@dataclass(frozen=True)
class Flesh:
    """Points first + share (second - first) of joint positions, each with a radius in metres."""

    first: Int[Tensor, " spheres"]
    second: Int[Tensor, " spheres"]
    share: Float[Tensor, " spheres"]
    radius: Float[Tensor, " spheres"]

    def centres(self, joints: Float[Tensor, "*batch 22 3"]) -> Float[Tensor, "*batch spheres 3"]:
        """Where the spheres are."""
        start = joints[..., self.first, :]
        return start + self.share.to(joints)[:, None] * (joints[..., self.second, :] - start)

    def depth(self, joints: Joints, distance: Distance, tolerance: float = 0.0) -> PerClip:
        """How deep, metres beyond `tolerance`, spheres are in a scene: mean over frames of their sum."""
        gaps = distance(self.centres(joints)) - self.radius.to(joints)
        return (-gaps - tolerance).clamp_min(0).sum(-1).mean(-1)


def flesh_of(body: BodyModel | None = None) -> Flesh:
    """Spheres of the body (the default one without an argument), as thick as its skin is far from their centres."""
    return _open_flesh() if body is None else _measured(body)


@lru_cache(maxsize=1)
def _open_flesh() -> Flesh:
    return _measured(load_body())


def _measured(body: BodyModel) -> Flesh:
    rows = [(j, j, 0.0) for j in range(NUM_BODY)]
    for a, b, shares in _SPANS:
        rows += [(JOINT[f"{side}_{a}"], JOINT[f"{side}_{b}"], share) for side in ("left", "right") for share in shares]
    rows += [(JOINT["neck"], JOINT["head"], share) for share in (1.7, 2.4)]
    first, second, share = (torch.tensor(column) for column in zip(*rows, strict=True))
    bare = Flesh(first, second, share.float(), torch.zeros(len(rows)))
    centres = bare.centres(body.joint_template[:NUM_BODY].float()).double().numpy()
    gaps, nearest = cKDTree(centres).query(body.v_template.double().numpy())
    radius = [np.median(gaps[nearest == k]) if (nearest == k).any() else THINNEST for k in range(len(rows))]
    return Flesh(first, second, bare.share, torch.tensor(np.clip(radius, THINNEST, THICKEST), dtype=torch.float32))
