"""A score in, one motion out: prompts on many tracks, composed in every denoising step (STMC) or afterwards (SINC).

STMC: Petrovich et al., "Multi-Track Timeline Control for Text-Driven 3D Human Motion Generation", CVPRW 2024; SINC:
Athanasiou et al., ICCV 2023; DiffCollage: Zhang et al., CVPR 2023.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from laban.errors import LabanError
from laban.timeline import Timeline
from models.body.cleanup import clean_up
from models.devices import fast_inference, pick_device
from models.diffusion.denoiser import Condition
from models.diffusion.sampler import Denoise, SamplerConfig, Window, sample, windowed
from models.motion import Motion
from models.representation import rifke
from models.text.known import KnownActions, load_known
from models.text.parts import body_parts
from motion.generate import FPS, LONGEST, OVERLAP, GenerateConfig, noise_of, to_motion, window_of
from motion.generator import Generator, load_generator
from motion.prompts import PartsOf, Staged, stage
from motion.windows import METHODS, Limits, Method, Piece, overlapping_windows, pieces, retold

INDEPENDENT = ("sinc", "sinc-lerp")
ROWS = 96
"""Windows that go through the network at once, at most; more are taken in turns, so that memory stays bounded."""


@dataclass(frozen=True)
class Control:
    """How a score is turned into windows; `AS_PUBLISHED` has STMC's own settings."""

    method: Method = "stmc"
    overlap: float = 0.5
    """Seconds that neighbours on a track share around their boundary."""
    least: float = 2.0
    """Seconds that the network sees at least: shorter windows grow on both sides, and only their own part counts."""
    idle: float = 1.0
    """Seconds without any prompt from which on somebody idles; shorter gaps are bridged."""
    variance_noise: bool = False
    """With the `ddpm` sampler: noise multiplied by the posterior variance, as in STMC's code, not by its root."""

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise LabanError(f"--method {self.method}; accepted: {', '.join(METHODS)}")
        if not 0 <= self.overlap <= 5:
            raise LabanError(f"--overlap {self.overlap:g}; accepted: 0 to 5 seconds")


AS_PUBLISHED = Control(overlap=0.5, least=0.0, variance_noise=True)


@dataclass(frozen=True)
class _Job:
    """One score with its place in the batch: noise, and the windows with the text of each ("": none)."""

    staged: Staged
    pieces: list[Piece]
    noise: Float[Tensor, "frames 205"]


def generate_timelines(
    timelines: Sequence[Timeline], *, checkpoint: str | Path = "research", config: GenerateConfig = GenerateConfig(),
    control: Control = Control(), parts_of: PartsOf = body_parts, progress: Callable[[int], None] | None = None,
) -> list[Motion]:  # fmt: skip
    """One motion at 20 fps for each score, as long as the score, in which every prompt is followed in its time.

    Score i is drawn from `config.seed` + i. `parts_of` infers the body parts of prompts that name none (default:
    `models.text.parts.body_parts`). `progress` is told the number of scores just finished.
    Raises LabanError for a score that one person cannot perform (`motion.prompts.stage`) or above ten minutes.
    """
    for timeline in timelines:
        if timeline.duration > LONGEST:
            raise LabanError(f"the score lasts {timeline.duration:g} s; accepted: up to {LONGEST:g}")
    network = load_generator(checkpoint)
    known = load_known([action for action, _ in network.config.known], network.config.text)
    network = network.to(pick_device(config.device))
    limits = Limits(round(control.overlap * FPS / 2), round(control.least * FPS), window_of(network), OVERLAP)
    jobs = []
    for i, timeline in enumerate(timelines):
        staged = retold(stage(timeline, FPS, parts_of, idle=control.idle), control.method)
        jobs.append(_Job(staged, pieces(staged, control.method, limits), noise_of(config.seed + i, staged.frames)))
    compose = _afterwards if control.method in INDEPENDENT else _every_step
    motions: list[Motion] = []
    for chunk in _chunks(jobs):
        rows = compose(network, known, chunk, config, control)
        found = [to_motion(row, network.rest) for row in rows]
        motions += map(clean_up, found) if config.cleanup else found
        if progress is not None:
            progress(len(chunk))
    return motions


def _chunks(jobs: Sequence[_Job]) -> list[list[_Job]]:
    """Neighbouring scores that fit into one batch together."""
    chunks: list[list[_Job]] = []
    for job in jobs:
        if chunks and sum(2 * len(other.pieces) for other in (*chunks[-1], job)) <= ROWS:
            chunks[-1].append(job)
        else:
            chunks.append([job])
    return chunks


