"""What a camera and a pose network would have made of a motion: 33 landmarks with their errors, lifted like real ones.

The errors follow what BlazePose does on video: depth is worst, errors last, each limb has its own confidence for the
whole of a shot, hidden joints are guessed, legs that are out of the picture hang down or are bent as no leg in it is,
left and right change places for moments or for good, hands and cameras shake, and now and then nobody is found. The
sizes of the errors are those that make confidences and paces spread as on the marked real clips. The lift is the one
that real video goes through (`models.video.lifting`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Float32
from numpy import ndarray
from scipy.ndimage import gaussian_filter1d

from action_localization.pose.features import FPS
from models.body.skeleton import JOINT
from models.body.vectors import unit
from models.video.lifting import Shots, joint_confidence, lift

PAIRS = ((1, 4), (2, 5), (3, 6), (7, 8), (9, 10), (11, 12), (13, 14), (15, 16), (17, 18), (19, 20), (21, 22), (23, 24),
         (25, 26), (27, 28), (29, 30), (31, 32))  # fmt: skip
"""Landmarks of the left and the right."""
SIDE = 640
"""Pixels of the picture's longer side."""
BODY = 1.7
"""Metres of somebody upright."""

SURE = np.array([6.0] * 13 + [2.3] * 10 + [6.0, 6.0] + [2.5] * 8)
"""How sure (in logits) the network is of head, shoulders and hips, and of limbs."""

UNSEEN = np.array([2.0] * 13 + [7.0] * 10 + [2.0, 2.0] + [7.0] * 8)
"""How much less sure it is of what the trunk hides."""

ARMS, LEGS = (tuple(range(13, 23)), tuple(range(25, 33)))
"""Landmarks of limbs, left ones odd, right ones even."""

_HANGING = {25: (23, 0.42), 26: (24, 0.42), 27: (25, 0.42), 28: (26, 0.42), 29: (27, 0.06), 30: (28, 0.06),
            31: (27, 0.1), 32: (28, 0.1), 13: (11, 0.27), 14: (12, 0.27), 15: (13, 0.25), 16: (14, 0.25),
            17: (15, 0.08), 18: (16, 0.08), 19: (15, 0.08), 20: (16, 0.08), 21: (15, 0.05), 22: (16, 0.05)}  # fmt: skip
"""Where a landmark that nobody sees is guessed: so many metres below another one."""


@dataclass(frozen=True)
class ViewConfig:
    """How rough a view is; all 0 is a clean camera."""

    noise: float = 1.0
    """Factor of all errors of landmarks."""
    crop: float = 0.35
    """Chance of a close view, which leaves legs or arms out of the picture."""
    swaps: float = 0.02
    """Moments a second in which left and right change places, at most."""
    losses: float = 0.03
    """Moments a second in which nobody is found, at most."""
    turned: float = 0.1
    """Chance that left and right change places for a second or more of a shot, or all of it."""


CLEAN = ViewConfig(0.0, 0.0, 0.0, 0.0, 0.0)


@dataclass(frozen=True)
class View:
    """A camera of one shot: it follows the person smoothly, keeping its direction."""

    turn: Float[ndarray, "3 3"]
    """World to camera axes (x right, y down, z away)."""
    distance: float
    height: float
    """Metres above the floor that the camera looks at."""
    follow: float
    """Seconds over which the person's path is smoothed to be the camera's."""
    focal: float
    size: tuple[int, int]


def observe(
    joints: Float[ndarray, "frames 22 3"], rng: np.random.Generator, config: ViewConfig | None = None
) -> tuple[Float32[ndarray, "frames 22 3"], Float32[ndarray, "frames 22"], Bool[ndarray, " frames"]]:
    """(lifted joints, their confidence, whether the person was found) of a motion at 20 fps through a random camera."""
    config = config or ViewConfig()
    points = landmarks(joints.astype(np.float64))
    view = random_view(points, rng, config)
    image, world, visibility = seen(points, view, rng, config)
    found = np.ones(len(points), bool)
    if config.swaps:
        _swap(image, world, _moments(len(points), rng, config.swaps, (2, 12)), rng)
    if rng.random() < config.turned:
        _swap(image, world, _stretch(len(points), rng), rng)
    if config.losses:
        found = ~_moments(len(points), rng, config.losses, (2, 30))
        _bridge((image, world, visibility), found)
    lifted = lift(Shots(image, world, visibility, FPS, view.size))
    return lifted, joint_confidence(visibility), found


