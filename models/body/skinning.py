"""Linear blend skinning with pose correctives (SMPL-X, Pavlakos et al., CVPR 2019): plain torch, differentiable.

Coordinates come before vertices in memory, (batch, 3, vertices), so that every step is one matrix product or one pass
over contiguous rows. Vertices go through in blocks: a block's blended matrices stay in the cache, and neighbouring
vertices follow a few joints of the 55, so the product with the weights shrinks with them.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from models.body.kinematics import forward_kinematics
from models.body.landmarks import LANDMARK_VERTICES
from models.body.model import BodyModel


@dataclass(frozen=True)
class BodyOutput:
    """Posed bodies: vertices and joints in metres, the joints' global rotations, the 51 face landmarks if known."""

    vertices: Float[Tensor, "batch vertices 3"]
    joints: Float[Tensor, "batch 55 3"]
    rotations: Float[Tensor, "batch 55 3 3"]
    face: Float[Tensor, "batch landmarks 3"] | None = None

    @property
    def extra_joints(self) -> Float[Tensor, "batch 21 3"]:
        """Nose, eyes, ears, toes, heels and finger tips, in the order of `LANDMARK_VERTICES`."""
        return self.vertices[:, list(LANDMARK_VERTICES.values())]


def skin(
    body: BodyModel,
    rotations: Float[Tensor, "batch 55 3 3"],
    root: Float[Tensor, "#batch 3"],
    betas: Float[Tensor, "#batch shape"] | None = None,
    *,
    expression: Float[Tensor, "#batch expressions"] | None = None,
) -> BodyOutput:
    """Pose bodies by local joint rotations; `root` is SMPL-X `transl`, so the pelvis is at `root + J0(betas)`.

    Fewer coefficients than the body has leave the others at 0; further ones are ignored.
    """
    rest = body.rest_joints(betas, expression)
    joints, turns = forward_kinematics(rotations, rest, root, body.parents)
    shift = joints - (turns @ rest[..., None])[..., 0]
    transforms = torch.cat([turns, shift[..., None]], dim=-1)
    shaped = _unposed(body, rotations, betas, expression)
    vertices = _blend(body, transforms, shaped)
    return BodyOutput(vertices, joints, turns, _face(body, vertices))


def _unposed(
    body: BodyModel,
    rotations: Float[Tensor, "batch 55 3 3"],
    betas: Float[Tensor, "#batch shape"] | None,
    expression: Float[Tensor, "#batch expressions"] | None,
) -> Float[Tensor, "#batch 3 vertices"]:
    """Template with shape, expression and pose correctives, before any joint turns it."""
    coefficients, basis = [], []
    for values, directions in ((betas, body.shapedirs), (expression, body.exprdirs)):
        if values is not None:
            count = min(values.shape[-1], directions.shape[-1])
            coefficients.append(values[:, :count])
            basis.append(_rows(directions)[:count])
    if body.posedirs is not None:
        feature = rotations[:, 1:] - torch.eye(3, dtype=rotations.dtype, device=rotations.device)
        feature, correctives = _turned(feature.flatten(2), _rows(body.posedirs))
        coefficients.append(feature)
        basis.append(correctives)
    flat = body.v_template.T.reshape(1, -1)
    batch = max((len(values) for values in coefficients), default=1)
    for number, (values, rows) in enumerate(zip(coefficients, basis, strict=True)):
        values = values.expand(batch, -1)
        flat = torch.addmm(flat, values, rows) if number == 0 else flat.addmm_(values, rows)
    return flat.unflatten(1, (3, -1))


def _rows(basis: Float[Tensor, "vertices 3 terms"]) -> Float[Tensor, "terms flat"]:
    """A basis with one term a row; `BodyModel` keeps bases in this order in memory, so nothing is copied."""
    return basis.permute(2, 1, 0).flatten(1)


def _turned(
    feature: Float[Tensor, "batch 54 9"], basis: Float[Tensor, "486 flat"]
) -> tuple[Float[Tensor, "batch terms"], Float[Tensor, "terms flat"]]:
    """Features and correctives without those of joints that no body of the batch turns (often the hands)."""
    turned = feature.detach().abs().amax((0, 2)) > 0
    if feature.requires_grad or turned.all():
        return feature.flatten(1), basis
    return feature[:, turned].flatten(1), basis.unflatten(0, (-1, 9))[turned].flatten(0, 1)


def _blend(
    body: BodyModel, transforms: Float[Tensor, "batch 55 3 4"], shaped: Float[Tensor, "#batch 3 vertices"]
) -> Float[Tensor, "batch vertices 3"]:
    """Blend each block's transforms by its few joints, and move its points with them."""
    columns = transforms.permute(3, 2, 0, 1).contiguous()
    moved = []
    for block in body.blocks:
        blended = (columns[..., block.joints].flatten(0, 2) @ block.weights).unflatten(0, (4, 3, -1))
        points = shaped[:, :, block.start : block.stop]
        placed = torch.addcmul(blended[3], blended[0], points[:, 0])
        placed = torch.addcmul(placed, blended[1], points[:, 1])
        moved.append(torch.addcmul(placed, blended[2], points[:, 2]))
    return torch.cat(moved, dim=-1).permute(1, 2, 0)


def _face(body: BodyModel, vertices: Float[Tensor, "batch vertices 3"]) -> Float[Tensor, "batch landmarks 3"] | None:
    if body.landmark_faces is None or body.landmark_weights is None:
        return None
    corners = vertices[:, body.faces[body.landmark_faces]]
    return (corners * body.landmark_weights[..., None]).sum(2)
