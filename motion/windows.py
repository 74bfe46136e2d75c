"""From a staged score to windows of the network, and what the prediction for each weighs at every frame and feature."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from laban.errors import LabanError
from laban.timeline import PARTS
from models.diffusion.sampler import Window
from models.representation import rifke
from motion.prompts import Prompt, Staged, Track

Method = Literal["stmc", "stmc-blend", "sinc-lerp", "sinc", "diffcollage", "single"]
METHODS: tuple[Method, ...] = ("stmc", "stmc-blend", "sinc-lerp", "sinc", "diffcollage", "single")
"""`stmc` and `diffcollage` compose every step, with unconditional windows at the seams; `stmc-blend` cross-fades there
instead; `sinc` denoises each prompt to the end by itself and then cuts, `sinc-lerp` cross-fades; `diffcollage` is one
track of prompts joined by "while", `single` one prompt joined by "then" and "while"."""


def method_named(name: str) -> Method:
    """The method of that name; LabanError when there is none."""
    for method in METHODS:
        if method == name:
            return method
    raise LabanError(f"--method {name}; accepted: {', '.join(METHODS)}")


FADING = ("stmc-blend", "sinc-lerp")


@dataclass(frozen=True)
class Piece:
    """A window of the network over frames [start, stop): what its prediction for `prompt` (None: no text) weighs."""

    prompt: int | None
    start: int
    stop: int
    weight: Float[Tensor, "frames 205"]


@dataclass(frozen=True)
class Limits:
    """In frames: half of what neighbours share, the shortest and the longest window, and the longest ones' overlap."""

    half: int
    least: int
    longest: int
    shared: int


def retold(staged: Staged, method: Method) -> Staged:
    """The staging of the baselines that know no tracks: one prompt at a time, or one for everything."""
    if method not in ("diffcollage", "single"):
        return staged
    edges = sorted({edge for own in staged.tracks.values() for t in own for edge in (t.start, t.stop)})
    told = []
    for start, stop in zip(edges, edges[1:], strict=False):
        base = next(t.prompt for t in staged.tracks["legs"] if t.start <= start < t.stop)
        active = {t.prompt for own in staged.tracks.values() for t in own if t.start <= start < t.stop}
        told.append((start, stop, (base, *sorted(active - {base}))))
    if method == "diffcollage":
        prompts = [Prompt(_joined(staged, p, " while "), a, b, PARTS, staged.prompts[p[0]].segment) for a, b, p in told]
        tracks = tuple(Track(a, b, i) for i, (a, b, _) in enumerate(told))
        return replace(staged, prompts=tuple(prompts), tracks=dict.fromkeys(PARTS, tracks))
    bases = list(dict.fromkeys(p[0] for _, _, p in told))
    others = list(dict.fromkeys(i for _, _, p in told for i in p[1:] if i not in bases))
    text = _joined(staged, bases, " and then ") + (" while " + _joined(staged, others, " and ") if others else "")
    prompt = Prompt(text, 0, staged.frames, PARTS, 0)
    return Staged(staged.frames, (prompt,), dict.fromkeys(PARTS, (Track(0, staged.frames, 0),)), {})


def _joined(staged: Staged, prompts: Iterable[int], word: str) -> str:
    texts = [staged.prompts[i].text for i in prompts]
    first, *rest = dict.fromkeys(texts)
    return word.join((first, *(text.removeprefix("a person ") for text in rest)))


