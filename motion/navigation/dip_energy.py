"""DIP's objectives of motion in a scene: hints, sliding, contact, penetration, smoothness; their weights."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from models import objectives
from models.body.model import load_body
from models.body.skeleton import FEET, JOINT
from models.objectives import Joints, PerClip
from motion.navigation.flesh import flesh_of
from motion.navigation.journey import GoalPose, Plan
from motion.primitives.control import Distance, Objective, Window

SLIDING = 0.5
"""Metres a second of the slower foot above which both slide."""
AT_FLOOR = 0.01
"""Metres by which the lower foot may be off the floor."""
THROUGH = 0.03
"""Metres by which flesh may give way."""
UPRIGHT = 0.15
"""Radians by which a walker may lean."""
JOLT = 50.0
"""Metres a second squared that no joint exceeds."""


@dataclass(frozen=True)
class DipWeights:
    """What each objective weighs; 0 leaves it out."""

    joints: float = 1.0
    """Distance, metres, of the joints from those of the poses that are due."""
    floor: float = 1.0
    """Horizontal distance, metres, of the pelvis from the places that are due."""
    skate: float = 1e-3
    """Speed, m/s, of the slower foot above `SLIDING`."""
    contact: float = 0.1
    """Height, metres, of the lower foot off the floor, beyond `AT_FLOOR`."""
    penetration: float = 0.0
    """Depth, metres, of flesh in things, beyond `THROUGH`, summed over the body's spheres (`flesh`)."""
    smooth: float = 0.0
    """Acceleration, m/s^2, above `JOLT`."""
    slide: float = 0.0
    """Speed, m/s, of feet that are on the floor (`models.objectives.foot_skate`); not DIP's."""


PUBLISHED: dict[str, DipWeights] = {
    "walk": DipWeights(),
    "sit": DipWeights(skate=3e-4, penetration=0.1, smooth=1e-3),
    "lie": DipWeights(skate=0.0, penetration=0.03, smooth=1e-3),
}
"""As published, by what is done."""

OURS: dict[str, DipWeights] = {
    "walk": DipWeights(skate=0.05, contact=1.0, penetration=10.0, smooth=1e-3, slide=0.2),
    "sit": DipWeights(skate=0.05, contact=1.0, penetration=10.0, smooth=1e-3, slide=0.2),
    "lie": DipWeights(skate=0.0, contact=0.0, penetration=3.0, smooth=1e-3),
}
"""Walkers keep out of things too, not only those who sit; and a foot on the floor must not slide even while the other
is in the air, which the speed of the slower foot above 0.5 m/s does not see."""


@dataclass(frozen=True)
class Asked:
    """What is asked of a motion: the plan, the scene and the level of the toe joints of somebody who stands."""

    plan: Plan
    scene: Distance | None
    level: float
    keys: tuple[int, ...]
    """Frames at which the pelvis' place is hinted."""

    def objectives(self, weights: DipWeights) -> tuple[Objective, ...]:
        """Those with a weight, each of any window of the motion's frames."""
        fps, scene, found = self.plan.fps, self.scene, list[Objective]()
        if weights.joints and self.plan.poses:
            found.append(Objective("pose", weights.joints, self._pose))
        if weights.floor:
            found.append(Objective("path", weights.floor, self._floor))
        terms: tuple[tuple[str, float, Callable[[Joints], PerClip]], ...] = (
            ("skate", weights.skate, lambda joints: slower_foot(joints, fps)),
            ("contact", weights.contact, lambda joints: foot_height(joints, self.level)),
            ("smooth", weights.smooth, lambda joints: jolts(joints, fps)),
            ("slide", weights.slide, lambda joints: objectives.foot_skate(joints, fps)),
        )
        found += [_of(name, weight, measure) for name, weight, measure in terms if weight]
        if weights.penetration and scene is not None:
            flesh = flesh_of()
            found.append(_of("penetration", weights.penetration, lambda joints: flesh.depth(joints, scene, THROUGH)))
        return tuple(found)

    def carried(self, weight: float) -> tuple[Objective, ...]:
        """What primitives need besides: height of the pelvis, metres, and direction one faces, radians, where the plan
        says so; and the trunk's lean, radians, on the way."""
        heights, headings = dict(self.plan.heights), dict(self.plan.headings)

        def height(window: Window) -> Tensor:
            gaps = [(window.joints[:, :, at, 0, 1] - due).abs() for at, due in _within(window, heights)]
            return torch.stack(gaps).mean(0) if gaps else window.joints.new_zeros(window.joints.shape[:2])

        def facing(window: Window) -> Tensor:
            ways = [(at, torch.tensor([math.sin(due), math.cos(due)])) for at, due in _within(window, headings)]
            gaps = [objectives.orientation(window.joints[:, :, at : at + 1], way.to(window.joints)) for at, way in ways]
            return torch.stack(gaps).mean(0) if gaps else window.joints.new_zeros(window.joints.shape[:2])

        def lean(window: Window) -> Tensor:
            first, last = self.plan.walking
            own = slice(max(0, first - window.first), max(0, last + 1 - window.first))
            joints = window.joints[:, :, own]
            return leaning(joints) if joints.shape[2] else window.joints.new_zeros(window.joints.shape[:2])

        return (Objective("height", weight, height), Objective("facing", 0.3 * weight, facing),
                Objective("lean", weight, lean))  # fmt: skip

    def _floor(self, window: Window) -> Float[Tensor, "people tries"]:
        own = [(at, key) for key in self.keys if (at := window.index(key)) is not None]
        if not own:
            return window.joints.new_zeros(window.joints.shape[:2])
        due = torch.from_numpy(self.plan.places[[key for _, key in own]]).to(window.joints)
        return objectives.root_track(window.joints[:, :, [at for at, _ in own]], due)

    def _pose(self, window: Window) -> Float[Tensor, "people tries"]:
        fps = self.plan.fps
        gaps = [objectives.pose_at(window.joints, goal.to(window.joints), frame=at)
                for goal, key in zip(self._goals(), self.plan.poses, strict=True)
                if (at := window.index(round(key.time * fps))) is not None]  # fmt: skip
        return torch.stack(gaps).mean(0) if gaps else window.joints.new_zeros(window.joints.shape[:2])

    def _goals(self) -> Sequence[Float[Tensor, "22 3"]]:
        return [torch.from_numpy(GoalPose(key.rotations, key.pelvis).joints()) for key in self.plan.poses]


