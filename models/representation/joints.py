"""133 columns of joint positions: what motion encoders read, because any source of 22 joints can give them.

Columns: pelvis height, planar velocity and yaw rate in the heading frame, 21 joints relative to the pelvis and 22 joint
velocities, both in the heading frame; metres, metres per second, radians per second, at 20 fps.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from models.body.skeleton import NUM_BODY, PARTS
from models.representation.heading import increments, joints_heading
from models.representation.layout import Layout

FPS = 20.0


def _part_columns(part: str) -> tuple[int, ...]:
    joints = [j for j in PARTS[part] if j < NUM_BODY]
    positions = [4 + 3 * (j - 1) + k for j in joints if j > 0 for k in range(3)]
    return (*(range(4) if part == "legs" else ()), *positions, *(67 + 3 * j + k for j in joints for k in range(3)))


LAYOUT = Layout(
    name="joints133", fps=FPS,
    groups={"height": slice(0, 1), "planar": slice(1, 3), "yaw": slice(3, 4), "positions": slice(4, 67),
            "velocities": slice(67, 133)},
    parts={part: _part_columns(part) for part in PARTS}, root=(0, 1, 2, 3), sixd="none",
    frame="Y up, floor at 0; first frame at x = z = 0 with heading 0 (facing +Z)",
)  # fmt: skip


def encode(joints: Float[ndarray, "frames 22 3"]) -> Float[ndarray, "frames 133"]:
    """World positions of the 22 body joints at 20 fps, in metres."""
    yaw = joints_heading(joints)
    rate, planar = increments(yaw, joints[:, 0])
    velocity = np.diff(joints, axis=0, append=2 * joints[-1:] - joints[-2:-1] if len(joints) > 1 else joints)
    local = _turn(-yaw, joints[:, 1:] - joints[:, :1])
    columns = [joints[:, 0, 1:2], planar * FPS, rate[:, None] * FPS, local.reshape(len(joints), -1),
               _turn(-yaw, velocity * FPS).reshape(len(joints), -1)]  # fmt: skip
    return np.concatenate(columns, -1).astype(np.float32)


def decode(features: Float[ndarray, "frames 133"]) -> Float[ndarray, "frames 22 3"]:
    """World positions in the canonical frame; the velocity columns are not used."""
    yaw = np.cumsum(features[:, 3] / FPS) - features[:, 3] / FPS
    planar = np.stack([features[:, 1], np.zeros(len(features)), features[:, 2]], -1) / FPS
    step = _turn(yaw, planar[:, None])[:, 0]
    pelvis = np.cumsum(step, 0) - step
    pelvis[:, 1] = features[:, 0]
    local = _turn(yaw, features[:, 4:67].reshape(-1, NUM_BODY - 1, 3))
    return np.concatenate([pelvis[:, None], pelvis[:, None] + local], 1)


def _turn(
    yaw: Float[ndarray, " frames"], points: Float[ndarray, "frames joints 3"]
) -> Float[ndarray, "frames joints 3"]:
    cos, sin = np.cos(yaw)[:, None], np.sin(yaw)[:, None]
    x, y, z = np.moveaxis(points, -1, 0)
    return np.stack([cos * x + sin * z, y, -sin * x + cos * z], -1)
