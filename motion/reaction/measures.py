"""How good is a reaction? Contact, penetration, place and facing against the captured reactor; skate and diversity.

A motion of two people is measured: person 0, the actor, is the same in the made and the real motion. Points are the
22 body joints and the two palm centres of `models.body.touching`, because hands touch with their palms: wrists of hands
that hold each other are 15 cm apart.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from jaxtyping import Bool, Float
from numpy import ndarray

from laban.errors import LabanError
from models.body.model import BodyModel
from models.body.pose import motion_joints
from models.body.skeleton import JOINT
from models.body.touching import palms
from models.motion import Motion
from models.objectives import foot_skate
from models.representation.heading import pelvis_heading
from motion.metrics import Estimate
from motion.navigation.flesh import Flesh, flesh_of

CONTACT = 0.10
"""Metres between two points below which parts touch."""
PARTS: tuple[tuple[str, tuple[int, ...]], ...] = (
    ("left hand", (20, 22)), ("right hand", (21, 23)), ("left arm", (16, 18)), ("right arm", (17, 19)),
    ("head", (12, 15)), ("trunk", (0, 3, 6, 9, 13, 14)), ("left leg", (1, 4, 7, 10)), ("right leg", (2, 5, 8, 11)),
)  # fmt: skip
"""What may touch; 22 and 23 are the palms."""
HANDS = (JOINT["left_wrist"], JOINT["right_wrist"])
_COUNTS = ("contact hits", "contact made", "contact real")

Points = Float[ndarray, "2 frames 24 3"]


def contact_points(motion: Motion, body: BodyModel | None = None) -> Points:
    """World positions in metres of both people's 22 joints and two palms."""
    if motion.actors != 2:
        raise LabanError(f"motion: holds {motion.actors} people; accepted: 2")
    return np.concatenate([motion_joints(motion, body), palms(motion, body)], 2).astype(np.float32)


def contacts(points: Points, within: float = CONTACT) -> Bool[ndarray, "frames 8 8"]:
    """Which part (`PARTS`) of person 0 touches which of person 1: points of both less than `within` metres apart."""
    near = np.linalg.norm(points[0][:, :, None] - points[1][:, None], axis=-1) < within
    rows = np.stack([near[:, list(members)].any(1) for _, members in PARTS], 1)
    return np.stack([rows[:, :, list(members)].any(2) for _, members in PARTS], 2)


def penetration(
    joints: Float[ndarray, "2 frames 22 3"], flesh: Flesh | None = None
) -> tuple[Float[ndarray, " frames"], Float[ndarray, " frames"]]:
    """How far two bodies are in one another in each frame: depth in metres, and volume in litres.

    Bodies are the spheres of `motion.navigation.flesh`. The depth is that of the deepest pair of spheres, the volume
    the sum over pairs, which counts twice where spheres of one body overlap. Pairs of hands are left out: they touch.
    """
    flesh = flesh or flesh_of()
    centres = flesh.centres(torch.from_numpy(np.asarray(joints, np.float32))).double()
    radius = flesh.radius.double()
    reach = radius[:, None] + radius
    apart = torch.cdist(centres[0], centres[1])
    hand = torch.isin(flesh.second, torch.tensor(HANDS)) & ((flesh.share > 1) | (flesh.first == flesh.second))
    depth = (reach - apart).clamp_min(0) * ~(hand[:, None] & hand)
    smaller = 2 * torch.minimum(radius[:, None], radius)
    inside = depth.minimum(smaller)
    far = apart.clamp_min(1e-6)
    lens = torch.pi * inside**2 * (
        far**2 + 2 * far * reach - 3 * (radius[:, None] - radius) ** 2
    ) / (12 * far)  # fmt: skip
    whole = torch.pi / 6 * smaller**3
    volume = torch.where(depth > smaller, whole, lens.clamp_min(0)).minimum(whole)
    return depth.amax((1, 2)).numpy(), 1000 * volume.sum((1, 2)).numpy()


