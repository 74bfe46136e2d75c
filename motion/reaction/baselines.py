"""What a reaction must be better than: the partner of the nearest actor, and somebody generated alone beside the actor.

Both take the actor's motion and give two people at its rate; neither learns anything about two people.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float
from numpy import ndarray
from torch import Tensor

from laban.errors import LabanError
from models.body.model import BodyModel
from models.body.pose import motion_joints
from models.body.skeleton import NUM_BODY
from models.body.vectors import mean_rotation
from models.data.pairs import Pair
from models.formats import together
from models.motion import Motion
from models.representation import pair as frames
from models.representation.heading import joints_heading
from models.resample import resample
from models.rotations import yaw_rotation

COMPARED = 10.0
"""Frames a second at which actors are compared."""
SPEED = 0.3
"""Seconds: what a metre a second weighs beside a metre, when actors are compared."""

Generate = Callable[[str, float, int], Motion]
"""(text, seconds, seed) -> one person."""


@dataclass(frozen=True)
class Partners:
    """Takes of two people with their actors as they are compared."""

    pairs: tuple[Pair, ...]
    rows: tuple[Float[ndarray, "steps columns"], ...]


def partners_of(pairs: Sequence[Pair], body: BodyModel | None = None) -> Partners:
    """The bank of `nearest_partner`; give it swapped and mirrored pairs as well, if they may be found."""
    return Partners(tuple(pairs), tuple(_described(pair.motion.actor(0), body) for pair in pairs))


def nearest_partner(actor: Motion, bank: Partners, *, seconds: float = 1.0, body: BodyModel | None = None) -> Motion:
    """The partner of the actors of the bank that move most alike, placed beside this one as beside them.

    Every `seconds` / 2 the stretch of `seconds` in the bank is sought whose actor does most nearly the same; its
    partner is placed by where they are in the actor's frame in the middle of the stretch, and stretches are
    cross-faded. An actor shorter than that is sought as a whole. Shorter stretches are nearer to the real partner and
    slide more: of 1, 2 and 6 s the first was best on the takes held out. Nothing is drawn at random.
    """
    if actor.actors != 1:
        raise LabanError(f"actor: holds {actor.actors} people; accepted: 1")
    rows = _described(actor, body)
    window = min(len(rows), round(seconds * COMPARED))
    starts = [*range(0, len(rows) - window, max(window // 2, 1)), len(rows) - window]
    rotations = np.zeros((actor.frames, NUM_BODY, 3, 3))
    pelvis, total = np.zeros((actor.frames, 3)), np.zeros(actor.frames)
    for start in starts:
        pair, place = _nearest(rows[start : start + window], bank)
        first = round(start / COMPARED * actor.fps)
        last = actor.frames if start == starts[-1] else round((start + window) / COMPARED * actor.fps)
        turned, put = _placed(actor, pair, place / COMPARED, first, last, body)
        # a hat over the stretch; the very ends keep their weight
        edge = np.minimum(np.arange(last - first) + 1.0, np.arange(last - first, 0, -1.0))
        edge = np.full(last - first, 1.0) if len(starts) == 1 else edge / edge.max()
        rotations[first:last] += edge[:, None, None, None] * turned
        pelvis[first:last] += edge[:, None] * put
        total[first:last] += edge
    return _beside(actor, mean_rotation(rotations), pelvis / total[:, None], body)


def alone_beside(
    actor: Motion, pairs: Sequence[Pair], text: str, generate: Generate, *, seed: int = 0, body: BodyModel | None = None
) -> Motion:  # fmt: skip
    """Somebody generated from a text alone, who starts where partners usually are (the median of `pairs`)."""
    if actor.actors != 1:
        raise LabanError(f"actor: holds {actor.actors} people; accepted: 1")
    usual = torch.cat([frames.relative(path[1], path[0]) for path in (_paths(pair.motion, body) for pair in pairs)])
    made = resample(generate(text, actor.seconds + 0.2, seed), actor.fps)
    made = made.slice(0, actor.frames)
    if made.frames < actor.frames:
        raise LabanError(f"generated: has {made.frames} frames; accepted: {actor.frames} or more")
    own = _paths(made, body)[0]
    there = frames.absolute(usual.median(0).values[None], _paths(actor, body)[0, :1])[0]
    seen = frames.relative(own, own[:1].expand(len(own), -1))
    path = frames.absolute(seen, there.expand(len(own), -1))
    spin = frames.yaw_of(path) - frames.yaw_of(own)
    rotations = torch.from_numpy(made.rotations[0, :, :NUM_BODY].astype(np.float64))
    rotations = torch.cat([(yaw_rotation(spin) @ rotations[:, 0])[:, None], rotations[:, 1:]], 1)
    return _beside(actor, rotations.numpy(), frames.pelvis_of(path).numpy(), body)


def _described(actor: Motion, body: BodyModel | None) -> Float[ndarray, "steps columns"]:
    """Joints of one person in the frame of their own pelvis and heading, and how they move, ten times a second."""
    joints = motion_joints(resample(actor, COMPARED), body)[0].astype(np.float64)
    yaw, floor = joints_heading(joints), joints[:, :1] * np.array([1.0, 0.0, 1.0])
    speed = np.gradient(joints, axis=0) * COMPARED if len(joints) > 1 else np.zeros_like(joints)
    return np.concatenate([_turned(-yaw, joints - floor), SPEED * _turned(-yaw, speed)], 1).reshape(len(joints), -1)


def _turned(yaw: Float[ndarray, " steps"], points: Float[ndarray, "steps k 3"]) -> Float[ndarray, "steps k 3"]:
    cos, sin = np.cos(yaw)[:, None], np.sin(yaw)[:, None]
    x, y, z = np.moveaxis(points, -1, 0)
    return np.stack([cos * x + sin * z, y, -sin * x + cos * z], -1)


def _nearest(rows: Float[ndarray, "window columns"], bank: Partners) -> tuple[Pair, int]:
    """The pair and the step where its actor is most like these rows."""
    best: tuple[float, Pair, int] | None = None
    for pair, own in zip(bank.pairs, bank.rows, strict=True):
        if len(own) < len(rows):
            continue
        cost = (rows**2).sum(1)[:, None] + (own**2).sum(1)[None] - 2 * rows @ own.T
        places = len(own) - len(rows) + 1
        along = np.sum([cost[k, k : k + places] for k in range(len(rows))], axis=0)
        place = int(along.argmin())
        if best is None or along[place] < best[0]:
            best = (float(along[place]), pair, place)
    if best is None:
        raise LabanError(f"bank: no take is {len(rows) / COMPARED:g} s long")
    return best[1], best[2]


def _placed(
    actor: Motion, pair: Pair, seconds: float, first: int, last: int, body: BodyModel | None
) -> tuple[Float[ndarray, "frames 22 3 3"], Float[ndarray, "frames 3"]]:
    """Rotations and pelvis of the pair's partner from `seconds` on, rigidly moved beside the actor's [first, last)."""
    found = resample(pair.motion, actor.fps)
    start = min(round(seconds * actor.fps), max(0, found.frames - (last - first)))
    found = found.slice(start, start + last - first)
    if (short := last - first - found.frames) > 0:  # rounding at the very end of a take
        found = replace(found, rotations=np.pad(found.rotations, ((0, 0), (0, short), *[(0, 0)] * 3), mode="edge"),
                        root=np.pad(found.root, ((0, 0), (0, short), (0, 0)), mode="edge"))  # fmt: skip
    rest = frames.rest_joints(found, body)
    rotations = torch.from_numpy(found.rotations[:, :, :NUM_BODY].astype(np.float64))
    pelvis = torch.from_numpy(found.root.astype(np.float64)) + rest[:, None, 0]
    middle = (last - first) // 2
    rotations, pelvis, _ = frames.canonical(rotations, pelvis, frame=middle)
    own = torch.from_numpy(actor.rotations[:, first:last, :NUM_BODY].astype(np.float64))
    here = torch.from_numpy(actor.root[:, first:last].astype(np.float64)) + frames.rest_joints(actor, body)[:, None, 0]
    _, _, place = frames.canonical(own, here, frame=middle)
    rotations, pelvis = frames.world(rotations, pelvis, place)
    return rotations[1].numpy(), pelvis[1].numpy()


def _paths(motion: Motion, body: BodyModel | None) -> Float[Tensor, "people frames 5"]:
    pelvis = torch.from_numpy(motion.root.astype(np.float64)) + frames.rest_joints(motion, body)[:, None, 0]
    return frames.trajectory(torch.from_numpy(motion.rotations[:, :, :NUM_BODY].astype(np.float64)), pelvis)


def _beside(
    actor: Motion,
    rotations: Float[ndarray, "frames 22 3 3"],
    pelvis: Float[ndarray, "frames 3"],
    body: BodyModel | None,
) -> Motion:
    full = np.broadcast_to(np.eye(3, dtype=np.float32), (1, actor.frames, 55, 3, 3)).copy()
    full[0, :, :NUM_BODY] = rotations
    other = Motion(full, np.zeros((1, actor.frames, 3), np.float32), actor.fps)
    root = (pelvis - frames.rest_joints(other, body)[0, 0].numpy()).astype(np.float32)
    return together([actor, replace(other, root=root[None])], "reaction")
