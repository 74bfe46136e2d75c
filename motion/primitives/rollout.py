"""The roll-out: one primitive after another for many people at once, each in the frame of what came before."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from laban.errors import LabanError
from models.diffusion.denoiser import Condition
from models.diffusion.sampler import SamplerConfig
from models.representation import primitive
from models.representation.primitive import FUTURE, HISTORY
from models.text.encoder import TextFeatures
from motion.primitives.distill import GUIDANCE, guided_latent, student_latent
from motion.primitives.network import PrimitiveModel

SINK, NEAR, UPRIGHT = 0.06, 0.01, 0.6
"""Metres: the most that `ground` moves somebody in a primitive, what it leaves alone, and where a pelvis is upright."""


@dataclass(frozen=True)
class Sampling:
    """How a primitive is drawn."""

    distilled: bool = False
    """One or two unguided steps of the student, instead of guided steps of the denoiser."""
    steps: int = 5
    """Denoising steps (deterministic, DDIM); the student takes at most 2."""
    guidance: float = GUIDANCE
    """How strictly the words are followed; 1 is unguided. The student has learnt the default."""
    grounded: bool = True
    """Whether somebody upright who floats, or anybody who sinks, is brought back to the floor (`ground`)."""

    def __post_init__(self) -> None:
        most = 2 if self.distilled else 100
        if not 1 <= self.steps <= most:
            raise LabanError(f"--steps {self.steps}; accepted: 1 to {most}{' when distilled' * self.distilled}")

    def latent(
        self, network: PrimitiveModel, condition: Condition, history: Tensor, noise: Tensor
    ) -> Float[Tensor, "batch tokens latent"]:
        """The latent that noise, words and history lead to; differentiable."""
        if self.distilled:
            return student_latent(network, condition, history, noise, steps=self.steps)
        sampler = SamplerConfig("ddim", self.steps)
        return guided_latent(network, condition, history, noise, sampler=sampler, guidance=self.guidance)


STUDENT = Sampling(distilled=True, steps=2)


@dataclass(frozen=True)
class State:
    """The last two frames of each person in the world; its dtype is the precision of the world."""

    rotations: Float[Tensor, "people 2 22 3 3"]
    pelvis: Float[Tensor, "people 2 3"]

    def history(self, network: PrimitiveModel) -> tuple[Float[Tensor, "people 2 198"], primitive.Placement]:
        """Normalised features in the primitive's frame, and where that lies in the world."""
        place = primitive.placement(self.rotations, self.pelvis)
        rotations, pelvis = place.into(self.rotations, self.pelvis)
        like = network.mean.dtype
        return network.normalise(primitive.encode(rotations.to(like), pelvis.to(like), network.rest)), place

    def people(self, rows: Tensor | slice) -> State:
        """Some of the people."""
        return State(self.rotations[rows], self.pelvis[rows])

    def repeated(self, times: int) -> State:
        """Each person so many times, copies next to each other."""
        return State(self.rotations.repeat_interleave(times, 0), self.pelvis.repeat_interleave(times, 0))

    def local(self) -> State:
        """The same poses at the origin, facing +Z."""
        return State(*primitive.placement(self.rotations, self.pelvis).into(self.rotations, self.pelvis))


@dataclass(frozen=True)
class Made:
    """Eight new frames of each person in the world; `pelvis` is the joint's place, not SMPL-X `transl`."""

    rotations: Float[Tensor, "people 8 22 3 3"]
    pelvis: Float[Tensor, "people 8 3"]

    @property
    def state(self) -> State:
        """What the next primitive goes on from."""
        return State(self.rotations[:, FUTURE - HISTORY :], self.pelvis[:, FUTURE - HISTORY :])

    def people(self, rows: Tensor | slice) -> Made:
        """Some of the people."""
        return Made(self.rotations[rows], self.pelvis[rows])

    def joints(self, network: PrimitiveModel) -> Float[Tensor, "people 8 22 3"]:
        """World joint positions by forward kinematics."""
        return primitive.joints_of(primitive.encode(self.rotations, self.pelvis, network.rest.to(self.pelvis)))


