"""What came of a journey, whichever way it was made: the best candidate, how all of them did, and how long it took."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from models.body.cleanup import clean_up
from models.body.model import load_body
from models.body.pose import motion_joints
from models.body.skeleton import NUM_BODY, NUM_JOINTS
from models.motion import Motion
from models.representation.heading import pelvis_heading
from motion.constraints import Constraints, RootKey
from motion.enforce import enforce
from motion.navigation.dip_energy import Asked, DipWeights
from motion.navigation.journey import Journey, Plan
from motion.primitives.control import Window

Bodies = tuple[Float[Tensor, "people frames 22 3 3"], Float[Tensor, "people frames 3"]]
"""Local rotations, the pelvis' being global, and places of the pelvis in the world, of each candidate."""


@dataclass(frozen=True)
class Clock:
    """When work began, by the clock and by the processor."""

    wall: float = field(default_factory=time.monotonic)
    cpu: float = field(default_factory=time.process_time)

    def passed(self) -> tuple[float, float]:
        """Seconds since."""
        return time.monotonic() - self.wall, time.process_time() - self.cpu


@dataclass(frozen=True)
class Outcome:
    """The best of the candidates by its own objectives."""

    motion: Motion
    errors: dict[str, float]
    """Of the motion, each in its own unit; `total` is what candidates were chosen by, `goal` the metres at the end."""
    mean: dict[str, float]
    """The same, averaged over candidates."""
    seconds: float
    """Of work, for all candidates."""
    cpu: float
    """The same as the processor counts it, which a busy machine does not change."""
    backend: str
    plan: Plan = field(repr=False)


def outcome_of(
    backend: str, candidates: Sequence[tuple[Bodies, Asked]], weights: DipWeights, *, began: Clock
) -> Outcome:
    """Candidates as motions with feet that stand, in the poses that were due; the one that costs least is kept."""
    motions = [finished(motions_of(bodies, task.plan.fps)[0], task.plan) for bodies, task in candidates]
    errors = [errors_of(motion, task, weights) for motion, (_, task) in zip(motions, candidates, strict=True)]
    best = min(range(len(motions)), key=lambda k: errors[k]["total"])
    mean = {name: float(np.mean([one[name] for one in errors])) for name in errors[0]}
    return Outcome(motions[best], errors[best], mean, *began.passed(), backend, candidates[best][1].plan)


def motions_of(bodies: Bodies, fps: float) -> list[Motion]:
    """Each candidate as a motion."""
    rotations, pelvis = (part.detach().cpu().double().numpy() for part in bodies)
    root = pelvis - load_body().joint_template[0].double().numpy()
    full = np.broadcast_to(np.eye(3, dtype=np.float32), (*rotations.shape[:2], NUM_JOINTS, 3, 3)).copy()
    full[:, :, :NUM_BODY] = rotations
    return [Motion(full[k : k + 1], root[k : k + 1].astype(np.float32), fps) for k in range(len(full))]


def finished(motion: Motion, plan: Plan) -> Motion:
    """No tremble, feet that stand where they are planted, and from the end of the way on exactly what is due."""
    motion = clean_up(motion, follow=False)
    last = plan.walking[1]
    if last + 1 >= motion.frames:
        return motion
    began, rest = last / plan.fps, load_body().joint_template[0].double().numpy()
    x, _, z = motion.root[0, last] + rest
    here = RootKey(0.0, (float(x), float(z)), float(pelvis_heading(motion.rotations[0, last : last + 1, 0])[0]))
    poses = tuple(replace(key, time=key.time - began) for key in plan.poses if key.time > began)
    feet = tuple(replace(key, time=key.time - began) for key in plan.feet)
    after = enforce(motion.slice(last, motion.frames), Constraints(poses, (here,), feet, anchored=False))
    rotations, root = motion.rotations.copy(), motion.root.copy()
    rotations[:, last:], root[:, last:] = after.rotations, after.root
    return replace(motion, rotations=rotations, root=root)


def errors_of(motion: Motion, task: Asked, weights: DipWeights) -> dict[str, float]:
    """Each objective of a motion, their weighted sum, and how far the pelvis ends from where it was to end."""
    joints = torch.from_numpy(motion_joints(motion)[:, :, :NUM_BODY])
    window = Window(joints[None], 0)
    found = {o.name: (o.weight, float(o.measure(window)[0, 0])) for o in task.objectives(weights)}
    last = joints[0, min(len(joints[0]), task.plan.frames) - 1, 0, [0, 2]].numpy()
    return {name: value for name, (_, value) in found.items()} | {
        "total": sum(weight * value for weight, value in found.values()),
        "goal": float(np.linalg.norm(last - task.plan.places[-1])),
    }


def manner_of(journey: Journey) -> str | None:
    """Whether one sits or lies down, or gets up from that; None who does neither."""
    pose = journey.goal or journey.start
    return None if pose is None else pose.manner
