"""Cameras: a pinhole that never rolls, and the paths it takes around people.

World frame: Y up, +Z forward, metres. Pixels: x to the right, y down, the centre of the first pixel at (0.5, 0.5).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float
from numpy import ndarray
from scipy.ndimage import gaussian_filter1d

from laban.errors import LabanError
from models.body.skeleton import JOINT

CAMERA_KINDS = ("follow", "fixed", "orbit")

FIELD_OF_VIEW = 30.0
THREE_QUARTER = 32.0
ELEVATION = 11.0
ORBIT_SECONDS = 12.0
SMOOTH_SECONDS = 0.55
FLESH, CROWN, HAND = 0.10, 0.24, 0.20
"""Metres of body around a joint; above the head joint; beyond a wrist that has no fingers."""
SAFE = 0.90
"""The part of the picture's width and height that a body may use."""
NEAREST = 1.5


@dataclass(frozen=True)
class Camera:
    """A pinhole at `eye` looking at `target`; `fov` is the vertical field of view in degrees."""

    eye: tuple[float, float, float]
    target: tuple[float, float, float]
    fov: float = FIELD_OF_VIEW

    def axes(self) -> Float[ndarray, "3 3"]:
        """Rows: the camera's right, up and forward directions in the world. Right is always horizontal."""
        forward = np.subtract(self.target, self.eye).astype(np.float64)
        forward /= np.linalg.norm(forward)
        right = np.array([-forward[2], 0.0, forward[0]])
        length = np.linalg.norm(right)
        right = right / length if length > 1e-6 else np.array([1.0, 0.0, 0.0])
        return np.stack([right, np.cross(right, forward), forward])

    def focal(self, size: tuple[int, int]) -> float:
        """Focal length in pixels for a picture of `size` (width, height)."""
        return 0.5 * size[1] / float(np.tan(np.radians(self.fov) / 2))

    def project(self, points: Float[ndarray, "*points 3"], size: tuple[int, int]) -> Float[ndarray, "*points 3"]:
        """Pixel x, pixel y and depth (metres along the view) of world points; not finite at depth 0."""
        x, y, depth = np.moveaxis((points - np.asarray(self.eye)) @ self.axes().T, -1, 0)
        focal = self.focal(size)
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.stack([size[0] / 2 + focal * x / depth, size[1] / 2 - focal * y / depth, depth], axis=-1)

    @property
    def distance(self) -> float:
        """Metres from eye to target."""
        return float(np.linalg.norm(np.subtract(self.target, self.eye)))

    @property
    def azimuth(self) -> float:
        """Degrees around +Y, from +Z towards +X, at which the eye stands as seen from the target."""
        x, _, z = np.subtract(self.eye, self.target)
        return float(np.degrees(np.arctan2(x, z)))


@dataclass(frozen=True)
class CameraPath:
    """One camera a frame. `targets` are metres, `azimuths` and `elevation` degrees; `distance` and `fov` stay."""

    targets: Float[ndarray, "frames 3"]
    azimuths: Float[ndarray, " frames"]
    elevation: float
    distance: float
    fov: float = FIELD_OF_VIEW

    def __len__(self) -> int:
        return len(self.targets)

    def __getitem__(self, frame: int) -> Camera:
        target = self.targets[frame].astype(np.float64)
        back = _direction(float(self.azimuths[frame]), self.elevation)
        eye = target + self.distance * back
        return Camera(tuple(eye.tolist()), tuple(target.tolist()), self.fov)


def facing_azimuth(joints: Float[ndarray, "joints 3"]) -> float:
    """Degrees around +Y of the way a body faces: across hips and shoulders, then a right angle."""
    across = joints[JOINT["left_hip"]] - joints[JOINT["right_hip"]]
    across = across + joints[JOINT["left_shoulder"]] - joints[JOINT["right_shoulder"]]
    if np.hypot(across[0], across[2]) < 1e-6:
        return 0.0
    return float(np.degrees(np.arctan2(-across[2], across[0])))