@torch.inference_mode()
def _every_step(
    network: Generator, known: KnownActions, jobs: Sequence[_Job], config: GenerateConfig, control: Control
) -> list[Float[Tensor, "frames 205"]]:
    """STMC: the windows of all scores in one batch, merged into the scores' predictions in every step."""
    windows, texts = [], []
    for row, job in enumerate(jobs):
        for piece in job.pieces:
            for text, share in _guided(job, piece, config.guidance):
                windows.append(Window(piece.start, piece.stop, piece.weight * share, row))
                texts.append(text)
    x = _padded([job.noise for job in jobs], network)
    x0 = _sampled(network, x, _network_over(network, known, windows, texts), config, control)
    return [network.restore(row[: job.staged.frames].float()) for row, job in zip(x0, jobs, strict=True)]


@torch.inference_mode()
def _afterwards(
    network: Generator, known: KnownActions, jobs: Sequence[_Job], config: GenerateConfig, control: Control
) -> list[Float[Tensor, "frames 205"]]:
    """SINC: every prompt denoised to the end by itself, then composited."""
    windows, texts, places = [], [], []
    noise: list[Tensor] = []
    for j, job in enumerate(jobs):
        for prompt in dict.fromkeys(piece.prompt for piece in job.pieces):
            own = [piece for piece in job.pieces if piece.prompt == prompt]
            start, stop = min(p.start for p in own), max(p.stop for p in own)
            for piece, w in zip(own, overlapping_windows(stop - start, window_of(network), OVERLAP), strict=True):
                for text, share in _guided(job, piece, config.guidance):
                    windows.append(Window(w.start, w.stop, w.weight * share, len(noise)))
                    texts.append(text)
            weight = torch.zeros(stop - start, rifke.LAYOUT.features)
            for piece in own:
                weight[piece.start - start : piece.stop - start] += piece.weight
            places.append((j, start, weight))
            noise.append(noise_of(config.seed + j + 7919 * len(noise), stop - start))
    x0 = _sampled(network, _padded(noise, network), _network_over(network, known, windows, texts), config, control)
    merged = [torch.zeros(job.staged.frames, rifke.LAYOUT.features, device=x0.device) for job in jobs]
    for row, (j, start, weight) in zip(x0, places, strict=True):
        merged[j][start : start + len(weight)] += weight.to(x0.device) * network.restore(row[: len(weight)].float())
    return merged


def _guided(job: _Job, piece: Piece, guidance: float) -> list[tuple[str, float]]:
    """The texts that a window goes through the network with, and their shares: u + g (c - u)."""
    if piece.prompt is None:
        return [("", 1.0)]
    text = job.staged.prompts[piece.prompt].text
    return [(text, 1.0)] if guidance == 1 else [(text, guidance), ("", 1 - guidance)]


def _padded(noise: Sequence[Float[Tensor, "_ 205"]], network: Generator) -> Float[Tensor, "rows frames 205"]:
    return torch.nn.utils.rnn.pad_sequence(list(noise), batch_first=True).to(network.mean.device)


def _network_over(network: Generator, known: KnownActions, windows: list[Window], texts: list[str]) -> Denoise:
    """The network over all windows, merged; "" among the texts is no text."""
    device = network.mean.device
    features = known.read([text or "a person" for text in texts])
    asked = Condition(features.tokens.to(device), features.mask.to(device), features.sentence.to(device))
    condition = asked.without_text(torch.tensor([not text for text in texts], device=device))
    lengths = torch.tensor([w.stop - w.start for w in windows], device=device)
    mask = torch.arange(int(lengths.max()), device=device)[None] < lengths[:, None]

    def denoise(x: Tensor, t: Tensor) -> Tensor:
        parts = []
        for rows in torch.arange(len(x), device=device).split(ROWS):
            some = Condition(condition.tokens[rows], condition.mask[rows], condition.sentence[rows])
            parts.append(network(x[rows], t[rows], some, mask[rows]))
        return torch.cat(parts)

    return windowed(denoise, windows)


def _sampled(
    network: Generator, noise: Tensor, denoise: Denoise, config: GenerateConfig, control: Control
) -> Float[Tensor, "rows frames 205"]:
    generator = torch.Generator(noise.device).manual_seed(config.seed)
    settings = SamplerConfig(config.method, config.steps, variance_noise=control.variance_noise)
    with fast_inference(noise.device):
        return sample(denoise, noise, network.schedule, settings, generator=generator)
