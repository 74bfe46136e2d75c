"""Recognising the skeletons that we write ourselves, so that they are read back exactly and not retargeted."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from models.body.skeleton import JOINT_NAMES, NUM_BODY, NUM_JOINTS, PARENTS
from models.formats.world import rest_joints
from models.motion import Motion

if TYPE_CHECKING:
    from models.body.clip import SkeletonClip
    from models.body.model import BodyModel

_OWN_TOLERANCE = 2e-3  # metres; bones this near to what some shape of the body has are taken for its own
_WIDEST_SHAPE = 20.0


def own_motion(clip: SkeletonClip, body: BodyModel | None) -> Motion | None:
    """The motion of a clip on a skeleton that we wrote: our names, our tree, and bones that some body shape has.

    None for any other skeleton. Joints that end a bone ("…_end") do not count.
    """
    bones = [j for j, name in enumerate(clip.names) if not name.endswith("_end")]
    order = [JOINT_NAMES.index(clip.names[j]) if clip.names[j] in JOINT_NAMES else -1 for j in bones]
    if sorted(order) not in (list(range(NUM_BODY)), list(range(NUM_JOINTS))):
        return None
    parents = [clip.parents[j] for j in bones]
    if any(PARENTS[j] != (order[p] if p >= 0 else -1) for j, p in zip(order, parents, strict=True)):
        return None
    offsets = np.zeros((NUM_JOINTS, 3))
    offsets[order] = clip.offsets[bones]
    betas = _fit_shape(offsets, sorted(order)[1:], body)
    if betas is None:
        return None
    import torch

    from models.rotations import quaternion_to_matrix

    rotations = np.tile(np.eye(3, dtype=np.float32), (1, clip.frames, NUM_JOINTS, 1, 1))
    rotations[0, :, order] = quaternion_to_matrix(torch.from_numpy(clip.rotations[:, bones])).numpy().swapaxes(0, 1)
    pelvis = rest_joints(betas[None], body)[0, 0]
    root = (clip.root - pelvis).astype(np.float32)[None]
    return Motion(rotations, root, clip.fps, betas[None], mask=np.isin(np.arange(NUM_JOINTS), order))


def _fit_shape(
    offsets: Float[ndarray, "55 3"], joints: list[int], body: BodyModel | None
) -> Float[ndarray, " shape"] | None:
    """Shape whose bones are `offsets` (rest joints are linear in the shape), or None where no shape has them."""
    basis = rest_joints(np.concatenate([np.zeros((1, 10)), np.eye(10)]).astype(np.float32), body)
    parents = [PARENTS[j] for j in joints]
    rays = basis[:, joints] - basis[:, parents]
    mean, directions = rays[0].reshape(-1), (rays[1:] - rays[0]).reshape(10, -1).T
    wanted = offsets[joints].reshape(-1)
    if np.abs(wanted - mean).max() < 1e-6:
        return np.zeros(10, np.float32)
    betas = np.linalg.lstsq(directions, wanted - mean, rcond=1e-6)[0]
    if np.abs(mean + directions @ betas - wanted).max() > _OWN_TOLERANCE or np.abs(betas).max() > _WIDEST_SHAPE:
        return None
    return betas.astype(np.float32)
