"""`react`: the motion of one person and a text in, the motion of both out."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from laban.errors import LabanError
from models.body.cleanup import clean_up
from models.body.model import BodyModel, load_body
from models.body.pose import motion_joints
from models.body.skeleton import NUM_BODY, NUM_JOINTS
from models.body.touching import held_hands, join_hands
from models.devices import fast_inference, one_thread, pick_device
from models.diffusion.denoiser import PARTNER, Condition
from models.diffusion.sampler import Denoise, Hooks, SamplerConfig, Window, batched_guidance, sample, windowed
from models.motion import Motion
from models.representation import pair, rifke
from models.resample import resample
from models.text.encoder import load_text_encoder
from motion.reaction.features import (
    BODY,
    FPS,
    WAY,
    actor_alone,
    actor_beside,
    path_of,
    points_of,
    start_yaw,
    turned,
)
from motion.reaction.network import Reactor, Stage, load_reactor
from motion.windows import overlapping_windows

SHORTEST, LONGEST = 0.5, 600.0
"""Seconds that an actor's motion may last."""
OVERLAP = 30
"""Frames that neighbouring windows share when the actor outlasts the training window."""
SPARE = 6
"""Frames by which one window may outlast those it was trained on."""
JERK = 3
"""Differences over time that make jerk of places."""
WORDS = 300
"""Characters of a text."""


@dataclass(frozen=True)
class ReactConfig:
    """How a reaction is sampled."""

    steps: int = 10
    way_steps: int = 10
    temperature: float = 0.2
    """Deviation of the noise that the way starts from: 0 is the likeliest way, 1 as varied as what was learnt from."""
    guidance: float = 1.0
    """How strictly the text is followed; 1 is unguided."""
    seed: int = 0
    cleanup: bool = True
    """Take out tremble, lock planted feet; False: as the network made it."""
    hold: bool = True
    """Close the gap where the reactor's hand moves along with one of the actor's (`models.body.touching`)."""
    device: str = "auto"

    def __post_init__(self) -> None:
        for name, low, high in (("steps", 1, 1000), ("way_steps", 1, 1000), ("temperature", 0, 2), ("guidance", 0, 20)):
            value = getattr(self, name)
            if not (math.isfinite(value) and low <= value <= high):
                raise LabanError(f"--{name.replace('_', '-')} {value:g}; accepted: {low} to {high}")


@dataclass(frozen=True)
class Actor:
    """The actor at 20 fps in the world, as networks see them."""

    points: Float[Tensor, "frames 24 3"]
    path: Float[Tensor, "frames 5"]
    body: Float[Tensor, "frames 205"]

    @property
    def frames(self) -> int:
        """Number of frames."""
        return len(self.path)


@one_thread()
def react(
    actor: Motion, text: str | None = None, *, checkpoint: str | Path | Reactor = "reaction",
    config: ReactConfig = ReactConfig(), body: BodyModel | None = None, progress: Callable[[int], None] | None = None,
) -> Motion:  # fmt: skip
    """Both people, at the actor's rate and in the actor's world: the actor as given, the reactor on the mean shape.

    Without a text the motion alone says what to do. `progress` is told of each of `steps + way_steps` denoising steps.
    Raises LabanError for anything but one person who moves for half a second to ten minutes.
    """
    check_actor(actor)
    reactor = checkpoint if isinstance(checkpoint, Reactor) else load_reactor(checkpoint)
    told = progress or (lambda steps: None)
    device = pick_device(config.device)
    seen = actor_of(actor, body or load_body())
    condition = _condition(reactor.config.text, text, device)
    with torch.inference_mode(), fast_inference(device):
        features, path = made(reactor, seen, condition, config, told)
    both = together(actor, features.cpu(), path.cpu(), reactor.body.rest.cpu(), cleanup=config.cleanup)
    return joined(both, body) if config.hold else both


