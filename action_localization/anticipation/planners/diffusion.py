"""PDPP, Masked-PDPP and MTID: plans by denoising task, action and observation columns, on the shared diffusion core."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from action_localization.anticipation.planners.given import Given
from models.attention import Attention, Block, sinusoid
from models.diffusion.sampler import Hooks, SamplerConfig, sample
from models.diffusion.schedule import NoiseSchedule, add_noise, cosine_schedule

FAR = -1e4


@dataclass(frozen=True)
class Columns:
    """Widths of the three parts of a plan's matrix, a row a step."""

    tasks: int
    actions: int
    observed: int

    @property
    def total(self) -> int:
        """All columns."""
        return self.tasks + self.actions + self.observed

    @property
    def action(self) -> slice:
        """The action columns."""
        return slice(self.tasks, self.tasks + self.actions)


@dataclass(frozen=True)
class DiffusionConfig:
    """PDPP (Wang et al., CVPR 2023) by default. `masked` restricts actions to the task's (Masked-PDPP, Fang et al.
    2023); `interpolated` layers of MTID's latent interpolator (Zhou et al., ICLR 2025; 0: none) feed each block."""

    masked: bool = False
    interpolated: int = 0
    ends: float = 2.0
    """Weight of the first and the last action in the loss. The papers have 10 (PDPP) and 6 (MTID) under squared error;
    cross-entropy learns the ends fast, and such weights starve what is between (held-out training videos)."""
    falling: bool = False
    """Whether weights fall linearly from the ends to the middle (MTID's proximity loss) or at once."""
    width: int = 96
    blocks: int = 2
    heads: int = 4
    noise_steps: int = 50
    sampling_steps: int = 4


PDPP = DiffusionConfig()
MASKED_PDPP = DiffusionConfig(masked=True)
MTID = DiffusionConfig(masked=True, interpolated=2, ends=2.0, falling=True)


def project(x: Float[Tensor, "plans length columns"], given: Given, columns: Columns) -> Tensor:
    """Overwrite what is given: task columns in every row, observations in the first and the last (zero between), and
    end actions where they are known. Idempotent."""
    x = x.clone()
    x[..., : columns.tasks] = given.task[:, None]
    x[..., columns.tasks + columns.actions :] = 0
    for row, seen, action in ((0, given.start, given.ends[:, 0]), (-1, given.goal, given.ends[:, 1])):
        x[:, row, columns.tasks + columns.actions :] = seen
        own = F.one_hot(action.clamp(min=0), columns.actions).to(x)
        x[:, row, columns.action] = torch.where((action >= 0)[:, None], own, x[:, row, columns.action])
    return x


def legal(given: Given, steps: Bool[Tensor, "tasks actions"]) -> Bool[Tensor, "plans actions"]:
    """The mask: actions of the given task, and the given ends. It comes from the condition alone, never from noise."""
    found = steps[given.task.argmax(1)]
    for action in given.ends.unbind(1):
        found = found | (F.one_hot(action.clamp(min=0), steps.shape[1]).bool() & (action >= 0)[:, None])
    return found


class Interpolator(nn.Module):
    """MTID's path from start to goal in latent space: one state for each block, which then attend to one another (over
    the blocks; never over the batch, whose plans have nothing to do with each other)."""

    def __init__(self, config: DiffusionConfig, observed: int) -> None:
        super().__init__()
        self.encode = nn.Linear(observed, config.width)
        self.share = nn.Parameter(torch.linspace(-2, 2, config.blocks))
        self.layers = nn.ModuleList(
            Block(config.width, config.heads, 2 * config.width) for _ in range(config.interpolated)
        )

    def forward(
        self, start: Float[Tensor, "plans observed"], goal: Float[Tensor, "plans observed"]
    ) -> Float[Tensor, "plans blocks width"]:
        """(1 - a) start + a goal for the learnt shares a, and what attention adds."""
        a = self.share.sigmoid()[None, :, None]
        path = (1 - a) * self.encode(start)[:, None] + a * self.encode(goal)[:, None]
        hidden = path
        for layer in self.layers:
            hidden = layer(hidden)
        return path + hidden


