"""A score in, one motion out: prompts on many tracks, composed in every denoising step (STMC) or afterwards (SINC).

STMC: Petrovich et al., "Multi-Track Timeline Control for Text-Driven 3D Human Motion Generation", CVPRW 2024; SINC:
Athanasiou et al., ICCV 2023; DiffCollage: Zhang et al., CVPR 2023.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from laban.errors import LabanError
from laban.timeline import PARTS, Timeline
from models.body.skeleton import JOINT
from models.devices import fast_inference, pick_device
from models.diffusion.denoiser import Condition
from models.diffusion.sampler import Denoise, Guide, Hooks, Overwrite, SamplerConfig, Window, sample, windowed
from models.motion import Motion
from models.representation import rifke
from models.text.known import KnownActions, load_known
from models.text.parts import body_parts
from motion.candidates import Rating, rated
from motion.constraints import Constraints, check_reach
from motion.enforce import enforce
from motion.generate import (
    BATCH,
    FPS,
    LONGEST,
    OVERLAP,
    ROUNDS,
    STRIDE,
    GenerateConfig,
    finished,
    noise_of,
    to_motion,
    window_of,
)
from motion.generator import Generator, load_generator
from motion.metrics import TOE_CLEARANCE
from motion.prompts import PartsOf, Staged, stage
from motion.steer import hooks
from motion.windows import Limits, Method, Piece, overlapping_windows, pieces, retold

INDEPENDENT = ("sinc", "sinc-lerp")
REDRAWN = ("stmc", "stmc-blend")
"""Methods whose prompts are drawn again in place where they fail; the others are baselines."""
APART = 7919
"""Between the seeds of one score's prompts."""
ROWS = 96
"""Windows that go through the network at once, at most; more are taken in turns, so that memory stays bounded."""


@dataclass(frozen=True)
class Control:
    """How a score is turned into windows; `AS_PUBLISHED` has STMC's own settings."""

    method: Method = "stmc"
    overlap: float = 1.0
    """Seconds that neighbours on a track share around their boundary."""
    least: float = 1.0
    """Seconds that the network sees at least: shorter windows grow on both sides, and only their own part counts."""
    idle: float = 1.0
    """Seconds without any prompt from which on somebody idles; shorter gaps are bridged."""
    variance_noise: bool = False
    """With the `ddpm` sampler: noise multiplied by the posterior variance, as in STMC's code, not by its root."""

    def __post_init__(self) -> None:
        if not 0 <= self.overlap <= 5:
            raise LabanError(f"--overlap {self.overlap:g}; accepted: 0 to 5 seconds")


AS_PUBLISHED = Control(overlap=0.5, least=0.0, variance_noise=True)


@dataclass(frozen=True)
class _Job:
    """One score to be performed, in windows."""

    staged: Staged
    pieces: list[Piece]
    limits: Limits
    seed: int
    constraints: Constraints | None = None


def generate_timelines(
    timelines: Sequence[Timeline], *, checkpoint: str | Path = "research", config: GenerateConfig = GenerateConfig(),
    control: Control = Control(), parts_of: PartsOf = body_parts, constraints: Constraints | None = None,
    progress: Callable[[int], None] | None = None,
) -> list[Motion]:  # fmt: skip
    """One motion at 20 fps for each score, as long as the score, in which every prompt is followed in its time.

    Score i is drawn from `config.seed` + i. `parts_of` infers the body parts of prompts that name none (default:
    `models.text.parts.body_parts`). Every motion meets `constraints`; SINC, which denoises each prompt by itself, hears
    of them only afterwards. `progress` is told the number of scores just finished.
    Raises LabanError for a score that one person cannot perform (`motion.prompts.stage`) or above ten minutes, and for
    constraints that no body can meet in that time.
    """
    if not 1 <= config.candidates <= BATCH:
        raise LabanError(f"--candidates {config.candidates}; accepted: 1 to {BATCH}")
    for timeline in timelines:
        if timeline.duration > LONGEST:
            raise LabanError(f"the score lasts {timeline.duration:g} s; accepted: up to {LONGEST:g}")
    network, constraints = load_generator(checkpoint), constraints or None
    if constraints is not None:
        for timeline in timelines:
            check_reach(constraints, timeline.duration, network.rest.double().numpy())
    known = load_known([action for action, _ in network.config.known], network.config.text)
    network = network.to(pick_device(config.device))
    limits = Limits(round(control.overlap * FPS / 2), round(control.least * FPS), window_of(network), OVERLAP)
    jobs = []
    for i, timeline in enumerate(timelines):
        staged = retold(stage(timeline, FPS, parts_of, idle=control.idle), control.method)
        jobs.append(_Job(staged, pieces(staged, control.method, limits), limits, config.seed + i, constraints))
    compose = _afterwards if control.method in INDEPENDENT else _every_step
    motions: list[Motion] = []
    for chunk in _chunks(jobs):
        rows = compose(network, known, chunk, config, control)
        if config.candidates > 1 and control.method in REDRAWN:
            rows = _redrawn(network, known, chunk, rows, config, control)
        found = [to_motion(network.restore(row), network.rest) for row in rows]
        if constraints is not None:
            found = [enforce(motion, constraints) for motion in found]
        motions += [finished(motion, config, constraints) for motion in found]
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
            asked = None if piece.prompt is None else job.staged.prompts[piece.prompt].text
            for text, share in _guided(asked, config.guidance):
                windows.append(Window(piece.start, piece.stop, piece.weight * share, row))
                texts.append(text)
    x = _padded([noise_of(job.seed, job.staged.frames) for job in jobs], network)
    constraints, lengths = jobs[0].constraints, [job.staged.frames for job in jobs]
    guide, overwrite = (None, None) if constraints is None else hooks(constraints, network, lengths)
    denoise = _network_over(network, known, windows, texts)
    x0 = _sampled(network, x, denoise, config, control, overwrite, guide)
    return [row[: job.staged.frames].float() for row, job in zip(x0, jobs, strict=True)]


