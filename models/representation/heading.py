"""Heading: the yaw that a canonical frame removes."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float
from numpy import ndarray
from torch import Tensor

from models.rotations import matrix_to_quaternion

UPSIDE_DOWN = 0.25
"""Length of the (w, y) part of the pelvis quaternion below which its yaw is not trusted."""


def pelvis_heading(orientation: Float[ndarray, "frames 3 3"]) -> Float[ndarray, " frames"]:
    """Continuous yaw in radians about +Y of a pelvis orientation: the twist of its swing-twist decomposition.

    Unlike the projected forward axis it stays smooth when the body bends, lies down or rolls forward; only near
    upside down it is undefined, and there it is interpolated.
    """
    w, _, y, _ = matrix_to_quaternion(torch.as_tensor(orientation, dtype=torch.float64)).numpy().T
    yaw = 2 * np.arctan2(y, w)
    good = np.flatnonzero(np.hypot(w, y) > UPSIDE_DOWN)
    if not len(good):
        return np.zeros(len(yaw))
    return np.interp(np.arange(len(yaw)), good, np.unwrap(yaw[good]))


def joints_heading(joints: Float[ndarray, "frames 22 3"]) -> Float[ndarray, " frames"]:
    """Continuous yaw in radians about +Y from the hips and shoulders of 22 joints (HumanML3D's definition)."""
    across = joints[:, 1] - joints[:, 2] + joints[:, 16] - joints[:, 17]
    length = np.hypot(across[:, 0], across[:, 2])
    good = np.flatnonzero(length > 0.1 * np.linalg.norm(across, axis=-1).clip(1e-6))
    if not len(good):
        return np.zeros(len(joints))
    return np.interp(np.arange(len(joints)), good, np.unwrap(np.arctan2(-across[good, 2], across[good, 0])))


def turn(angle: Float[Tensor, "*batch"], points: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch 3"]:
    """Rotate points by `angle` radians about +Y."""
    cos, sin = angle.cos(), angle.sin()
    x, y, z = points.unbind(-1)
    return torch.stack([cos * x + sin * z, y, -sin * x + cos * z], -1)


def integrate(
    yaw_velocity: Float[Tensor, "*batch frames"], planar: Float[Tensor, "*batch frames 2"]
) -> tuple[Float[Tensor, "*batch frames"], Float[Tensor, "*batch frames 2"]]:
    """Yaw and (x, z) position from per-frame increments in the heading frame; both start at zero."""
    yaw = torch.cumsum(yaw_velocity, -1) - yaw_velocity
    step = turn(yaw, torch.stack([planar[..., 0], torch.zeros_like(yaw), planar[..., 1]], -1))[..., [0, 2]]
    return yaw, torch.cumsum(step, -2) - step


def increments(
    yaw: Float[ndarray, " frames"], position: Float[ndarray, "frames 3"]
) -> tuple[Float[ndarray, " frames"], Float[ndarray, "frames 2"]]:
    """Inverse of `integrate`; the last increment repeats the last acceleration."""
    rate = np.diff(yaw)
    step = np.diff(position, axis=0)
    cos, sin = np.cos(yaw[:-1]), np.sin(yaw[:-1])
    local = np.stack([cos * step[:, 0] - sin * step[:, 2], sin * step[:, 0] + cos * step[:, 2]], -1)
    return _extrapolate(rate), _extrapolate(local)


def _extrapolate(values: ndarray) -> ndarray:
    if len(values) == 0:
        return np.zeros((1, *values.shape[1:]))
    last = 2 * values[-1] - values[-2] if len(values) > 1 else values[-1]
    return np.concatenate([values, last[None]])
