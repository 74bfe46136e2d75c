"""Text to motion: sentences and durations in, `Motion` out."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from laban.errors import LabanError
from models.body.cleanup import clean_up
from models.devices import fast_inference, pick_device
from models.diffusion.denoiser import Condition
from models.diffusion.sampler import Denoise, Hooks, Method, SamplerConfig, batched_guidance, sample, windowed
from models.motion import Motion
from models.representation import rifke
from models.text.known import KnownActions, load_known
from motion.candidates import Choice, best_of
from motion.constraints import Constraints, check_reach
from motion.enforce import enforce
from motion.generator import Generator, load_generator
from motion.steer import hooks
from motion.windows import overlapping_windows

FPS = rifke.LAYOUT.fps
SHORTEST, LONGEST = 0.5, 600.0
"""Seconds a clip may last."""
OVERLAP = 30
"""Frames that neighbouring windows share when a clip outlasts the training window."""
BATCH = 16
STRIDE = 1_000_003
"""Between the seeds of one sample's candidates."""
ROUNDS = 3
"""How often candidates are drawn, at most, while another action than the one meant is recognised in all of them."""


@dataclass(frozen=True)
class GenerateConfig:
    """How to sample."""

    steps: int = 20
    method: Method = "ddim"
    guidance: float = 2.5
    seed: int = 0
    """Sample i of a call is drawn from seed + i, whatever its neighbours."""
    candidates: int = 4
    """Drawn for each text; the one that the motion-text encoder finds nearest to the text is kept. See `ROUNDS`."""
    cleanup: bool = True
    """Take out tremble and lock planted feet (`models.body.cleanup`); False: as the network made it."""
    device: str = "auto"