@dataclass(frozen=True)
class _Solo:
    """One prompt by itself: frames [start, start + len(weight)) of a score, and what it weighs in them."""

    job: int
    prompt: int
    start: int
    weight: Float[Tensor, "frames 205"]


def _solos(jobs: Sequence[_Job], parts: Sequence[Sequence[Piece]]) -> list[_Solo]:
    """The prompts of `parts` (each job's pieces without seams), each with what its windows weigh together."""
    found = []
    for j, own in enumerate(parts):
        for prompt in dict.fromkeys(piece.prompt for piece in own):
            assert prompt is not None  # only seams have none
            mine = [piece for piece in own if piece.prompt == prompt]
            start, stop = min(p.start for p in mine), max(p.stop for p in mine)
            weight = torch.zeros(stop - start, rifke.LAYOUT.features)
            for piece in mine:
                weight[piece.start - start : piece.stop - start] += piece.weight
            found.append(_Solo(j, prompt, start, weight))
    return found


def _alone(
    network: Generator, known: KnownActions, jobs: Sequence[_Job], solos: Sequence[_Solo], noise: Sequence[Tensor],
    config: GenerateConfig, control: Control, overwrite: Overwrite | None = None,
) -> Float[Tensor, "solos frames 205"]:  # fmt: skip
    """Each prompt denoised to the end by itself, in windows where it is long; normalised, padded."""
    windows, texts = [], []
    for row, solo in enumerate(solos):
        for w in overlapping_windows(len(solo.weight), window_of(network), OVERLAP):
            for text, share in _guided(jobs[solo.job].staged.prompts[solo.prompt].text, config.guidance):
                windows.append(Window(w.start, w.stop, w.weight * share, row))
                texts.append(text)
    denoise = _network_over(network, known, windows, texts)
    return _sampled(network, _padded(noise, network), denoise, config, control, overwrite)


@torch.inference_mode()
def _afterwards(
    network: Generator, known: KnownActions, jobs: Sequence[_Job], config: GenerateConfig, control: Control
) -> list[Float[Tensor, "frames 205"]]:
    """SINC: every prompt denoised to the end by itself, then composited."""
    solos = _solos(jobs, [job.pieces for job in jobs])
    noise = [noise_of(jobs[s.job].seed + APART * (1 + s.prompt), len(s.weight)) for s in solos]
    x0 = _alone(network, known, jobs, solos, noise, config, control)
    merged = [torch.zeros(job.staged.frames, rifke.LAYOUT.features, device=x0.device) for job in jobs]
    for row, solo in zip(x0, solos, strict=True):
        merged[solo.job][solo.start : solo.start + len(solo.weight)] += solo.weight.to(x0) * row[: len(solo.weight)]
    return merged


