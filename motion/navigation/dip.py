"""DIP (Gong et al., AAAI 2026): the full-clip generator in a scene, guided through the next denoising call.

In every denoising step the posterior mean goes down the gradient of the objectives, which are measured on what the
network predicts from that mean; hints of the path are brought into each prediction. Long motions are made in rounds:
the last frames of one are the first of the next, and the two are blended there. No pair of scene and motion is needed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from numpy import ndarray
from torch import Tensor

from laban.errors import LabanError
from models.body.kinematics import forward_kinematics
from models.body.skeleton import NUM_BODY
from models.devices import pick_device
from models.diffusion.denoiser import Condition
from models.diffusion.sampler import Denoise, Hooks, Lead, Method, Overwrite, SamplerConfig, batched_guidance, sample
from models.representation import rifke
from models.representation.heading import pelvis_heading, turn
from models.rotations import yaw_rotation
from models.text.known import load_known
from motion.constraints import Constraints, JointKey, PoseKey, RootKey
from motion.enforce import Clip, placement, root_enforced
from motion.generate import STRIDE, noise_of, window_of
from motion.generator import Generator, load_generator
from motion.navigation.dip_blend import joined
from motion.navigation.dip_energy import OURS, PUBLISHED, Asked, DipWeights, asked, weights_for
from motion.navigation.journey import Journey, Plan, heading_of, plan_of
from motion.navigation.outcome import Bodies, Clock, Outcome, manner_of, outcome_of
from motion.primitives.control import Objective, Window
from motion.steer import PACE, hooks

FPS = rifke.LAYOUT.fps
LEAST_VARIANCE = 0.01
"""Steps are scaled by the posterior variance, but at least by this."""
FARTHEST = 0.6
"""Longest change of any normalised feature by one gradient step of ours."""


@dataclass(frozen=True)
class DipConfig:
    """How to sample and to guide."""

    steps: int = 20
    method: Method = "ddim"
    guidance: float = 2.5
    inner: int = 2
    """Gradient steps in each denoising step."""
    scale: float = 20.0
    """Of a gradient step, over the number of hinted frames and times the posterior variance."""
    free: float = 0.01
    """Share of the schedule below which nothing is guided."""
    fixed: float = 0.05
    """Share of the schedule above which poses that are due are brought into each prediction."""
    weights: dict[str, DipWeights] = field(default_factory=lambda: OURS)
    every: float = 0.4
    """Seconds between hinted places."""
    even: bool = False
    """One speed from the first step to the last, corners included."""
    seconds: float = 8.0
    """Longest round."""
    overlap: int = 10
    """Frames that a round shares with the one before."""
    candidates: int = 2
    seed: int = 0
    device: str = "auto"

    def __post_init__(self) -> None:
        for name, least in (("steps", 1), ("inner", 0), ("overlap", 2), ("candidates", 1)):
            if getattr(self, name) < least:
                raise LabanError(f"DIP: {name} {getattr(self, name)}; accepted: {least} or more")
        if not self.seconds * FPS >= 4 * self.overlap:
            raise LabanError(f"DIP: rounds of {self.seconds:g} s; accepted: {4 * self.overlap / FPS:g} s or more")


PRESETS: dict[str, DipConfig] = {
    "ours": DipConfig(),
    "published": DipConfig(steps=1000, method="ddpm", inner=10, weights=PUBLISHED, every=1.0, even=True, seconds=4.0),
}
"""`published`: weights, steps and scale as published; the places that its control network is told are brought into
each prediction instead, because our generator has no such network."""


def dip(
    journey: Journey, config: DipConfig = DipConfig(), *, checkpoint: str | Path = "research",
    progress: Callable[[int], None] = lambda steps: None,
) -> Outcome:  # fmt: skip
    """Somebody who makes the journey, at 20 fps; `progress` is told of denoising steps (`rounds_of` times `steps`).

    Raises LabanError for journeys through things and for words that are empty.
    """
    began = Clock()
    network = load_generator(checkpoint).to(pick_device(config.device))
    plan = plan_of(journey, FPS, seed=config.seed, even=config.even)
    task = asked(plan, journey.scene, every=config.every)
    weights = weights_for(config.weights, plan, manner_of(journey))
    with torch.no_grad():
        turns, places = Rounds(network, config, task, task.objectives(weights)).run(progress)
    each = [((turns[k : k + 1], places[k : k + 1]), task) for k in range(config.candidates)]
    return outcome_of("DIP", each, weights, began=began)


def rounds_of(plan: Plan, config: DipConfig, window: int) -> list[tuple[int, int, str]]:
    """(first new frame, one past the last, text): each leg in equal rounds that fit the network and the config."""
    longest = min(round(config.seconds * FPS), window) - config.overlap
    found = []
    for leg in plan.legs:
        frames = leg.last + 1 - leg.first
        edges = np.linspace(leg.first, leg.last + 1, max(1, math.ceil(frames / longest)) + 1).round().astype(int)
        found += [(int(a), int(b), leg.text) for a, b in zip(edges[:-1], edges[1:], strict=True)]
    return found


@dataclass(frozen=True)
class Frame:
    """Where each candidate's round starts in the world: the yaw and place of its first frame."""

    yaw: Float[ndarray, " people"]
    origin: Float[ndarray, "people 2"]

    def into(self, row: int, place: Float[ndarray, " axes"]) -> Float[ndarray, " axes"]:
        """A place (x, z) or (x, y, z) of the world as that candidate's round has it."""
        full = place if len(place) == 3 else np.array([place[0], 0.0, place[1]])
        shifted = full - np.array([self.origin[row, 0], 0.0, self.origin[row, 1]])
        own = turn(torch.tensor(-self.yaw[row]), torch.from_numpy(shifted)).numpy()
        return own if len(place) == 3 else own[[0, 2]]

    def after(self, placed: Sequence[tuple[float, Float[ndarray, " 3"]]]) -> Frame:
        """The same, each candidate turned and carried within its round first."""
        yaw = np.array([angle for angle, _ in placed])
        moved = turn(torch.from_numpy(self.yaw), torch.from_numpy(np.stack([start for _, start in placed])))
        return Frame(self.yaw + yaw, self.origin + moved.numpy()[:, [0, 2]])

    def out_of(self, bodies: Bodies) -> Bodies:
        """What a round made, in the world."""
        rotations, pelvis = bodies
        yaw = torch.from_numpy(self.yaw).to(pelvis)
        about = (yaw_rotation(yaw)[:, None] @ rotations[:, :, 0])[:, :, None]
        origin = torch.from_numpy(self.origin).to(pelvis)
        place = turn(yaw[:, None].expand(pelvis.shape[:2]), pelvis)
        place = place + torch.stack([origin[:, 0], torch.zeros_like(yaw), origin[:, 1]], -1)[:, None]
        return torch.cat([about, rotations[:, :, 1:]], 2), place