def generate(
    texts: Sequence[str], seconds: Sequence[float] | float, *, checkpoint: str | Path = "research",
    config: GenerateConfig = GenerateConfig(), constraints: Constraints | None = None,
    progress: Callable[[int], None] | None = None,
) -> list[Motion]:  # fmt: skip
    """One motion at 20 fps per text, on the body the checkpoint was trained with, that meets `constraints`.

    `progress` is told the number of clips just finished.
    Raises LabanError for an empty text, a duration that is not between half a second and ten minutes, or constraints
    that no body can meet in that time.
    """
    if not 1 <= config.candidates <= BATCH:
        raise LabanError(f"--candidates {config.candidates}; accepted: 1 to {BATCH}")
    lengths = [seconds] * len(texts) if isinstance(seconds, int | float) else list(seconds)
    if len(lengths) != len(texts):
        raise LabanError(f"{len(texts)} texts but {len(lengths)} durations; give one each, or one for all")
    frames = [_check(text, length) for text, length in zip(texts, lengths, strict=True)]
    network, constraints = load_generator(checkpoint), constraints or None
    if constraints is not None:
        for length in lengths:
            check_reach(constraints, length, network.rest.double().numpy())
    known = load_known([action for action, _ in network.config.known], network.config.text)
    device = pick_device(config.device)
    network = network.to(device)
    order = sorted(range(len(texts)), key=lambda i: frames[i])
    window, done = window_of(network), dict[int, Motion]()
    for chunk in _chunks(order, frames, window, BATCH // config.candidates):
        wanted = [(texts[i], config.seed + i, frames[i]) for i in chunk]
        kept = _choose(network, known, wanted, config=config, constraints=constraints)
        done.update(zip(chunk, (finished(motion, config, constraints) for motion in kept), strict=True))
        if progress is not None:
            progress(len(chunk))
    return [done[i] for i in range(len(texts))]


def finished(motion: Motion, config: GenerateConfig, constraints: Constraints | None) -> Motion:
    """Cleaned up, if so configured, and exactly where `constraints` want it."""
    if constraints is None:
        return clean_up(motion) if config.cleanup else motion
    return enforce(clean_up(motion, follow=False), constraints) if config.cleanup else motion


def _choose(
    network: Generator, known: KnownActions, wanted: Sequence[tuple[str, int, int]], *, config: GenerateConfig,
    constraints: Constraints | None,
) -> list[Motion]:  # fmt: skip
    """The best candidate for each (text, seed, frames) of a chunk; drawn again where none shows what was meant."""
    best: dict[int, Choice] = {}
    for turn in range(ROUNDS):
        missing = [i for i in range(len(wanted)) if i not in best or not best[i].sure]
        if not missing:
            break
        places = range(turn * config.candidates, (turn + 1) * config.candidates)
        drawn = [(wanted[i][0], noise_of(wanted[i][1] + k * STRIDE, wanted[i][2])) for i in missing for k in places]
        longest = max(len(noise) for _, noise in drawn)
        batches = [[row] for row in drawn] if longest > window_of(network) else [drawn]
        motions = [to_motion(rows, network.rest) for batch in batches
                   for rows in _sample(network, known, batch, config=config, constraints=constraints)]  # fmt: skip
        if constraints is not None:
            motions = [enforce(motion, constraints) for motion in motions]
        for i, choice in zip(missing, best_of(motions, [wanted[i][0] for i in missing], known), strict=True):
            if i not in best or choice.score > best[i].score:
                best[i] = choice
    return [best[i].motion for i in range(len(wanted))]


def to_motion(features: Float[Tensor, "frames 205"], rest: Float[Tensor, "55 3"]) -> Motion:
    """Decode features in metres and radians (not normalised) of one actor."""
    rotations, root = rifke.decode(features.double().cpu(), rest.double().cpu())
    full = np.broadcast_to(np.eye(3, dtype=np.float32), (1, len(features), 55, 3, 3)).copy()
    full[0, :, :22] = rotations.numpy()
    return Motion(full, root.numpy().astype(np.float32)[None], FPS)


def _check(text: str, seconds: float) -> int:
    if not text.strip():
        raise LabanError("text is empty; say what the person does, for example: a person walks forward")
    if not (math.isfinite(seconds) and SHORTEST <= seconds <= LONGEST):
        raise LabanError(f"--seconds {seconds:g}; accepted: {SHORTEST:g} to {LONGEST:g}")
    return round(seconds * FPS)


def window_of(network: Generator) -> int:
    """Frames that the network takes at once."""
    return round(network.config.max_seconds * FPS)


def noise_of(seed: int, frames: int) -> Float[Tensor, "frames 205"]:
    """Where sampling starts."""
    return torch.randn(frames, rifke.LAYOUT.features, generator=torch.Generator().manual_seed(seed))


def _chunks(order: list[int], frames: list[int], longest: int, size: int) -> list[list[int]]:
    """Batches of similar length; a clip longer than the window goes alone."""
    short = [i for i in order if frames[i] <= longest]
    return [short[k : k + size] for k in range(0, len(short), size)] + [[i] for i in order if frames[i] > longest]


@torch.inference_mode()
def _sample(
    network: Generator, known: KnownActions, drawn: Sequence[tuple[str, Float[Tensor, "_ 205"]]], *,
    config: GenerateConfig, constraints: Constraints | None,
) -> list[Float[Tensor, "frames 205"]]:  # fmt: skip
    """Restored features of each (text, noise) of a chunk; one that outlasts the window comes alone."""
    texts, noise = zip(*drawn, strict=True)
    device = next(network.parameters()).device
    longest, lengths = max(map(len, noise)), torch.tensor([len(n) for n in noise], device=device)
    x = torch.zeros(len(noise), longest, rifke.LAYOUT.features, device=device)
    for row, values in zip(x, noise, strict=True):
        row[: len(values)] = values.to(device)
    mask = torch.arange(longest, device=device)[None] < lengths[:, None]
    text = known.read(texts)
    condition = Condition(text.tokens.to(device), text.mask.to(device), text.sentence.to(device))
    window = window_of(network)
    denoise = _long(network, condition, longest, window, config.guidance) if longest > window else _short(
        network, condition, mask, config.guidance)  # fmt: skip
    guide, overwrite = (None, None) if constraints is None else hooks(constraints, network, lengths.tolist())
    with fast_inference(device):
        draws, settings = torch.Generator(device).manual_seed(config.seed), SamplerConfig(config.method, config.steps)
        out = sample(denoise, x, network.schedule, settings, generator=draws, hooks=Hooks(guide, overwrite))
    return [network.restore(row[:n].float()) for row, n in zip(out, lengths.tolist(), strict=True)]


def _short(network: Generator, condition: Condition, mask: Tensor, guidance: float) -> Denoise:
    if guidance == 1:
        return lambda x, t: network(x, t, condition, mask)
    both, twice = condition.cat(condition.without_text()), torch.cat([mask, mask])
    return batched_guidance(lambda x, t: network(x, t, both, twice), guidance)


def _long(network: Generator, condition: Condition, frames: int, window: int, guidance: float) -> Denoise:
    """Overlapping windows of one text, cross-faded in every denoising step."""
    windows = overlapping_windows(frames, window, OVERLAP)
    repeated = Condition(*(getattr(condition, n).expand(len(windows), *[-1] * (getattr(condition, n).dim() - 1))
                           for n in ("tokens", "mask", "sentence")))  # fmt: skip
    lengths = torch.tensor([w.stop - w.start for w in windows])
    mask = torch.arange(int(lengths.max()))[None] < lengths[:, None]
    return windowed(_short(network, repeated, mask.to(condition.mask.device), guidance), windows)