def neighbours(x: Float[Tensor, "plans length width"]) -> Float[Tensor, "plans length wide"]:
    """Every step between the one before and the one after (zero beyond the ends): a linear layer of it is a convolution
    of size 3, and for so few steps much faster than one."""
    padded = F.pad(x, (0, 0, 1, 1))
    return torch.cat([padded[:, :-2], x, padded[:, 2:]], -1)


class TemporalBlock(nn.Module):
    """PDPP's residual block: convolution over steps, norm (of each step), Mish, time; a second convolution.

    With a context it reads one state of the interpolator by cross-attention (MTID)."""

    def __init__(self, config: DiffusionConfig) -> None:
        super().__init__()
        width = config.width
        self.convs = nn.ModuleList(nn.Linear(3 * width, width) for _ in range(2))
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(2))
        self.time = nn.Linear(width, width)
        self.cross = Attention(width, config.heads, context=width) if config.interpolated else None
        nn.init.zeros_(self.norms[1].get_parameter("weight"))

    def forward(
        self, x: Float[Tensor, "plans length width"], signal: Float[Tensor, "plans width"],
        context: Float[Tensor, "plans width"] | None,
    ) -> Float[Tensor, "plans length width"]:  # fmt: skip
        """The steps after the block."""
        hidden = F.mish(self.norms[0](self.convs[0](neighbours(x)))) + self.time(signal)[:, None]
        x = x + F.mish(self.norms[1](self.convs[1](neighbours(hidden))))
        if self.cross is None or context is None:
            return x
        return x + self.cross(x, context[:, None])


class PlanDenoiser(nn.Module):
    """(x_t, t) -> probabilities of actions, which are the clean plan's action columns as expected given x_t.

    PDPP regresses these columns by squared error; a softmax under cross-entropy has the same optimum (the conditional
    mean of a one-hot row is its distribution), and is there in far fewer steps.
    """

    steps: Bool[Tensor, "tasks actions"]

    def __init__(self, config: DiffusionConfig, columns: Columns, steps: Bool[Tensor, "tasks actions"]) -> None:
        super().__init__()
        self.config, self.columns = config, columns
        width = config.width
        self.register_buffer("steps", steps if config.masked else torch.ones_like(steps), persistent=False)
        self.embed = nn.Linear(columns.total, width)
        with torch.no_grad():  # a one-hot column has to be heard beside all the columns of an observation
            self.embed.weight[:, : columns.tasks + columns.actions].normal_(std=0.5)
            self.embed.weight[:, columns.tasks + columns.actions :].normal_(std=0.25 * columns.observed**-0.5)
        self.places = nn.Parameter(torch.zeros(2, 8, width))
        self.time = nn.Sequential(nn.Linear(width, width), nn.Mish(), nn.Linear(width, width))
        self.path = Interpolator(config, columns.observed) if config.interpolated else None
        self.blocks = nn.ModuleList(TemporalBlock(config) for _ in range(config.blocks))
        self.norm = nn.LayerNorm(width)
        self.out = nn.Linear(width, columns.actions)

    def forward(
        self, x: Float[Tensor, "plans length columns"], t: Int[Tensor, " plans"],
        mask: Bool[Tensor, "plans actions"],
    ) -> Float[Tensor, "plans length actions"]:  # fmt: skip
        """Log-odds of actions; x is projected, and actions outside the mask are all but impossible."""
        length, seen = x.shape[1], self.columns.tasks + self.columns.actions
        hidden = self.embed(x)
        row = torch.arange(length, device=x.device).clamp(max=7)
        hidden = hidden + self.places[0, row] + self.places[1, row.flip(0)]
        signal = self.time(sinusoid(t.float(), self.config.width))
        path = None if self.path is None else self.path(x[:, 0, seen:], x[:, -1, seen:])
        for number, block in enumerate(self.blocks):
            hidden = block(hidden, signal, None if path is None else path[:, number])
        return torch.where(mask[:, None], self.out(self.norm(hidden)), FAR)


