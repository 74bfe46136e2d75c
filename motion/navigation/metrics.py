"""DIMOS's measures of people in rooms: time, final distance, contact, walkable share, penetration; and diversity.

As in Zhao et al., ICCV 2023: contact looks at the foot that is slowest and the one that is lowest in each frame, speeds
are central differences at the motion's own rate (published: 40 fps; here 30), penetration is the sum of the negative
signed distances of all body vertices, in its unit of SMPL-X's 10,475 vertices whatever the body's own number.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float
from numpy import ndarray
from torch import Tensor

from laban.errors import LabanError
from models.body.landmarks import LANDMARK_VERTICES
from models.body.model import BodyModel
from models.body.skinning import skin
from models.motion import Motion
from motion.primitives.control import Distance

VERTICES = 10475
"""Of SMPL-X: penetration is given as if every body had so many."""
SPEED, HEIGHT = 0.075, 0.05
"""Metres a second, and metres from the floor, that a foot in contact may have (DIMOS)."""
SOLE: tuple[int, ...] = tuple(
    list(LANDMARK_VERTICES).index(f"{side}_{point}")
    for side in ("left", "right")
    for point in ("big_toe", "small_toe", "heel")
)
"""Among a body's extra joints: three points below each foot."""
BATCH = 64
SAMPLES = 60
"""Moments of two motions that are compared."""

Inside = Callable[[Float[ndarray, "*points 2"]], Bool[ndarray, " *points"]]
"""Whether places (x, z) are on walkable floor: `models.scene.walkable.Walkable.inside`."""


@dataclass(frozen=True)
class Measured:
    """One person's way, or stay; a measure that does not apply is NaN."""

    seconds: float
    """Until the goal was reached, or the whole length."""
    distance: float
    """Metres of the pelvis from the goal, over the floor, in the last frame."""
    contact: float
    """Share, 1 is best (`contact_score`)."""
    walkable: float
    """Share of body vertices above walkable floor, mean over frames."""
    penetration: float
    """Mean over frames of the sum of depths, metres x 10,475 vertices."""
    deepest: float
    """The same in the worst frame."""

    def to_json(self) -> dict[str, float | None]:
        """Rounded, with None for what does not apply."""
        return {name: round(value, 4) if np.isfinite(value) else None for name, value in asdict(self).items()}


@dataclass(frozen=True)
class Place:
    """What is measured against: signed distance of everything solid, walkable floor, the floor's height."""

    distance: Distance | None = None
    inside: Inside | None = None
    floor: float = 0.0


def measure(motion: Motion, body: BodyModel, place: Place, goal: tuple[float, float] | None = None) -> Measured:
    """All measures of one person; `seconds` is the motion's length, `distance` needs a goal (x, z)."""
    soles, inside, depths = list[Tensor](), list[Tensor](), list[Tensor]()
    for vertices, feet in surfaces(motion, body):
        soles.append(feet)
        if place.inside is not None:
            inside.append(torch.from_numpy(place.inside(vertices[..., 0::2].numpy()).mean(-1)))
        if place.distance is not None:
            depths.append(penetration(vertices, place.distance))
    deep = torch.cat(depths) if depths else torch.full((1,), torch.nan)
    share = torch.cat(inside) if inside else torch.full((1,), torch.nan)
    away = float("nan")
    if goal is not None:
        pelvis = motion.root[0, -1] + body.rest_joints(torch.from_numpy(motion.betas.astype(np.float32)))[0, 0].numpy()
        away = float(np.hypot(pelvis[0] - goal[0], pelvis[2] - goal[1]))
    contact = contact_score(torch.cat(soles), motion.fps, floor=place.floor)
    return Measured(motion.seconds, away, float(contact), float(share.mean()), float(deep.mean()), float(deep.amax()))


def surfaces(
    motion: Motion, body: BodyModel
) -> Iterator[tuple[Float[Tensor, "frames vertices 3"], Float[Tensor, "frames 6 3"]]]:
    """Vertices and sole points of the one person of a motion, batch after batch; LabanError for several people."""
    if motion.actors != 1:
        raise LabanError(f"measures: the motion has {motion.actors} people; accepted: one")
    betas = torch.from_numpy(motion.betas.astype(np.float32))
    for start in range(0, motion.frames, BATCH):
        part = motion.slice(start, start + BATCH)
        with torch.inference_mode():
            rotations = torch.from_numpy(np.ascontiguousarray(part.rotations[0], np.float32))
            posed = skin(body, rotations, torch.from_numpy(np.ascontiguousarray(part.root[0], np.float32)), betas)
            yield posed.vertices, posed.extra_joints[:, SOLE]


def contact_score(
    feet: Float[Tensor, "*batch frames points 3"], fps: float, *, floor: float = 0.0
) -> Float[Tensor, " *batch"]:
    """Mean over frames of exp(-(slowest speed - 0.075)+) exp(-(|lowest height| - 0.05)+), of points below the feet.

    Speeds are central differences; the first and the last frame have none and do not count. Fewer than three frames
    stand still.
    """
    height = (feet[..., 1].amin(-1) - floor).abs()
    low = torch.exp(-(height - HEIGHT).clamp_min(0))
    if feet.shape[-3] < 3:
        return low.mean(-1)
    speed = ((feet[..., 2:, :, :] - feet[..., :-2, :, :]) * (fps / 2)).norm(dim=-1).amin(-1)
    return (torch.exp(-(speed - SPEED).clamp_min(0)) * low[..., 1:-1]).mean(-1)


def penetration(vertices: Float[Tensor, "*frames vertices 3"], distance: Distance) -> Float[Tensor, " *frames"]:
    """Sum of the depths of vertices inside of things, in metres, as of a body of 10,475 vertices."""
    return (-distance(vertices)).clamp_min(0).sum(-1) * (VERTICES / vertices.shape[-2])


def diversity(joints: Sequence[Float[ndarray, "_ 22 3"]]) -> float:
    """Mean distance, metres, of the joints of any two of several motions, each brought to the same duration.

    The average pairwise distance (APD) of human-motion prediction, in the world: other ways count as well as other
    poses. NaN for fewer than two.
    """
    if len(joints) < 2:
        return float("nan")
    moments = [one[np.round(np.linspace(0, len(one) - 1, SAMPLES)).astype(int)] for one in joints]
    gaps = [
        float(np.linalg.norm(moments[i] - moments[k], axis=-1).mean())
        for i in range(len(moments))
        for k in range(i + 1, len(moments))
    ]
    return float(np.mean(gaps))