def joined(both: Motion, body: BodyModel | None = None) -> Motion:
    """Hands that all but hold each other do; only the reactor's arms move."""
    held = join_hands(both, held_hands(both, body), body, still=0)
    return replace(both, rotations=np.concatenate([both.rotations[:1], held.rotations[1:]]))


def check_actor(actor: Motion) -> None:
    """LabanError unless a motion is that of one person and lasts as long as it may."""
    if actor.actors != 1:
        raise LabanError(f"actor: the motion holds {actor.actors} people; accepted: one (choose with --actor)")
    if not SHORTEST <= actor.seconds <= LONGEST:
        raise LabanError(f"actor: the motion lasts {actor.seconds:g} s; accepted: {SHORTEST:g} to {LONGEST:g}")


def actor_of(actor: Motion, body: BodyModel) -> Actor:
    """The actor at 20 fps; the last frame is held, so that every frame of the original lies within."""
    motion = resample(held(actor, FPS), FPS)
    rest = pair.rest_joints(motion, body)[0]
    rotations = torch.from_numpy(np.asarray(motion.rotations[0, :, :NUM_BODY], np.float64))
    pelvis = torch.from_numpy(np.asarray(motion.root[0], np.float64)) + rest[0]
    features = rifke.encode(motion.rotations[0, :, :NUM_BODY], motion.root[0], rest.numpy().astype(np.float32))
    path = pair.trajectory(rotations, pelvis).float()
    return Actor(points_of(rotations, pelvis, rest).float(), path, torch.from_numpy(features))


def held(motion: Motion, fps: float) -> Motion:
    """The motion with its last frame held until a clock of `fps` has passed every frame of its own."""
    more = math.ceil(motion.fps / fps) + 1
    return replace(motion, rotations=np.concatenate([motion.rotations, motion.rotations[:, -1:].repeat(more, 1)], 1),
                   root=np.concatenate([motion.root, motion.root[:, -1:].repeat(more, 1)], 1))  # fmt: skip


def _condition(encoder: str, text: str | None, device: torch.device) -> Condition:
    wanted = " ".join((text or "").split())
    if len(wanted) > WORDS:
        raise LabanError(f"text has {len(wanted)} characters; accepted: up to {WORDS}")
    read = load_text_encoder(encoder).encode([wanted or "they"]).to(device)
    condition = Condition(read.tokens, read.mask, read.sentence)
    return condition if wanted else condition.without_text()


# ------------------------------------------------------------------------------------------------------------- sampling


def made(
    reactor: Reactor, actor: Actor, condition: Condition, config: ReactConfig, told: Callable[[int], None]
) -> tuple[Float[Tensor, "frames 205"], Float[Tensor, "frames 5"]]:
    """(body features in metres and radians, the way that they go in the world)."""
    device = condition.mask.device
    actor = Actor(actor.points.to(device), actor.path.to(device), actor.body.to(device))
    if reactor.way is None:
        return _whole(reactor.body.to(device), actor, condition, config, told)
    path = way_beside(reactor.way.to(device), actor, condition, config, told)
    return _body(reactor.body.to(device), actor, path, condition, config, told), path


def way_beside(
    network: Stage,
    actor: Actor,
    condition: Condition,
    config: ReactConfig,
    told: Callable[[int], None] = lambda steps: None,
) -> Float[Tensor, "frames 5"]:
    """Stage one: where the reactor goes in the world."""
    windows = windows_of(network, actor.frames)
    angles = torch.stack([start_yaw(actor.path[w.start : w.stop]) for w in windows])
    seen = [actor_alone(actor.points[w.start : w.stop], actor.path[w.start : w.stop], angle)
            for w, angle in zip(windows, angles, strict=True)]  # fmt: skip
    own = slice(0, WAY)
    denoise = _turning(_on_windows(network, condition, windows, seen, config.guidance), angles, own)
    noise = config.temperature * _noise(config.seed, actor.frames, WAY).to(condition.mask.device)
    way = sample(windowed(denoise, windows), noise[None], network.schedule, SamplerConfig("ddim", config.way_steps),
                 progress=lambda step: told(1))[0]  # fmt: skip
    return path_of(way, actor.path, angles[0])