@dataclass(frozen=True)
class Rounds:
    """All rounds of one journey, every candidate a row of one batch."""

    network: Generator
    config: DipConfig
    task: Asked
    objectives: Sequence[Objective]

    def run(self, progress: Callable[[int], None]) -> Bodies:
        """Bodies at every frame of the plan."""
        known = load_known([action for action, _ in self.network.config.known], self.network.config.text)
        made: Bodies | None = None
        for number, (first, last, text) in enumerate(rounds_of(self.task.plan, self.config, window_of(self.network))):
            features = known.read([text] * self.config.candidates)
            device = self.network.mean.device
            condition = Condition(*(getattr(features, name).to(device) for name in ("tokens", "mask", "sentence")))
            shared = 0 if made is None else self.config.overlap
            history = None if made is None else (made[0][:, -shared:], made[1][:, -shared:])
            piece = Round(self, number, first - shared, last, condition, history)
            bodies = piece.sample(progress)
            made = bodies if made is None else joined(made, bodies, shared)
        if made is None:
            raise LabanError("journey: nothing to do; expected a path of at least two points")
        return made


@dataclass(frozen=True)
class Round:
    """Frames `first` to `last` (excluded) of the plan, of which the history is given."""

    whole: Rounds
    number: int
    first: int
    last: int
    condition: Condition
    history: Bodies | None

    def sample(self, progress: Callable[[int], None]) -> Bodies:
        """Bodies at the round's frames, in the world."""
        network, config = self.whole.network, self.whole.config
        frames, rows = self.last - self.first, config.candidates
        frame = self._frame()
        noise = torch.stack([noise_of(config.seed + self.number * STRIDE + k * STRIDE * STRIDE, frames)
                             for k in range(rows)]).to(network.mean)  # fmt: skip
        mask = torch.ones(rows, frames, dtype=torch.bool, device=noise.device)
        both, twice = self.condition.cat(self.condition.without_text()), torch.cat([mask, mask])
        denoise = batched_guidance(lambda x, t: network(x, t, both, twice), config.guidance)
        past = [self._past(frame, row) for row in range(rows)]
        due = [self._constraints(frame, row, past[row]) for row in range(rows)]
        overwrite = self._overwrite(due, past, frames)
        lead = self.lead(lambda x, t: network(x, t, self.condition, mask), overwrite, frame, due)
        draws = torch.Generator(noise.device).manual_seed(config.seed + self.number)
        out = sample(denoise, noise, network.schedule, SamplerConfig(config.method, config.steps), generator=draws,
                     hooks=Hooks(None, overwrite, lead if config.inner else None),
                     progress=lambda k: progress(1))  # fmt: skip
        clips = _clips(self._decoded(out.double(), network.rest.double()))
        placed = [root_enforced(clip, own, PACE) for clip, own in zip(clips, due, strict=True)]
        turns, places = (np.stack([getattr(clip, part) for clip in placed]) for part in ("rotations", "pelvis"))
        return frame.out_of((torch.from_numpy(turns), torch.from_numpy(places)))

    def _decoded(self, x: Float[Tensor, "people frames 205"], rest: Tensor) -> Bodies:
        mean, std = self.whole.network.mean.to(x), self.whole.network.std.to(x)
        rotations, root = rifke.decode(x * std + mean, rest)
        return rotations, root + rest[0].to(root)

    def _placed(self, frame: Frame, bodies: Bodies, due: Sequence[Constraints]) -> Frame:
        """Where rounds lie in the world once each candidate goes along its path, whichever way it faces at first."""
        return frame.after([placement(clip, own, PACE) for clip, own in zip(_clips(bodies), due, strict=True)])

    def lead(self, denoise: Denoise, overwrite: Overwrite, frame: Frame, due: Sequence[Constraints]) -> Lead:
        """The posterior mean, led down the gradient of the objectives of what the network predicts from it."""
        network, config, objectives = self.whole.network, self.whole.config, self.whole.objectives
        hinted = sum(self.first <= key < self.last for key in self.whole.task.keys) or 1

        def led(mean: Tensor, t: int, variance: float) -> Tensor:
            if t < config.free * network.schedule.steps:
                return mean
            offset, world, step = None, frame, config.scale / hinted * max(variance, LEAST_VARIANCE)
            with torch.enable_grad():
                for _ in range(config.inner):
                    x = mean.detach().requires_grad_()
                    x0 = denoise(x, torch.full((len(x),), t, device=x.device))
                    if offset is None:  # what is measured goes where it will be: places are hinted, poses are asked for
                        brought = overwrite(x0.detach(), 0)
                        offset = brought - x0.detach()
                        world = self._placed(frame, self._decoded(brought, network.rest), due)
                    loss = self.energy(x0 + offset, world, objectives)
                    slope = torch.nan_to_num(torch.autograd.grad(loss.sum(), x)[0])
                    change = step * slope
                    size = change.abs().amax((1, 2), keepdim=True)
                    mean = mean - change * (FARTHEST / size.clamp_min(FARTHEST))
            return mean.detach()

        return led

    def energy(
        self, x0: Float[Tensor, "people frames 205"], frame: Frame, objectives: Sequence[Objective]
    ) -> Float[Tensor, " people"]:
        """What each candidate's prediction costs in the world."""
        rest = self.whole.network.rest
        rotations, pelvis = frame.out_of(self._decoded(x0, rest))
        joints, _ = forward_kinematics(rotations, rest[:NUM_BODY].to(pelvis), pelvis - rest[0].to(pelvis))
        window = Window(joints[None], self.first)
        return torch.stack([o.weight * o.measure(window)[0] for o in objectives]).sum(0)

    # ------------------------------------------------------------------------------------------------------- hints

    def _frame(self) -> Frame:
        plan, rows = self.whole.task.plan, self.whole.config.candidates
        if self.history is not None:
            turns, places = (part.cpu().double().numpy() for part in self.history)
            yaw = np.array([pelvis_heading(row[:1, 0])[0] for row in turns])
            return Frame(yaw, places[:, 0][:, [0, 2]])
        if plan.poses and plan.poses[0].time == 0:
            yaw = pelvis_heading(plan.poses[0].rotations[None, 0])[0]
            return Frame(np.full(rows, yaw), np.tile(plan.poses[0].pelvis[[0, 2]], (rows, 1)))
        heading = heading_of(plan.places[1] - plan.places[0])
        return Frame(np.full(rows, heading), np.tile(plan.places[0], (rows, 1)))

    def _overwrite(
        self, due: Sequence[Constraints],
        past: Sequence[tuple[Float[ndarray, "frames 22 3 3"], Float[ndarray, "frames 3"]] | None], frames: int,
    ) -> Overwrite:  # fmt: skip
        """Places, poses and history brought into a prediction; the last steps only hold the places."""
        network, config = self.whole.network, self.whole.config
        bring = hooks(due, network, [frames] * len(due))[1]
        rest = network.rest.double().cpu().numpy()
        seen = None if self.history is None else torch.stack([
            network.normalise(torch.from_numpy(rifke.encode(*one, rest)).to(network.mean))
            for one in past if one is not None])  # fmt: skip

        def overwrite(x0: Tensor, t: int) -> Tensor:
            x0 = bring(x0, t)
            if seen is None or t < config.fixed * network.schedule.steps:
                return x0
            last = seen.shape[1] - 1
            x0[:, :last] = seen[:, :last].to(x0)
            x0[:, last, 4:] = seen[:, last, 4:].to(x0)  # where it goes from there is what is made
            x0[:, last, 0] = seen[:, last, 0].to(x0)
            return x0

        return overwrite

    def _past(
        self, frame: Frame, row: int
    ) -> tuple[Float[ndarray, "frames 22 3 3"], Float[ndarray, "frames 3"]] | None:
        """The history of a candidate as its round has it: rotations and SMPL-X transl."""
        if self.history is None:
            return None
        turns, places = (part[row].cpu().double().numpy() for part in self.history)
        back = yaw_rotation(torch.tensor(-frame.yaw[row])).numpy()
        local = np.concatenate([(back @ turns[:, 0])[:, None], turns[:, 1:]], 1)
        rest = self.whole.network.rest[0].double().cpu().numpy()
        return local, np.stack([frame.into(row, place) for place in places]) - rest

    def _constraints(
        self, frame: Frame, row: int, past: tuple[Float[ndarray, "frames 22 3 3"], Float[ndarray, "frames 3"]] | None
    ) -> Constraints:
        """What is due in this round, as `motion.steer` brings it into predictions."""
        plan, keys = self.whole.task.plan, set(self.whole.task.keys)
        back = yaw_rotation(torch.tensor(-frame.yaw[row])).numpy()
        poses, path, headings, heights = [], [], dict(plan.headings), dict(plan.heights)
        for pose in plan.poses:
            at = round(pose.time * FPS)
            if self.first <= at < self.last and (past is None or at >= self.first + len(past[0])):
                local = np.concatenate([(back @ pose.rotations[0])[None], pose.rotations[1:]])
                poses.append(PoseKey((at - self.first) / FPS, local, frame.into(row, pose.pelvis), pose.origin))
        taken = {round(pose.time * FPS) + self.first for pose in poses}
        if past is not None:
            rest = self.whole.network.rest[0].double().cpu().numpy()
            yaw, pelvis = pelvis_heading(past[0][:, 0]), past[1] + rest
            taken |= set(range(self.first, self.first + len(yaw)))
            path += [RootKey(k / FPS, (float(pelvis[k, 0]), float(pelvis[k, 2])), float(yaw[k]), float(pelvis[k, 1]))
                     for k in range(len(yaw))]  # fmt: skip
        for at in sorted({key for key in {*keys, *headings, *heights} if self.first <= key < self.last} - taken):
            x, z = frame.into(row, plan.places[at])
            heading = headings.get(at)
            own = None if heading is None else math.remainder(heading - frame.yaw[row], 2 * math.pi)
            path.append(RootKey((at - self.first) / FPS, (float(x), float(z)), own, heights.get(at)))
        feet = [JointKey((at - self.first) / FPS, key.joint, frame.into(row, key.position))
                for key in plan.feet
                if self.first <= (at := round(key.time * FPS)) < self.last and at not in taken]  # fmt: skip
        return Constraints(tuple(poses), tuple(path), tuple(feet))


def _clips(bodies: Bodies) -> list[Clip]:
    return [Clip(*(part.detach().cpu().double().numpy() for part in row)) for row in zip(*bodies, strict=True)]