def asked(plan: Plan, scene: Distance | None, *, every: float) -> Asked:
    """The pelvis' place hinted at the ends of the way and every so many seconds of it."""
    first, last = plan.walking
    step = max(1, round(every * plan.fps))
    return Asked(plan, scene, toe_level(), tuple(dict.fromkeys([*range(first, last, step), last])))


def toe_level() -> float:
    """Height, metres, of the toe joints of the default body when it stands."""
    body = load_body()
    return float(body.joint_template[list(objectives.TOES), 1].mean() - body.v_template[:, 1].min())


def weights_for(weights: dict[str, DipWeights], plan: Plan, manner: str | None) -> DipWeights:
    """Those of what is done; poses that are not asked for weigh nothing."""
    own = weights[manner or "walk"]
    return own if plan.poses else replace(own, joints=0.0)


def slower_foot(joints: Joints, fps: float) -> PerClip:
    """Mean over steps of the speed, m/s, of the slowest of the four foot joints above `SLIDING`."""
    feet = joints[..., FEET, :]
    speed = ((feet[..., 1:, :, :] - feet[..., :-1, :, :]) * fps).square().sum(-1).clamp_min(1e-12).sqrt()
    return (speed.amin(-1) - SLIDING).clamp_min(0).mean(-1)


def foot_height(joints: Joints, level: float) -> PerClip:
    """Mean over frames of how far, metres beyond `AT_FLOOR`, the lowest foot joint is from its level on the floor."""
    return ((joints[..., FEET, 1].amin(-1) - level).abs() - AT_FLOOR).clamp_min(0).mean(-1)


def leaning(joints: Joints) -> PerClip:
    """Mean over frames of the angle, radians beyond `UPRIGHT`, of the line from pelvis to neck with the vertical."""
    trunk = joints[..., JOINT["neck"], :] - joints[..., 0, :]
    across = trunk[..., 0::2].square().sum(-1).clamp_min(1e-12).sqrt()
    return (torch.atan2(across, trunk[..., 1]) - UPRIGHT).clamp_min(0).mean(-1)


def jolts(joints: Joints, fps: float) -> PerClip:
    """Mean over joints and frames of the acceleration, m/s^2, above `JOLT`."""
    second = (torch.diff(joints, n=2, dim=-3) * fps**2).square().sum(-1).clamp_min(1e-12).sqrt()
    return (second - JOLT).clamp_min(0).mean((-1, -2))


def _within(window: Window, due: Mapping[int, float]) -> list[tuple[int, float]]:
    return [(at, value) for frame, value in due.items() if (at := window.index(frame)) is not None]


def _of(name: str, weight: float, measure: Callable[[Joints], PerClip]) -> Objective:
    return Objective(name, weight, lambda window: measure(window.joints))