def pieces(staged: Staged, method: Method, limits: Limits) -> list[Piece]:
    """All windows of a score. Their weights sum to one at every frame and feature.

    With seams (DiffCollage, Zhang et al. 2023, eq. 9): prompts grown by `half` on both sides weigh 1 and the
    unconditional windows over what two of them share weigh -1. With fading: linear ramps over the same frames.
    """
    shares: dict[int | tuple[int, int], list[_Share]] = {}
    for part, track in staged.tracks.items():
        for own, share in zip(track, _shares(track, part, staged, method, limits.half), strict=True):
            shares.setdefault(own.prompt, []).append(share)
        for own in track[:-1] if method not in ("sinc", *FADING) else ():
            half = limits.half + staged.bridges.get(own.stop, 0)
            first, last = max(0, own.stop - half), min(staged.frames, own.stop + half)
            if last > first:
                shares.setdefault((first, last), []).append(_Share(part, first, -torch.ones(last - first)))
    found = (_cut(None if isinstance(key, tuple) else key, own, staged.frames, limits) for key, own in shares.items())
    return [piece for own in found for piece in own]


@dataclass(frozen=True)
class _Share:
    """What one part's columns weigh from frame `start` on."""

    part: str
    start: int
    weight: Float[Tensor, " frames"]


def _shares(track: Sequence[Track], part: str, staged: Staged, method: Method, half: int) -> list[_Share]:
    """What each owner's prediction weighs over time, before seams are subtracted."""
    shares, fades = [], method in FADING and (half > 0 or bool(staged.bridges))
    for own in track:
        before, after = (
            0 if method == "sinc" else half + staged.bridges.get(edge, 0) for edge in (own.start, own.stop)
        )
        start, stop = max(0, own.start - before), min(staged.frames, own.stop + after)
        weight = torch.ones(stop - start)
        if fades:
            frame = torch.arange(start, stop) + 0.5
            if own.start > 0 and before > 0:
                weight = ((frame - own.start + before) / (2 * before)).clamp(0, 1)
            if own.stop < staged.frames and after > 0:
                weight = torch.minimum(weight, ((own.stop + after - frame) / (2 * after)).clamp(0, 1))
        shares.append(_Share(part, start, weight))
    if not fades:
        return shares
    total = torch.zeros(staged.frames)
    for share in shares:
        total[share.start : share.start + len(share.weight)] += share.weight
    return [replace(s, weight=s.weight / total[s.start : s.start + len(s.weight)]) for s in shares]


def _cut(prompt: int | None, shares: Sequence[_Share], frames: int, limits: Limits) -> list[Piece]:
    """Windows over where something weighs anything, none too short or too long for the network."""
    start, stop = min(s.start for s in shares), max(s.start + len(s.weight) for s in shares)
    least = min(limits.least, frames)
    if stop - start < least:
        start = min(max(0, start - (least - stop + start) // 2), frames - least)
        stop = start + least
    weight = torch.zeros(stop - start, rifke.LAYOUT.features)
    for share in shares:
        own = slice(share.start - start, share.start - start + len(share.weight))
        weight[own, list(rifke.LAYOUT.parts[share.part])] += share.weight[:, None]
    windows = overlapping_windows(stop - start, limits.longest, limits.shared)
    return [Piece(prompt, start + w.start, start + w.stop, weight[w.start : w.stop] * w.weight) for w in windows]


def overlapping_windows(frames: int, window: int, overlap: int) -> list[Window]:
    """Equal windows of at most `window` frames that share about `overlap`, with linear weights that sum to one."""
    count = max(1, math.ceil((frames - overlap) / (window - overlap)))
    starts = [round(k * (frames - window) / max(1, count - 1)) for k in range(count)] if count > 1 else [0]
    ramps = torch.zeros(count, frames)
    for k, start in enumerate(starts):
        stop = min(frames, start + window)
        position = torch.arange(start, stop, dtype=torch.float32)
        rising = torch.ones_like(position) if k == 0 else (position - start + 1) / (overlap + 1)
        falling = torch.ones_like(position) if k == count - 1 else (stop - position) / (overlap + 1)
        ramps[k, start:stop] = torch.minimum(rising, falling).clamp(max=1)
    ramps = ramps / ramps.sum(0)
    return [
        Window(s, min(frames, s + window), ramps[k, s : min(frames, s + window), None]) for k, s in enumerate(starts)
    ]