def measure(made: Motion, real: Motion, body: BodyModel | None = None) -> dict[str, float]:
    """Figures of one reaction (`made`, person 1) to the actor whose captured partner is person 1 of `real`.

    Metres, metres a second, degrees, litres. `contact ...` are counts of (frame, part, part): see `summary`.
    """
    if (made.frames, made.fps) != (real.frames, real.fps):
        found, accepted = (f"{one.frames} frames at {one.fps:g} fps" for one in (made, real))
        raise LabanError(f"made: has {found}; accepted: {accepted}, as the real motion has")
    points, true = contact_points(made, body), contact_points(real, body)
    touch, should = contacts(points), contacts(true)
    depth, volume = penetration(points[:, :, :22], None if body is None else flesh_of(body))
    pelvis, right = points[:, :, 0, ::2], true[:, :, 0, ::2]
    apart, wanted = (np.linalg.norm(both[1] - both[0], axis=-1) for both in (pelvis, right))
    yaw, facing = (pelvis_heading(motion.rotations[1, :, 0]) for motion in (made, real))
    off = np.abs((yaw - facing + np.pi) % (2 * np.pi) - np.pi)
    reactor = torch.from_numpy(points[1, :, :22])
    return {
        "trajectory error": float(np.linalg.norm(pelvis[1] - right[1], axis=-1).mean()),
        "distance error": float(np.abs(apart - wanted).mean()),
        "orientation error": float(np.degrees(off).mean()),
        "penetration": float(depth.mean()),
        "penetrating frames": float((depth > 0.02).mean()),
        "penetration volume": float(volume.mean()),
        "foot skate": float(foot_skate(reactor, made.fps)),
        "contact share": float(touch.any((1, 2)).mean()),
        "contact hits": float((touch & should).sum()),
        "contact made": float(touch.sum()),
        "contact real": float(should.sum()),
    }


def contact_scores(hits: float, made: float, real: float) -> dict[str, float]:
    """Precision, recall and F1 of contacts; 1 where there was nothing to find and nothing was made up."""
    precision, recall = (hits / count if count else float(real == made) for count in (made, real))
    f1 = 2 * hits / (made + real) if made + real else 1.0
    return {"contact precision": precision, "contact recall": recall, "contact F1": f1}


def summary(rows: Sequence[Mapping[str, float]], *, seed: int = 0, draws: int = 1000) -> dict[str, Estimate]:
    """Means of `measure` over reactions, with 95 % intervals of a bootstrap over them.

    Contact scores are of all (frame, part, part) together (micro): clips without contact do not count as perfect.
    """
    names = [name for name in rows[0] if name not in _COUNTS]
    table = np.array([[row[name] for name in names] for row in rows])
    counts = np.array([[row[name] for name in _COUNTS] for row in rows])
    picks = np.random.default_rng(seed).integers(0, len(rows), (draws, len(rows)))
    lows, highs = np.percentile(table[picks].mean(1), (2.5, 97.5), axis=0)
    result = {
        name: Estimate(float(table[:, k].mean()), float(lows[k]), float(highs[k]), len(rows))
        for k, name in enumerate(names)
    }
    drawn = [contact_scores(*counts[pick].sum(0)) for pick in picks]
    for name, value in contact_scores(*counts.sum(0)).items():
        low, high = np.percentile([scores[name] for scores in drawn], (2.5, 97.5))
        result[name] = Estimate(value, float(low), float(high), len(rows))
    return result


def diversity(made: Sequence[Motion], body: BodyModel | None = None) -> float:
    """Mean distance, metres, between the reactors' joints in different samples for one actor; 0 for a single sample."""
    joints = np.stack([motion_joints(motion.actor(1), body)[0] for motion in made])
    first, second = np.triu_indices(len(made), 1)
    return float(np.linalg.norm(joints[first] - joints[second], axis=-1).mean()) if len(first) else 0.0
