"""`SkeletonClip`: what a file with any skeleton holds (BVH, glTF), before it is retargeted to the SMPL-X body."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from numpy import ndarray

from laban.errors import LabanError
from models.rotations import quaternion_to_matrix


@dataclass(frozen=True)
class SkeletonClip:
    """One take of any skeleton: Y up, metres, right-handed.

    Local rotations are quaternions (w, x, y, z) relative to the skeleton's own rest pose, which need not be a T-pose:
    with every rotation at identity, joint j stands at the sum of the offsets of its chain. `parents[j] < j`; the first
    joint is the root (parent -1) and its offset is not used, `root` is its position in the world.
    """

    names: tuple[str, ...]
    parents: tuple[int, ...]
    offsets: Float[ndarray, "joints 3"]
    rotations: Float[ndarray, "frames joints 4"]
    root: Float[ndarray, "frames 3"]
    fps: float

    def __post_init__(self) -> None:
        frames, joints = self.rotations.shape[:2]
        shapes = (len(self.names), len(self.parents), len(self.offsets))
        if shapes != (joints, joints, joints):
            raise LabanError(f"skeleton: {joints} joints animated; {shapes} names, parents and offsets")
        if not frames or self.root.shape != (frames, 3):
            raise LabanError(f"skeleton: root has shape {self.root.shape}; expected {(frames, 3)} and a frame or more")
        if self.parents[0] != -1 or any(not 0 <= p < j for j, p in enumerate(self.parents) if j):
            raise LabanError("skeleton: joints must follow their parents, the root first")
        if not (np.isfinite(self.fps) and self.fps > 0):
            raise LabanError(f"skeleton: fps is {self.fps}; expected a positive number")
        for name, values in (("offsets", self.offsets), ("rotations", self.rotations), ("root", self.root)):
            if not np.isfinite(values).all():
                raise LabanError(f"skeleton: {name} hold a NaN or infinite number")

    @property
    def frames(self) -> int:
        """Number of frames."""
        return len(self.root)

    def rest_joints(self) -> Float[ndarray, "joints 3"]:
        """Joint positions of the rest pose, the root at the origin."""
        rest = np.zeros(self.offsets.shape, np.float64)
        for joint, parent in enumerate(self.parents[1:], start=1):
            rest[joint] = rest[parent] + self.offsets[joint]
        return rest


def clip_world(clip: SkeletonClip) -> tuple[Float[ndarray, "frames joints 3"], Float[ndarray, "frames joints 3 3"]]:
    """World positions (metres) and world rotations of every joint, by forward kinematics over all frames at once."""
    local = quaternion_to_matrix(torch.from_numpy(np.asarray(clip.rotations, np.float32))).numpy()
    turned = np.empty_like(local)
    places = np.empty(local.shape[:3], np.float32)
    offsets = np.asarray(clip.offsets, np.float32)
    turned[:, 0], places[:, 0] = local[:, 0], clip.root
    for joint, parent in enumerate(clip.parents[1:], start=1):
        turned[:, joint] = turned[:, parent] @ local[:, joint]
        places[:, joint] = places[:, parent] + turned[:, parent] @ offsets[joint]
    return places, turned