def _body(
    network: Stage, actor: Actor, path: Tensor, condition: Condition, config: ReactConfig, told: Callable[[int], None]
) -> Float[Tensor, "frames 205"]:
    """Stage two: what the body does on its way, whose columns are overwritten in every step."""
    columns = pair.root_columns(path)
    root = ((columns - network.mean[:4]) / network.std[:4])[None]
    windows = windows_of(network, actor.frames)
    whole = actor_beside(actor.points, actor.path, path, root[0])
    denoise = _on_windows(network, condition, windows, [whole[w.start : w.stop] for w in windows], config.guidance)
    noise = _noise(config.seed + 1, actor.frames, BODY).to(path)[None]
    hooks = Hooks(overwrite=lambda x0, t: torch.cat([root, x0[..., 4:]], -1))
    out = sample(windowed(denoise, windows), noise, network.schedule, SamplerConfig("ddim", config.steps), hooks=hooks,
                 progress=lambda step: told(1))  # fmt: skip
    return network.restore(out[0])


def _whole(
    network: Stage, actor: Actor, condition: Condition, config: ReactConfig, told: Callable[[int], None]
) -> tuple[Float[Tensor, "frames 205"], Float[Tensor, "frames 5"]]:
    """One network for everything; in a joint one the actor's columns are overwritten in every step."""
    windows, joint = windows_of(network, actor.frames), network.config.variant == "joint"
    angles = torch.stack([start_yaw(actor.path[w.start : w.stop]) for w in windows])
    seen, own, hooks = None, slice(BODY, BODY + WAY), Hooks()
    known: Tensor | None = None
    if joint:
        known = network.normalise(actor.body)
        hooks = Hooks(overwrite=lambda x0, t: torch.cat([x0[..., : BODY + WAY], known[None]], -1))
    else:
        seen = [actor_alone(actor.points[w.start : w.stop], actor.path[w.start : w.stop], angle)
                for w, angle in zip(windows, angles, strict=True)]  # fmt: skip
    denoise = _turning(_on_windows(network, condition, windows, seen, config.guidance, known), angles, own)
    noise = _noise(config.seed + 1, actor.frames, network.config.denoiser.features).to(actor.path)
    noise[:, own] = config.temperature * _noise(config.seed, actor.frames, WAY).to(noise)
    out = sample(windowed(denoise, windows), noise[None], network.schedule, SamplerConfig("ddim", config.steps),
                 hooks=hooks, progress=lambda step: told(1))[0]  # fmt: skip
    return network.restore(out[:, :BODY]), path_of(out[:, own], actor.path, angles[0])


def seam(both: Motion, network: Stage) -> float:
    """Mean jerk of the reactor where windows overlap, as a share of that elsewhere; NaN where there is one window."""
    frames = math.ceil(both.seconds * FPS)
    windows = windows_of(network, frames)
    shared = np.zeros(both.frames, bool)
    for before, after in zip(windows, windows[1:], strict=False):
        first, last = (round(place / FPS * both.fps) for place in (after.start, before.stop))
        shared[first:last] = True
    if not shared.any() or both.frames < JERK + 1:
        return math.nan
    size = np.linalg.norm(np.diff(motion_joints(both.actor(1))[0].astype(np.float64), JERK, axis=0), axis=-1).mean(1)
    inside = shared[JERK:]
    return float(size[inside].mean() / size[~inside].mean())


def windows_of(network: Stage, frames: int) -> list[Window]:
    """Windows of the network over a motion; their weights sum to one at every frame."""
    longest = round(network.config.seconds * FPS)
    if frames <= longest + SPARE:
        return [Window(0, frames, torch.ones(frames, 1))]
    return overlapping_windows(frames, longest, OVERLAP)