def landmarks(joints: Float[ndarray, "frames 22 3"]) -> Float[ndarray, "frames 33 3"]:
    """The 33 landmarks of BlazePose around the 22 joints, world positions in metres, Y up."""
    points = np.empty((len(joints), 33, 3))

    def at(name: str) -> ndarray:
        return joints[:, JOINT[name]]

    shoulders = (at("left_shoulder") + at("right_shoulder")) / 2
    up = unit(at("head") - at("neck"))
    across = at("left_shoulder") - at("right_shoulder")
    across = unit(across - (across * up).sum(-1, keepdims=True) * up)
    ahead = np.cross(across, up)
    head = shoulders + 0.28 * up
    points[:, 0] = head + 0.11 * ahead
    for one, other, wide, front, high in ((1, 4, 0.02, 0.1, 0.03), (2, 5, 0.03, 0.1, 0.03), (3, 6, 0.045, 0.09, 0.03),
                                          (7, 8, 0.075, 0.0, 0.0), (9, 10, 0.025, 0.09, -0.04)):  # fmt: skip
        middle = head + front * ahead + high * up
        points[:, one], points[:, other] = middle + wide * across, middle - wide * across
    for offset, side in enumerate(("left", "right")):
        for first, name in ((11, "shoulder"), (13, "elbow"), (15, "wrist"), (23, "hip"), (25, "knee"), (27, "ankle")):
            points[:, first + offset] = at(f"{side}_{name}")
        hand = unit(at(f"{side}_wrist") - at(f"{side}_elbow"))
        for first, reach in ((17, 0.09), (19, 0.1), (21, 0.05)):
            points[:, first + offset] = at(f"{side}_wrist") + reach * hand
        foot = at(f"{side}_foot") - at(f"{side}_ankle")
        points[:, 31 + offset] = at(f"{side}_ankle") + 1.3 * foot
        points[:, 29 + offset] = at(f"{side}_ankle") + foot * (-0.4, 0.6, -0.4)
    return points


def random_view(points: Float[ndarray, "frames 33 3"], rng: np.random.Generator, config: ViewConfig) -> View:
    """A camera: from all around but rather from the front, mostly level, at heights and distances people film from."""
    across = points[0, 11] - points[0, 12]
    front = float(np.arctan2(-across[2], across[0]))
    yaw = front + (rng.normal(0, 0.7) if rng.random() < 0.4 else rng.uniform(-np.pi, np.pi))
    pitch = np.radians(np.clip(rng.normal(4, 9), -15, 40)) if rng.random() < 0.8 else np.radians(rng.uniform(10, 40))
    roll = np.radians(rng.normal(0, 2))
    aspect = float(rng.choice([16 / 9, 16 / 9, 4 / 3, 1.0, 3 / 4, 9 / 16]))
    size = (SIDE, round(SIDE / aspect)) if aspect >= 1 else (round(SIDE * aspect), SIDE)
    focal = float(np.exp(rng.uniform(np.log(0.7), np.log(2.0))))
    if rng.random() < config.crop:
        share, height = float(rng.uniform(1.1, 2.4)), float(rng.uniform(1.1, 1.45))
    else:
        share, height = float(np.exp(rng.uniform(np.log(0.2), np.log(0.85)))), float(rng.normal(0.9, 0.08))
    if not config.noise:
        pitch, roll, focal = 0.0, 0.0, 1.0
    shorter = min(size[1], 1.2 * size[0])
    distance = focal * SIDE * BODY / (share * shorter)
    follow = float(np.exp(rng.uniform(np.log(0.3), np.log(6.0))))
    return View(_turned(yaw, pitch, roll), distance, height, follow, focal, size)


def seen(
    points: Float[ndarray, "frames 33 3"], view: View, rng: np.random.Generator, config: ViewConfig
) -> tuple[Float[ndarray, "frames 33 3"], Float[ndarray, "frames 33 3"], Float[ndarray, "frames 33"]]:
    """(image, world, visibility) as the landmark network gives them, errors included."""
    hips = points[:, [23, 24]].mean(1)
    path = gaussian_filter1d(hips, view.follow * FPS, axis=0, mode="nearest")
    path[:, 1] = view.height
    centre = (hips - path) @ view.turn.T + (0, 0, view.distance)
    if config.noise:
        centre = centre + _shaken(len(points), view, rng)
    body = (points - hips[:, None]) @ view.turn.T
    inside = _inside(body + centre[:, None], view)
    blind = rng.uniform(8, 13)
    presence = _sigmoid(6 - blind * (1 - inside) + config.noise * lasting(rng, points.shape[:2], 5.0))
    logit = _sureness(rng) - UNSEEN * _hidden(body) - rng.uniform(1, 10) * (1 - inside)
    visibility = _sigmoid(logit + config.noise * 0.8 * lasting(rng, points.shape[:2], 5.0)) * presence
    if config.noise:
        body = _guessed(body, presence, rng)
    image = _project(body + centre[:, None], view)
    if config.noise:
        body, image = _with_errors(body, image, visibility, view, rng, config.noise)
    return image, body, visibility