def condition(
    x: Float[Tensor, "plans length columns"], t: Int[Tensor, " plans"], given: Given, network: PlanDenoiser
) -> Float[Tensor, "plans length columns"]:
    """What the network reads: x with what is noise turned down (scaled by alpha, as preconditioning does: Karras et al.
    2022), and then projected, so that what is given is as clear at every noise level."""
    alpha = schedule_of(network.config).alpha(t)[:, None, None]
    return project(alpha * x, given, network.columns)


def schedule_of(config: DiffusionConfig) -> NoiseSchedule:
    """PDPP's cosine schedule."""
    return cosine_schedule(config.noise_steps)


def plan_loss(
    network: PlanDenoiser, plans: Int[Tensor, "plans length"], given: Given, generator: torch.Generator
) -> Tensor:
    """Weighted cross-entropy of every step at a random noise level; noise lives in the mask's columns alone."""
    columns, config = network.columns, network.config
    mask = legal(given, network.steps)
    mask = mask | F.one_hot(plans, columns.actions).any(1)
    clean = F.one_hot(plans, columns.actions).float()
    t = torch.randint(config.noise_steps, (len(plans),), generator=generator)
    noise = torch.randn(clean.shape, generator=generator) * mask[:, None]
    noisy = add_noise(schedule_of(config), clean, t, noise)
    odds = network(condition(_wide(noisy, columns), t, given, network), t, mask)
    each = F.cross_entropy(odds.flatten(0, 1), plans.flatten(), reduction="none").unflatten(0, plans.shape)
    weight = step_weights(plans.shape[1], config)
    return (each * weight).sum(1).mean() / weight.sum()


def step_weights(length: int, config: DiffusionConfig) -> Float[Tensor, " length"]:
    """How much each step counts: more at both ends."""
    from_end = torch.arange(length).minimum(torch.arange(length).flip(0)).float()
    if not config.falling:
        return torch.where(from_end == 0, config.ends, 1.0)
    return config.ends + (1 - config.ends) * from_end / from_end.max().clamp(min=1)


def denoise_plans(
    network: PlanDenoiser, given: Given, generator: torch.Generator, spread: float = 1.0, steps: int = 0
) -> Float[Tensor, "plans length actions"]:
    """Probabilities of actions after DDIM (eta 0), projected before the network and after every step. `spread` scales
    the noise that is begun with: 0 begins at the middle of everything, from where the likeliest plan is reached. One
    step from there gives every place's own probabilities, whatever the other places are (`steps`; 0: as configured)."""
    columns, config = network.columns, network.config
    mask = legal(given, network.steps)

    def denoise(x: Tensor, t: Tensor) -> Tensor:
        odds = network(condition(x, t, given, network), t, mask)
        return _wide(odds.softmax(-1), columns)

    noise = spread * torch.randn(len(given), given.length, columns.actions, generator=generator) * mask[:, None]
    hooks = Hooks(overwrite=lambda x0, t: project(x0, given, columns))
    sampler = SamplerConfig("ddim", min(steps or config.sampling_steps, config.noise_steps))
    with torch.inference_mode():
        clean = sample(denoise, project(_wide(noise, columns), given, columns), schedule_of(config), sampler,
                       hooks=hooks)  # fmt: skip
    return clean[..., columns.action]


def _wide(actions: Float[Tensor, "plans length actions"], columns: Columns) -> Float[Tensor, "plans length columns"]:
    """The action columns among the others, which are zero until they are projected."""
    return F.pad(actions, (columns.tasks, columns.observed))