def _on_windows(
    network: Stage, condition: Condition, windows: list[Window], seen: list[Tensor] | None, guidance: float,
    known: Tensor | None = None,
) -> Denoise:  # fmt: skip
    """Denoises all windows in one batch, each beside what it sees of the actor; `known` are columns of a joint network
    that are the actor's."""
    count, device = len(windows), condition.mask.device
    longest = max(w.stop - w.start for w in windows)
    real = torch.tensor([w.stop - w.start for w in windows], device=device)
    mask = torch.arange(longest, device=device)[None] < real[:, None]
    rows = Condition(condition.tokens.expand(count, -1, -1), condition.mask.expand(count, -1),
                     condition.sentence.expand(count, -1))  # fmt: skip
    if seen is not None:
        rows = replace(rows, slots={PARTNER: (_stacked(seen, longest), mask)})
    if known is not None:
        values = _stacked([known[w.start : w.stop] for w in windows], longest)
        values = torch.cat([values.new_zeros(count, longest, BODY + WAY), values], -1)
        told = torch.zeros(values.shape, dtype=torch.bool, device=device)
        told[..., BODY + WAY :] = True
        rows = replace(rows, hint=(values, told))
    if guidance == 1 or not bool(condition.mask.any()):
        return lambda x, t: network(x, t, rows, mask)
    both, twice = rows.cat(rows.without_text()), torch.cat([mask, mask])
    return batched_guidance(lambda x, t: network(x, t, both, twice), guidance)


def _turning(denoise: Denoise, angles: Float[Tensor, " windows"], own: slice) -> Denoise:
    """Each window in its own frame: the way in columns `own` is turned there from the first window's, and back."""

    def call(x: Tensor, t: Tensor) -> Tensor:
        away = angles[0] - angles
        out = denoise(_with(x, own, turned(x[..., own], away)), t)
        return _with(out, own, turned(out[..., own], -away))

    return call


def _with(x: Tensor, own: slice, values: Tensor) -> Tensor:
    return torch.cat([x[..., : own.start], values, x[..., own.stop :]], -1)


def _stacked(rows: list[Tensor], longest: int) -> Tensor:
    out = rows[0].new_zeros(len(rows), longest, rows[0].shape[-1])
    for row, values in zip(out, rows, strict=True):
        row[: len(values)] = values
    return out


def _noise(seed: int, frames: int, features: int) -> Float[Tensor, "frames features"]:
    return torch.randn(frames, features, generator=torch.Generator().manual_seed(seed))


# ------------------------------------------------------------------------------------------------------------- decoding


def together(
    actor: Motion, features: Float[Tensor, "frames 205"], path: Float[Tensor, "frames 5"], rest: Float[Tensor, "55 3"],
    *, cleanup: bool = True,
) -> Motion:  # fmt: skip
    """The actor as given, and beside them the reactor, brought to the actor's rate."""
    rotations, pelvis = pair.on_path(features.double(), path.double())
    full = np.broadcast_to(np.eye(3, dtype=np.float32), (1, len(path), NUM_JOINTS, 3, 3)).copy()
    full[0, :, :NUM_BODY] = rotations.numpy()
    root = (pelvis - rest[0].double()).numpy().astype(np.float32)
    reactor = Motion(full, root[None], FPS)
    return beside_actor(actor, clean_up(reactor, follow=False) if cleanup else reactor)


def beside_actor(actor: Motion, reactor: Motion) -> Motion:
    """Both as one motion, at the actor's rate and as long as the actor's."""
    reactor = resample(reactor, actor.fps).slice(0, actor.frames)
    betas = np.concatenate([actor.betas, np.zeros_like(actor.betas)])
    return Motion(
        np.concatenate([actor.rotations, reactor.rotations.astype(actor.rotations.dtype)]),
        np.concatenate([actor.root, reactor.root.astype(actor.root.dtype)]), actor.fps, betas,
        (*actor.genders, "neutral"), actor.mask,
    )  # fmt: skip