def _sureness(rng: np.random.Generator) -> Float[ndarray, " 33"]:
    """Logits of landmarks that are in view: a level for the whole shot, one for each limb."""
    level = SURE + rng.normal(0, 1)
    for limbs in (ARMS, LEGS):
        both = rng.normal(0, 1)
        for side in (0, 1):
            level[[k for k in limbs if k % 2 == side]] += both + rng.normal(0, 0.8)
    return level


def _shaken(frames: int, view: View, rng: np.random.Generator) -> Float[ndarray, "frames 3"]:
    """Metres that somebody seems to move by when the camera is held by hand: sidewards, up and down, and away."""
    level = float(np.exp(rng.normal(np.log(0.02), 0.9)))
    away = float(np.exp(rng.normal(np.log(0.02), 0.8))) * view.distance
    return lasting(rng, (frames, 3), 1.5) * (level, level, away)


def _with_errors(
    body: Float[ndarray, "frames 33 3"], image: Float[ndarray, "frames 33 3"], visibility: Float[ndarray, "frames 33"],
    view: View, rng: np.random.Generator, noise: float,
) -> tuple[Float[ndarray, "frames 33 3"], Float[ndarray, "frames 33 3"]]:  # fmt: skip
    """Errors of the landmarks: constant, slow and quick ones, more in depth and where little is seen."""
    shape = body.shape
    level = noise * float(np.exp(rng.normal(-0.35, 0.7)))
    unsure = (1 + 4 * (1 - visibility))[..., None]
    error = lasting(rng, shape, 4.0) * (0.011, 0.011, 0.04) + rng.standard_normal(shape, np.float32) * (
        0.004, 0.004, 0.012)  # fmt: skip
    error += lasting(rng, shape, 0.5) * (0.012, 0.012, 0.04)
    bias = rng.normal(0, 1, (1, *shape[1:])) * (0.015, 0.015, 0.04)
    lean = np.radians(noise * (rng.normal(0, 6) + 4 * lasting(rng, (shape[0],), 0.7)))
    cos, sin = np.cos(lean)[:, None], np.sin(lean)[:, None]
    x, y, z = np.moveaxis(body, -1, 0)
    z = z * rng.uniform(1 - 0.4 * min(noise, 1), 1 + 0.1 * min(noise, 1))
    body = np.stack([x, cos * y - sin * z, sin * y + cos * z], -1)
    body = (body + level * (error * unsure + bias)) * rng.uniform(0.88, 1.12)
    pixels = view.focal * SIDE / view.distance
    image = image.copy()
    image[..., :2] += pixels * level * (error * unsure)[..., :2]
    return body, image


def _guessed(
    body: Float[ndarray, "frames 33 3"], presence: Float[ndarray, "frames 33"], rng: np.random.Generator
) -> Float[ndarray, "frames 33 3"]:
    """Landmarks out of the picture hang below those they hang on, moving a little; one shot in seven has them bent."""
    result = body.copy()
    absent = 1 - presence
    touched = [k for k in _HANGING if absent[:, k].max() > 0.05]
    ways = rng.normal(0, 0.15, (33, 3)) + (0, 1, 0)
    if rng.random() < 0.15:
        for joint in (13, 15, 25, 27):
            ways[[joint, joint + 1]] += rng.normal(0, 1.2, 3) - (0, 0.7, 0)
    moving = float(np.exp(rng.normal(np.log(0.1), 0.6)))
    for landmark in sorted(touched, key=list(_HANGING).index):
        above, length = _HANGING[landmark]
        way = unit(ways[landmark] + moving * lasting(rng, (len(body), 3), 1.0))
        guess = result[:, above] + length * way
        weight = absent[:, landmark, None]
        result[:, landmark] = body[:, landmark] * (1 - weight) + guess * weight
    return result


def _hidden(body: Float[ndarray, "frames 33 3"]) -> Float[ndarray, "frames 33"]:
    """How much each landmark lies behind the trunk, 0 to 1."""
    low, high = np.zeros((len(body), 3)), body[:, [11, 12]].mean(1)
    axis = (high - low)[:, None, :2]
    along = ((body[..., :2] * axis).sum(-1) / (axis**2).sum(-1).clip(1e-4)).clip(0, 1)
    away = np.linalg.norm(body[..., :2] - along[..., None] * axis, axis=-1)
    behind = body[..., 2] - along * high[:, 2, None]
    return _sigmoid((behind - 0.08) / 0.03) * _sigmoid((0.15 - away) / 0.03)