def standing(
    network: PrimitiveModel, people: int = 1, *, places: Float[Tensor, "people 3"] | None = None,
    headings: Float[Tensor, " people"] | None = None, dtype: torch.dtype = torch.float64,
) -> State:  # fmt: skip
    """People who stand still at `places` (x and z count) facing `headings` (radians about +Y, 0 faces +Z)."""
    rotations, pelvis = primitive.decode(network.stance[None].to(dtype).expand(people, HISTORY, -1))
    device = network.stance.device
    angle = torch.zeros(people, dtype=dtype, device=device) if headings is None else headings.to(device, dtype)
    origin = torch.zeros(people, 3, dtype=dtype, device=device)
    if places is not None:
        origin[:, [0, 2]] = places.to(device, dtype)[:, [0, 2]]
    zero, one = torch.zeros_like(angle), torch.ones_like(angle)
    turn = torch.stack([angle.cos(), zero, angle.sin(), zero, one, zero, -angle.sin(), zero, angle.cos()], -1)
    return State(*primitive.Placement(turn.unflatten(-1, (3, 3)), origin).out_of(rotations, pelvis))


def noise_for(
    network: PrimitiveModel, people: int, generator: torch.Generator | None = None
) -> Float[Tensor, "people tokens latent"]:
    """Where the sampling of a primitive starts."""
    shape = (people, network.config.tokens, network.config.latent)
    device = network.mean.device
    return torch.randn(shape, generator=generator, device=generator.device if generator else device).to(device)


def step(
    network: PrimitiveModel, state: State, condition: Condition, noise: Float[Tensor, "people tokens latent"],
    sampling: Sampling = Sampling(),
) -> tuple[State, Made]:  # fmt: skip
    """One primitive for everybody, and the state after it; differentiable with regard to noise and state."""
    history, place = state.history(network)
    latent = sampling.latent(network, condition, history, noise)
    future = joined(network.restore(history), network.restore(network.future_of(latent, history)))
    if sampling.grounded:
        future = ground(future, network.toe_height)
    rotations, pelvis = primitive.decode(future.to(state.pelvis.dtype))
    made = Made(*place.out_of(rotations, pelvis))
    return made.state, made


def joined(
    history: Float[Tensor, "people 2 198"], future: Float[Tensor, "people 8 198"]
) -> Float[Tensor, "people 8 198"]:
    """The future without a jump at its beginning: inertialization, as in games (Bollo, GDC 2018).

    The first frame goes where the speeds before and after would bring it; what that takes fades over the primitive.
    """
    speed = (history[:, 1] - history[:, 0] + future[:, 1] - future[:, 0]) / 2
    jump = future[:, 0] - history[:, 1] - speed
    u = torch.arange(FUTURE, device=future.device).to(future) / (FUTURE - 1)
    return future - (1 - u * u * (3 - 2 * u))[:, None] * jump[:, None]


def ground(future: Float[Tensor, "people 8 198"], level: Tensor) -> Float[Tensor, "people 8 198"]:
    """Frames that end nearer to the floor where somebody upright has no joint near it all through, or one is below.

    `level` is the height of the toe joints on the floor. Half of the way and at most `SINK` metres a primitive, growing
    evenly over its frames: a leap, which is near the floor at one end of most primitives, is hardly touched by it, and
    a drift cannot add up.
    """
    lowest = primitive.joints_of(future)[..., 1].amin((-1, -2)) - level
    upright = future[..., 1].amin(-1) > UPRIGHT
    gap = torch.where(upright, (lowest - NEAR).clamp_min(0), 0.0) + (lowest + NEAR).clamp_max(0)
    gap = (gap / 2).clamp(-SINK, SINK)
    share = torch.arange(1, FUTURE + 1, device=future.device).to(future) / FUTURE
    columns = torch.zeros(future.shape[-1], device=future.device, dtype=future.dtype)
    columns[1] = 1
    return future - (gap[:, None] * share)[..., None] * columns


def condition_of(features: TextFeatures) -> Condition:
    """Text features as the denoiser's condition, a row for each person."""
    return Condition(features.tokens, features.mask, features.sentence)


def repeated(condition: Condition, people: int) -> Condition:
    """One text's condition for everybody."""
    return replace(condition, tokens=condition.tokens.expand(people, -1, -1), mask=condition.mask.expand(people, -1),
                   sentence=condition.sentence.expand(people, -1))  # fmt: skip
