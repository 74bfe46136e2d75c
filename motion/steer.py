"""Constraints inside sampling: what the network predicts is brought to them in every step, so that the rest fits."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from models.body.kinematics import forward_kinematics
from models.body.skeleton import JOINT, NUM_BODY
from models.diffusion.sampler import Guide, Overwrite
from models.objectives import goal_joint
from models.representation import rifke
from models.representation.heading import turn
from motion.constraints import Constraints, frame_of
from motion.enforce import Clip, Pace, enforced, placement, root_enforced
from motion.generator import Generator

FPS = rifke.LAYOUT.fps
PACE = Pace(FPS, blend=1.0)
"""Twice as wide as afterwards: the network hears of a key in time and comes to it by itself."""
DESCENT = 4
"""Gradient steps towards targets of hands and feet in each denoising step."""
SPREAD = 0.2
"""Seconds (standard deviation) over which a gradient is spread, so that no single frame jumps to its target."""
CALM = 0.6
"""Longest change of any normalised feature by one gradient step."""


UNTIL = 0.2
"""Noise level t / steps below which pose and limbs are left to the network, which smooths them; the root is led on."""


def hooks(
    constraints: Constraints | Sequence[Constraints], network: Generator, lengths: Sequence[int]
) -> tuple[Guide | None, Overwrite]:
    """`guide` and `overwrite` of `sample` for a batch of normalised features, whose rows have these frames.

    Constraints are those of all rows, or of each.

    `overwrite` meets all constraints by smooth corrections (`motion.enforce`) of each row; in the last steps only those
    of the root. `guide`, before it, lets the whole body go towards targets of hands and feet by the gradient of their
    distance; None where there are none.
    """
    rest = network.rest.double().cpu()
    each = [constraints] * len(lengths) if isinstance(constraints, Constraints) else list(constraints)

    def overwrite(x0: Tensor, t: int) -> Tensor:
        bring = enforced if t >= UNTIL * network.schedule.steps else _on_its_way
        result = x0.clone()
        features = network.restore(x0.float()).double().cpu()
        for row, own, frames, wanted in zip(result, features, lengths, each, strict=True):
            done = bring(_clip(own[:frames], rest), wanted, rest, PACE)
            row[:frames] = network.normalise(_features(done, own[:frames], network)).to(row)
        return result

    def guide(x0: Tensor, x_t: Tensor, t: int) -> Tensor:
        if t < UNTIL * network.schedule.steps:
            return x0
        result = x0.clone()
        for row, frames, wanted in zip(result, lengths, each, strict=True):
            if wanted.joints:
                row[:frames] = _descend(row[:frames].float(), wanted, network, rest).to(row)
        return result

    return (guide if any(wanted.joints for wanted in each) else None), overwrite


def _on_its_way(clip: Clip, constraints: Constraints, rest: Tensor, pace: Pace) -> Clip:
    return root_enforced(clip, constraints, pace)


def _clip(features: Float[Tensor, "frames 205"], rest: Float[Tensor, "55 3"]) -> Clip:
    rotations, root = rifke.decode(features, rest)
    return Clip(rotations.numpy(), (root + rest[0]).numpy())


def _features(clip: Clip, before: Float[Tensor, "frames 205"], network: Generator) -> Float[Tensor, "frames 205"]:
    """The clip as features; the last increments, which nothing shows, stay those of `before`."""
    rest = network.rest.double().cpu().numpy()
    made = torch.from_numpy(rifke.encode(clip.rotations, clip.pelvis - rest[0], rest))
    made[-1, 1:4] = before[-1, 1:4]
    return made.to(network.mean)


def _descend(
    x: Float[Tensor, "frames 205"], constraints: Constraints, network: Generator, rest: Float[Tensor, "55 3"]
) -> Float[Tensor, "frames 205"]:
    """Normalised features after `DESCENT` steps down the squared distances to the targets of hands and feet."""
    frames = len(x)
    yaw, start = placement(_clip(network.restore(x).double().cpu(), rest), constraints, PACE)
    goals = []
    for key in constraints.joints:
        seen = turn(torch.tensor(-yaw), torch.from_numpy(np.asarray(key.position, np.float64) - start))
        goals.append((JOINT[key.joint], frame_of(key.time, FPS, frames), seen.to(x)))
    kernel = _kernel(frames).to(x)
    with torch.inference_mode(False), torch.enable_grad():
        mean, std, bones = network.mean.clone(), network.std.clone(), rest.to(x)
        x = x.clone()
        for _ in range(DESCENT):
            x = x.detach().requires_grad_()
            rotations, root = rifke.decode(x * std + mean, bones)
            joints, _ = forward_kinematics(rotations, bones[None, :NUM_BODY], root)
            loss = torch.stack([goal_joint(joints, joint, goal, frame=f) ** 2 for joint, f, goal in goals]).sum()
            slope = torch.autograd.grad(loss, x)[0]
            smooth = torch.cat([slope[:, :4], kernel @ slope[:, 4:]], -1)
            step = loss.detach() / (slope * smooth).sum().clamp_min(1e-12)  # Polyak's step towards zero distance
            x = x - smooth * torch.minimum(step, CALM / smooth.abs().max().clamp_min(1e-12))
    return x.detach()


def _kernel(frames: int) -> Float[Tensor, "frames frames"]:
    """A Gaussian over time, its middle at one."""
    grid = torch.arange(frames) / FPS
    return torch.exp(-0.5 * ((grid[:, None] - grid) / SPREAD) ** 2)