def _inside(points: Float[ndarray, "frames 33 3"], view: View) -> Float[ndarray, "frames 33"]:
    """1 in the picture, 0 outside, and in between at its edge."""
    image = _project(points, view)
    margin = np.minimum(image[..., :2], np.array(view.size) - image[..., :2]).min(-1)
    return (0.5 + margin / (0.03 * SIDE)).clip(0, 1) * (points[..., 2] > 0.3)


def _project(points: Float[ndarray, "frames 33 3"], view: View) -> Float[ndarray, "frames 33 3"]:
    depth = points[..., 2:].clip(0.3)
    middle = np.array(view.size) / 2
    place = points[..., :2] / depth * (view.focal * SIDE) + middle
    scale = view.focal * SIDE / view.distance
    return np.concatenate([place, (points[..., 2:] - view.distance) * scale], -1)


def _turned(yaw: float, pitch: float, roll: float) -> Float[ndarray, "3 3"]:
    """World (Y up) to the axes of a camera that faces somebody with heading `yaw`, looking down by `pitch`."""
    right, ahead = np.array([np.cos(yaw), 0, -np.sin(yaw)]), np.array([-np.sin(yaw), 0, -np.cos(yaw)])
    down = np.array([0.0, -1.0, 0.0])
    away = np.cos(pitch) * ahead + np.sin(pitch) * down
    lower = np.cos(pitch) * down - np.sin(pitch) * ahead
    cos, sin = np.cos(roll), np.sin(roll)
    return np.stack([cos * right + sin * lower, cos * lower - sin * right, away])


def _swap(image: ndarray, world: ndarray, when: Bool[ndarray, " frames"], rng: np.random.Generator) -> None:
    """Left and right change places, in depth too half of the time; in place."""
    rows = np.flatnonzero(when)
    if not len(rows):
        return
    order = np.arange(33)
    for one, other in PAIRS:
        order[one], order[other] = other, one
    image[rows], world[rows] = image[rows][:, order], world[rows][:, order]
    if rng.random() < 0.5:
        world[rows, :, 2] *= -1


def _stretch(frames: int, rng: np.random.Generator) -> Bool[ndarray, " frames"]:
    """A second or more of a shot; all of it every other time."""
    flags = np.ones(frames, bool)
    if rng.random() < 0.5:
        first = int(rng.integers(0, frames))
        flags = (np.arange(frames) >= first) & (np.arange(frames) < first + rng.uniform(1, 5) * FPS)
    return flags


def _bridge(arrays: tuple[ndarray, ...], found: Bool[ndarray, " frames"]) -> None:
    """Straight lines over the frames in which nobody was found; in place."""
    known, missing = np.flatnonzero(found), np.flatnonzero(~found)
    if not len(missing) or not len(known):
        return
    after = np.searchsorted(known, missing).clip(0, len(known) - 1)
    before = (np.searchsorted(known, missing) - 1).clip(0)
    low, high = known[before], known[after]
    share = np.where(high > low, (missing - low) / np.maximum(high - low, 1), 0.0).clip(0, 1)
    for values in arrays:
        weight = share.reshape(-1, *[1] * (values.ndim - 1))
        values[missing] = values[low] * (1 - weight) + values[high] * weight


def _moments(frames: int, rng: np.random.Generator, most: float, length: tuple[int, int]) -> Bool[ndarray, " frames"]:
    """Frames of short moments that come at random, at a rate drawn up to `most` a second."""
    flags = np.zeros(frames, bool)
    for _ in range(rng.poisson(rng.uniform(0, most) * frames / FPS)):
        first = int(rng.integers(0, frames))
        flags[first : first + int(rng.integers(*length))] = True
    return flags


def lasting(rng: np.random.Generator, shape: tuple[int, ...], rate: float) -> Float32[ndarray, "..."]:
    """Noise of unit variance that changes `rate` times a second."""
    frames = shape[0]
    step = FPS / rate
    knots = rng.standard_normal((int(frames / step) + 3, *shape[1:]), np.float32)
    place = np.arange(frames) / step + rng.random()
    low = place.astype(int)
    share = (place - low).astype(np.float32).reshape(-1, *[1] * (len(shape) - 1))
    mixed = knots[low] * (1 - share) + knots[low + 1] * share
    return mixed / np.sqrt(share**2 + (1 - share) ** 2)


def _sigmoid(values: ndarray) -> ndarray:
    return 0.5 * (1 + np.tanh(values / 2))
