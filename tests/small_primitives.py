"""A small streaming model with random weights, for tests of what goes on around one."""

from __future__ import annotations

import torch

from models.body.model import OPEN_BODY, load_body
from models.representation import primitive
from motion.primitives.network import PrimitiveConfig, PrimitiveModel


def small_primitives(config: PrimitiveConfig, spread: float) -> PrimitiveModel:
    """Somebody who stands, and gets about the more the larger `spread`, the deviation of the last layers' weights."""
    torch.manual_seed(0)
    model = PrimitiveModel(config, load_body(OPEN_BODY).joint_template)
    eye = torch.eye(3).expand(1, 1, 22, 3, 3)
    model.stance.copy_(primitive.encode(eye, torch.tensor([[[0.0, 0.93, 0.0]]]), model.rest)[0, 0])
    model.mean.copy_(model.stance)
    model.std.fill_(0.2)
    for layer in (model.student.out, model.vae.out):
        torch.nn.init.normal_(layer.weight, std=spread)
    return model
