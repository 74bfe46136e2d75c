"""The people of a motion as surfaces: skinned in batches, dressed apart from one another, or as skeletons."""

from __future__ import annotations

import colorsys
from collections.abc import Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float32, Int32, UInt8
from numpy import ndarray

from models.body.skeleton import JOINT_NAMES, NUM_BODY, PARENTS
from models.motion import Motion
from viz.contact import highlighted
from viz.renderer import CLAY, Mesh
from viz.skeleton import ball_sizes, side_colors, skeleton_mesh

if TYPE_CHECKING:
    from models.body.model import BodyModel

Color = tuple[int, int, int]

CLOTHES: tuple[Color | None, ...] = (
    None, (206, 116, 94), (92, 150, 124), (212, 168, 92), (142, 116, 176), (96, 156, 172),
)  # fmt: skip
"""Clothes of the first, second … person; None leaves the body's own colours."""
BATCH = 16
SKIN_HUES = (0.0, 0.14)
PALE = 0.12


@dataclass(frozen=True)
class Cast:
    """Who plays a motion: a body with the colours of each actor, or stick figures."""

    body: BodyModel
    colors: tuple[Color | None, ...] = CLOTHES
    skeleton: bool = False
    contacts: bool = False
    """Colour where people touch (`viz.contact`); stick figures have no skin to touch with."""

    def joints(self, motion: Motion) -> Float32[ndarray, "actors frames joints 3"]:
        """World positions of the joints, in metres: 55, or the 22 of the body for stick figures."""
        import torch

        from models.body.kinematics import forward_kinematics

        count = NUM_BODY if self.skeleton else len(PARENTS)
        rest = self.body.rest_joints(torch.from_numpy(motion.betas.astype(np.float32)))
        with torch.inference_mode():
            rotations = torch.from_numpy(motion.rotations[:, :, :count].astype(np.float32))
            root = torch.from_numpy(motion.root.astype(np.float32))
            return forward_kinematics(rotations, rest[:, None, :count], root)[0].numpy()

    def frames(self, motion: Motion) -> Generator[list[Mesh], None, None]:
        """The surfaces of every frame, one for each actor; the next batch is skinned while the last one is used."""
        with ThreadPoolExecutor(1) as worker:
            starts = range(0, motion.frames, BATCH)
            ahead = worker.submit(self._batch, motion, 0)
            for start in starts:
                batch = ahead.result()
                if start + BATCH < motion.frames:
                    ahead = worker.submit(self._batch, motion, start + BATCH)
                yield from batch

    def at(self, motion: Motion, frames: Sequence[int]) -> list[list[Mesh]]:
        """The surfaces of the chosen frames, one list a frame."""
        return [self._batch(motion.slice(frame, frame + 1), 0)[0] for frame in frames]

    def _batch(self, motion: Motion, start: int) -> list[list[Mesh]]:
        part = motion.slice(start, start + BATCH)
        if self.skeleton:
            return self._skeletons(part)
        faces, paints = self._faces(), [self._paint(actor) for actor in range(part.actors)]
        bodies = [self._skinned(part, actor) for actor in range(part.actors)]
        people = [
            [Mesh(bodies[actor][frame], faces, *paints[actor]) for actor in range(part.actors)]
            for frame in range(part.frames)
        ]
        return [highlighted(meshes) for meshes in people] if self.contacts else people

    def _skinned(self, motion: Motion, actor: int) -> Float32[ndarray, "frames vertices 3"]:
        import torch

        from models.body.skinning import skin

        arrays = motion.rotations[actor], motion.root[actor], motion.betas[actor : actor + 1]
        with torch.inference_mode():
            rotations, root, betas = (torch.from_numpy(np.ascontiguousarray(a, np.float32)) for a in arrays)
            return skin(self.body, rotations, root, betas).vertices.numpy()

    def _faces(self) -> Int32[ndarray, "faces 3"]:
        return self.body.faces.numpy().astype(np.int32)

    def _paint(self, actor: int) -> tuple[UInt8[ndarray, "vertices 3"] | None, Color]:
        """Vertex colours, and the one colour for a body without any."""
        color = self.colors[actor % len(self.colors)]
        if self.body.colors is None:
            return None, color or CLAY
        own = self.body.colors.numpy()
        return (own if color is None else dressed(own, color)), CLAY

    def _skeletons(self, motion: Motion) -> list[list[Mesh]]:
        joints = self.joints(motion)
        names, parents = JOINT_NAMES[:NUM_BODY], PARENTS[:NUM_BODY]
        sides, sizes = side_colors(names), ball_sizes(names)
        paints = [self.colors[actor % len(self.colors)] for actor in range(motion.actors)]
        return [
            [
                skeleton_mesh(joints[actor, frame], parents, colors=[color] * NUM_BODY if color else sides, sizes=sizes)
                for actor, color in enumerate(paints)
            ]
            for frame in range(motion.frames)
        ]


def dressed(colors: UInt8[ndarray, "vertices 3"], color: Color) -> UInt8[ndarray, "vertices 3"]:
    """Body colours with the coloured clothes turned into `color`, brightness kept; skin, greys and black stay."""
    hue, saturation, _ = colorsys.rgb_to_hsv(*(c / 255 for c in color))
    distinct, where = np.unique(colors, axis=0, return_inverse=True)
    for row in distinct:
        h, s, v = colorsys.rgb_to_hsv(*(row / 255))
        if s >= PALE and not SKIN_HUES[0] <= h <= SKIN_HUES[1]:
            row[:] = np.round(np.multiply(colorsys.hsv_to_rgb(hue, saturation * min(1.0, s / 0.5), v), 255))
    return distinct[where.reshape(-1)]