def plan_camera(
    joints: Float[ndarray, "actors frames joints 3"],
    fps: float,
    size: tuple[int, int],
    *,
    kind: str = "follow",
    azimuth: float | None = None,
    elevation: float = ELEVATION,
    also: Float[ndarray, "points 3"] | None = None,
) -> CameraPath:
    """Cameras for a whole clip that keep every joint, with the flesh around it, inside the middle of the picture.

    `follow` moves with the smoothed middle of the people and never turns; `orbit` also turns once in twelve seconds;
    `fixed` stands still and sees the whole path. The view is three-quarter on the way the first person faces at the
    start, unless `azimuth` (degrees around +Y from +Z) is given. A `fixed` camera sees the points of `also`, too.
    Raises LabanError for an unknown kind.
    """
    if kind not in CAMERA_KINDS:
        raise LabanError(f"--camera: found {kind!r}; accepted {', '.join(CAMERA_KINDS)}")
    frames = joints.shape[1]
    azimuths = np.full(frames, facing_azimuth(joints[0, 0]) + THREE_QUARTER if azimuth is None else azimuth)
    if kind == "orbit":
        azimuths = azimuths + np.arange(frames) * (360.0 / (ORBIT_SECONDS * fps))
    if kind == "fixed":
        every = joints.reshape(-1, 3) if also is None else np.concatenate([joints.reshape(-1, 3), also])
        middle = (every.min(axis=0) + every.max(axis=0)) / 2
        targets = np.broadcast_to(middle, (frames, 3)).astype(np.float64)
    else:
        pelvis = joints[:, :, JOINT["pelvis"]]
        middle = (pelvis.min(axis=0) + pelvis.max(axis=0)) / 2
        targets = gaussian_filter1d(middle.astype(np.float64), SMOOTH_SECONDS * fps, axis=0, mode="nearest")
        # A jump or a squat should be seen as one: the height follows stairs only.
        targets[:, 1] = gaussian_filter1d(targets[:, 1], 3 * SMOOTH_SECONDS * fps, mode="nearest")
    return _fitted(CameraPath(targets, azimuths, elevation, 1.0), joints, size, also if kind == "fixed" else None)


def _fitted(
    path: CameraPath, joints: Float[ndarray, "actors frames joints 3"], size: tuple[int, int],
    also: Float[ndarray, "points 3"] | None,
) -> CameraPath:  # fmt: skip
    """The path at the smallest distance from which everything fits, its targets moved up or down to use the height.

    A point `z` metres behind the target and `y` above it, of radius `r`, fits where `y + r <= t (distance + z)`; the
    shift that makes the bounds from above and from below equal follows in closed form.
    """
    axes = np.stack([path[frame].axes() for frame in range(len(path))])
    own = joints.shape[2]
    if also is not None:
        joints = np.concatenate([joints, np.broadcast_to(also, (*joints.shape[:2], *also.shape))], axis=2)
    x, y, z = np.moveaxis(np.einsum("fij,afkj->afki", axes, joints - path.targets[None, :, None]), -1, 0)
    radius = np.full(joints.shape[2], FLESH)
    radius[JOINT["head"]] = CROWN
    if own <= JOINT["left_index1"]:
        radius[[JOINT["left_wrist"], JOINT["right_wrist"]]] = HAND
    radius[own:] = 0
    tall = SAFE * np.tan(np.radians(path.fov) / 2)
    wide = tall * size[0] / size[1]
    sideways = float(((np.abs(x) + radius) / wide - z).max())
    above, below = float(((y + radius) / tall - z).max()), float(((radius - y) / tall - z).max())
    shift = tall * (above - below) / 2
    distance = max(sideways, (above + below) / 2, NEAREST)
    return replace(path, targets=path.targets + shift * axes[:, 1], distance=distance)


def _direction(azimuth: float, elevation: float) -> Float[ndarray, "3"]:
    """Unit vector at degrees `azimuth` (from +Z towards +X) and `elevation` above the floor."""
    turn, rise = np.radians(azimuth), np.radians(elevation)
    return np.array([np.sin(turn) * np.cos(rise), np.sin(rise), np.cos(turn) * np.cos(rise)])
