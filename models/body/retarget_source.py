"""The source of a retargeting, brought to the 22 body joints: positions and a turning frame for each."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numpy import ndarray
from scipy.ndimage import gaussian_filter1d

from laban.errors import LabanError
from models.body.clip import SkeletonClip, clip_world
from models.body.skeleton import JOINT, NUM_BODY
from models.body.vectors import axis_rotation, frame, held, swing, turn

LIMBS: tuple[tuple[str, str, str, tuple[float, float, float]], ...] = (
    ("left_hip", "left_knee", "left_ankle", (1.0, 0.0, 0.0)),
    ("right_hip", "right_knee", "right_ankle", (1.0, 0.0, 0.0)),
    ("left_shoulder", "left_elbow", "left_wrist", (0.0, -1.0, 0.0)),
    ("right_shoulder", "right_elbow", "right_wrist", (0.0, 1.0, 0.0)),
)
"""Upper joint, hinge, end, and the axis about which the hinge bends in the T-pose (knees back, elbows forward)."""

_FARTHEST = 1e6  # metres from the origin; beyond it 32-bit places hold no pose


@dataclass(frozen=True)
class SourceTracks:
    """World positions of the 22 joints and, per joint, any frame that turns rigidly with its bone.

    `rest` holds the 22 positions of the source's rest pose (all `turned` at identity) or None where there is none;
    `spine` says that pelvis and spine turn by joints of their own, rather than sharing those of a shorter spine.
    """

    places: Float[ndarray, "frames 22 3"]
    turned: Float[ndarray, "frames 22 3 3"]
    fps: float
    rest: Float[ndarray, "22 3"] | None = None
    spine: bool = False

    @property
    def leg(self) -> float:
        """Length of thigh and shank together, metres, the mean of both sides."""
        return leg_length(self.places)

    def check(self) -> None:
        """Raise LabanError for tracks that are no person's."""
        if not (np.isfinite(self.fps) and self.fps > 0):
            raise LabanError(f"retarget: fps is {self.fps}; expected a positive number")
        if not np.abs(self.places).max() < _FARTHEST:
            raise LabanError(f"retarget: joints are farther than {_FARTHEST:.0e} m from the origin; expected metres")
        if self.leg < 1e-3:
            raise LabanError("retarget: the legs have no length; expected a humanoid skeleton in metres")


def leg_length(places: Float[ndarray, "*frames 22 3"]) -> float:
    """Thigh plus shank, metres: median over frames, mean of both sides."""
    total = 0.0
    for upper, hinge, end, _ in LIMBS[:2]:
        for a, b in ((upper, hinge), (hinge, end)):
            lengths = np.linalg.norm(places[..., JOINT[a], :] - places[..., JOINT[b], :], axis=-1)
            total += float(np.median(lengths)) / 2
    return total


def tracks_from_clip(clip: SkeletonClip, to22: Float[ndarray, "22 joints"]) -> SourceTracks:
    """Positions and frames of the 22 joints of a skeleton's clip.

    Row k of `to22` weighs the skeleton's joints into body joint k; the heaviest lends its rotation.
    """
    if to22.shape != (NUM_BODY, len(clip.names)):
        raise LabanError(f"retarget: the joint matrix has shape {to22.shape}; expected (22, {len(clip.names)})")
    places, turned = clip_world(clip)
    weights = to22.astype(np.float32)
    carriers = weights.argmax(1)
    for side in ("left", "right"):  # without a collar bone of its own the shoulder hangs on the chest
        if carriers[JOINT[f"{side}_collar"]] == carriers[JOINT[f"{side}_shoulder"]]:
            carriers[JOINT[f"{side}_collar"]] = carriers[JOINT["spine3"]]
    return SourceTracks(
        places=np.einsum("kj,tjc->tkc", weights, places, optimize=True),
        turned=turned[:, carriers],
        fps=clip.fps,
        rest=(weights.astype(np.float64) @ clip.rest_joints()).astype(np.float32),
        spine=len({int(carriers[JOINT[name]]) for name in ("pelvis", "spine1", "spine2", "spine3")}) == 4,
    )