@torch.inference_mode()
def _redrawn(
    network: Generator, known: KnownActions, jobs: Sequence[_Job], rows: list[Float[Tensor, "frames 205"]],
    config: GenerateConfig, control: Control,
) -> list[Float[Tensor, "frames 205"]]:  # fmt: skip
    """Prompts in which another action than the one meant is recognised are drawn again in place, `candidates` at a
    time, while everything around them stays as it is; the best draw is kept.
    """
    faded = [pieces(job.staged, "stmc-blend", replace(job.limits, least=0)) for job in jobs]
    solos = [s for s in _solos(jobs, faded) if jobs[s.job].staged.prompts[s.prompt].segment is not None]
    rating = dict(enumerate(_rated(network, known, jobs, solos, [_part(rows, solo) for solo in solos])))
    for turn in range(1, ROUNDS):
        chosen = _apart(solos, [i for i in rating if not rating[i].sure])
        for some in _split(chosen, ROWS // (2 * config.candidates)):
            tries = [solos[i] for i in some for _ in range(config.candidates)]
            seeds = [jobs[solos[i].job].seed + APART * (1 + solos[i].prompt) + STRIDE * (turn * config.candidates + k)
                     for i in some for k in range(config.candidates)]  # fmt: skip
            noise = [noise_of(seed, len(solo.weight)) for seed, solo in zip(seeds, tries, strict=True)]
            keep = _padded([1 - solo.weight for solo in tries], network)
            fixed = _padded([_part(rows, solo).cpu() for solo in tries], network)
            drawn = _alone(network, known, jobs, tries, noise, config, control, _kept(keep, fixed))
            cut = [row[: len(solo.weight)] for row, solo in zip(drawn, tries, strict=True)]
            found = _rated(network, known, jobs, tries, cut)
            for n, i in enumerate(some):
                own = range(n * config.candidates, (n + 1) * config.candidates)
                best = max(own, key=lambda k: found[k].score)
                if found[best].score > rating[i].score:
                    rating[i] = found[best]
                    _part(rows, solos[i]).copy_(cut[best])
        if not chosen:
            break
    return rows


def _kept(keep: Tensor, fixed: Tensor) -> Overwrite:
    """What is already there stays, as far as `keep` says."""
    return lambda x0, _: x0 + keep * (fixed - x0)


def _part(rows: Sequence[Tensor], solo: _Solo) -> Float[Tensor, "frames 205"]:
    return rows[solo.job][solo.start : solo.start + len(solo.weight)]


def _apart(solos: Sequence[_Solo], unsure: Sequence[int]) -> list[int]:
    """Of the prompts to be drawn again, the first ones that do not touch one another in time."""
    chosen: list[int] = []
    for i in unsure:
        own, start = solos[i], solos[i].start
        others = [solos[k] for k in chosen if solos[k].job == own.job]
        if all(o.start + len(o.weight) <= start or start + len(own.weight) <= o.start for o in others):
            chosen.append(i)
    return chosen


def _rated(
    network: Generator, known: KnownActions, jobs: Sequence[_Job], solos: Sequence[_Solo], rows: Sequence[Tensor]
) -> list[Rating]:
    """How well each prompt's own frames and parts show what it asks for."""
    motions, texts = [], []
    for solo, row in zip(solos, rows, strict=True):
        prompt = jobs[solo.job].staged.prompts[solo.prompt]
        own = slice(prompt.start - solo.start, prompt.stop - solo.start)
        features, weight = network.restore(row[own].float()).cpu(), solo.weight[own]
        motions.append(to_motion(isolated(features, weight, network), network.rest))
        texts.append(prompt.text)
    return rated(motions, texts, known, slots=True) if motions else []


def isolated(
    features: Float[Tensor, "frames 205"], weight: Float[Tensor, "frames 205"], network: Generator
) -> Float[Tensor, "frames 205"]:
    """The parts that a prompt owns on an otherwise standing body, so that they can be recognised by themselves."""
    still = _standing(network.rest.cpu())
    shown = features.clone()
    for part in PARTS:
        columns = list(rifke.LAYOUT.parts[part])
        share = weight[:, columns[:1]]
        if float(share.min()) < 0.5:  # owned in part, or not at all
            shown[:, columns] = share * features[:, columns] + (1 - share) * still[columns]
    return shown


def _standing(rest: Float[Tensor, "55 3"]) -> Float[Tensor, " 205"]:
    """Somebody upright with hanging arms."""
    rotations = np.broadcast_to(np.eye(3), (2, 22, 3, 3)).copy()
    for joint, angle in (("left_shoulder", -1.2), ("right_shoulder", 1.2)):
        rotations[:, JOINT[joint], :2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    root = np.broadcast_to([0.0, -float(rest[:22, 1].min()) + TOE_CLEARANCE, 0.0], (2, 3))
    return torch.from_numpy(rifke.encode(rotations, root, rest.double().numpy())[0])


def _split(items: Sequence[int], size: int) -> list[Sequence[int]]:
    return [items[k : k + size] for k in range(0, len(items), size)]


def _guided(text: str | None, guidance: float) -> list[tuple[str, float]]:
    """The texts ("" is none) that a window goes through the network with, and their shares: u + g (c - u)."""
    if text is None:
        return [("", 1.0)]
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
    network: Generator, noise: Tensor, denoise: Denoise, config: GenerateConfig, control: Control,
    overwrite: Overwrite | None = None, guide: Guide | None = None,
) -> Float[Tensor, "rows frames 205"]:  # fmt: skip
    generator = torch.Generator(noise.device).manual_seed(config.seed)
    settings = SamplerConfig(config.method, config.steps, variance_noise=control.variance_noise)
    with fast_inference(noise.device):
        return sample(denoise, noise, network.schedule, settings, generator=generator,
                      hooks=Hooks(guide, overwrite))  # fmt: skip