def tracks_from_joints(joints: Float[ndarray, "frames 22 3"], fps: float) -> SourceTracks:
    """Frames worked out from bare joint positions: the twist of a limb follows the plane in which it bends.

    Where a limb is nearly straight its plane says nothing; there the twist eases towards that of the shortest turn
    from the trunk, over a tenth of a second.
    """
    places = np.ascontiguousarray(joints, np.float32)
    at = {name: places[:, JOINT[name]] for name in JOINT if JOINT[name] < NUM_BODY}
    turned = np.broadcast_to(np.eye(3, dtype=np.float32), (len(places), NUM_BODY, 3, 3)).copy()
    up, left = (np.broadcast_to(axis, at["head"].shape) for axis in np.eye(3, dtype=np.float32)[[1, 0]])
    shoulders = held(at["left_shoulder"] - at["right_shoulder"], left)
    hips = held(at["left_hip"] - at["right_hip"], shoulders)
    shoulders = held(at["left_shoulder"] - at["right_shoulder"], hips)
    trunk = held(at["neck"] - (at["left_hip"] + at["right_hip"]) / 2, up)
    pelvis = frame(held(at["spine1"] - (at["left_hip"] + at["right_hip"]) / 2, trunk), hips)
    chest = frame(held(at["neck"] - at["spine3"], trunk), shoulders)
    for name in ("pelvis", "spine1"):
        turned[:, JOINT[name]] = pelvis
    for name in ("spine2", "spine3", "neck"):
        turned[:, JOINT[name]] = chest
    for side in ("left", "right"):
        outward = chest[..., :, 0] * (1 if side == "left" else -1)
        collar = held(at[f"{side}_shoulder"] - at[f"{side}_collar"], outward)
        turned[:, JOINT[f"{side}_collar"]] = frame(collar, chest[..., :, 1])
    turned[:, JOINT["head"]] = frame(held(at["head"] - at["neck"], chest[..., :, 1]), shoulders)
    for upper, hinge, end, axis in LIMBS:
        leg = end.endswith("ankle")
        collar = turned[:, JOINT[upper.replace("shoulder", "collar")]]
        first = held(at[hinge] - at[upper], -pelvis[..., :, 1] if leg else collar[..., :, 1])
        second = held(at[end] - at[hinge], first)
        bend = _hinge_axis(first, second, pelvis if leg else chest, np.array(axis, np.float32), fps=fps)
        turned[:, JOINT[upper]], turned[:, JOINT[hinge]] = frame(first, bend), frame(second, bend)
        turned[:, JOINT[end]] = turned[:, JOINT[hinge]]
        if leg:
            toe = held(at[end.replace("ankle", "foot")] - at[end], np.cross(bend, -second))
            turned[:, JOINT[end]] = turned[:, JOINT[end.replace("ankle", "foot")]] = _foot_frame(toe, second, bend)
    return SourceTracks(places=places, turned=turned, fps=fps)


def _hinge_axis(
    first: Float[ndarray, "frames 3"],
    second: Float[ndarray, "frames 3"],
    trunk: Float[ndarray, "frames 3 3"],
    axis: Float[ndarray, " 3"],
    *,
    fps: float,
) -> Float[ndarray, "frames 3"]:
    """Bending axis of a hinge, perpendicular to `first`: where it is not bent, the trunk's own `axis`."""
    natural = natural_axis(first, trunk, axis)
    bend = np.cross(first, second)
    if abs(float(axis[0])) > 0.5:  # a knee that seems to bend forward is noise
        bend = bend - np.minimum((bend * natural).sum(-1, keepdims=True), 0) * natural
    mixed = gaussian_filter1d(bend + 0.15 * natural, 0.1 * fps, axis=0, mode="nearest")
    mixed = mixed - (mixed * first).sum(-1, keepdims=True) * first
    return steady_twist(first, held(mixed, natural), np.linalg.norm(mixed, axis=-1) + 1e-3, 0.1 * fps)


def steady_twist(
    bone: Float[ndarray, "frames 3"], side: Float[ndarray, "frames 3"], weight: Float[ndarray, " frames"], width: float
) -> Float[ndarray, "frames 3"]:
    """Unit vectors `side`, across unit vectors `bone`, with their turning about it smoothed over `width` frames.

    The turning is measured from frame to frame against the bone's own shortest turn, so that it knows no poles; frames
    of little `weight` follow those of more.
    """
    carried = turn(swing(bone[:-1], bone[1:]), side[:-1])
    sine, cosine = (np.cross(carried, side[1:]) * bone[1:]).sum(-1), (carried * side[1:]).sum(-1)
    twist = np.concatenate([[0.0], np.cumsum(np.arctan2(sine, cosine, dtype=np.float64))])
    total, share = (gaussian_filter1d(x, width, mode="nearest") for x in (weight * twist, weight))
    return turn(axis_rotation(bone, (total / share - twist).astype(np.float32)), side)


def natural_axis(
    first: Float[ndarray, "frames 3"], trunk: Float[ndarray, "frames 3 3"], axis: Float[ndarray, " 3"]
) -> Float[ndarray, "frames 3"]:
    """Bending axis of a limb along `first` that the shortest turn from the T-pose, in the trunk's frame, gives it."""
    leg = abs(float(axis[0])) > 0.5
    straight = -trunk[..., :, 1] if leg else np.sign(-axis[1]) * trunk[..., :, 0]
    return turn(swing(straight, first), turn(trunk, axis))


def _foot_frame(
    toe: Float[ndarray, "frames 3"], shank: Float[ndarray, "frames 3"], bend: Float[ndarray, "frames 3"]
) -> Float[ndarray, "frames 3 3"]:
    """Frame of a foot: it points to the toe (unit), its side is across the shank, level under an upright shank.

    Where the foot continues the shank, or points straight down, neither says anything: there, and where they would
    turn the foot's side about, the side follows the knee's axis `bend`.
    """
    across = np.cross(-shank, toe)
    level = np.cross(np.array([0, 1, 0], np.float32), toe)
    upright = np.clip(-shank[:, 1:2] * 3 - 1.5, 0, 1)
    side = upright * level + (1 - upright) * across
    side = side - np.minimum((side * bend).sum(-1, keepdims=True), 0) * bend
    return frame(toe, side + 0.3 * bend)
