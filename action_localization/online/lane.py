"""`Lane`: one stream under an online detector: its latest rows, the detector's memory, and what was emitted.

    lane = Lane(network, grid, "camera")
    for rows in source:
        for segment in lane.push(rows):
            print(segment.label, segment.gentime)
    lane.flush()

All state of a stream lies in its lane, so streams never mix; `push_together` runs several as one batch.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32
from numpy import ndarray
from torch import Tensor

from action_localization.spine.detect import features_end
from action_localization.spine.nms import interval_iou
from laban.errors import LabanError
from laban.timeline import FrameGrid, Segment, Timeline
from models.features import Features

Memory = dict[str, Tensor]
"""What a detector remembers of streams by name, streams first; of one stream, without that axis."""


class Guess(NamedTuple):
    """A segment in rows from now (the end of the newest row is 0, the past is negative), its class and score."""

    start: float
    end: float
    label: int
    score: float


@runtime_checkable
class OnlineSystem(Protocol):
    """What a lane asks of a detector; `step` is a function of its arguments alone and takes any number of lanes."""

    classes: tuple[str, ...]
    features: int
    """Width of a row."""
    rows: int
    """How many of the latest rows it looks at."""

    def fresh(self) -> Memory:
        """The memory of one stream before its first row."""
        ...

    def step(
        self, rows: Float[Tensor, "lanes rows features"], real: Bool[Tensor, "lanes rows"], memory: Memory
    ) -> tuple[dict[str, Tensor], Memory]:
        """What is said at the newest row, and the memory after it; `real` is False before a stream's first row."""
        ...

    def decide(self, lane: Lane, out: dict[str, Tensor], *, last: bool = False) -> list[Guess]:
        """What to emit, given what `step` said of this lane; at the `last` moment of a stream, all that is open.

        At that moment `step` has seen a missing row after the newest one.
        """
        ...


@dataclass
class Latency:
    """How long rows took, in seconds; the last ten thousand are kept."""

    rows: int = 0
    total: float = 0.0
    latest: deque[float] = field(default_factory=lambda: deque(maxlen=10_000))

    def add(self, seconds: float) -> None:
        self.rows, self.total = self.rows + 1, self.total + seconds
        self.latest.append(seconds)

    def percentile(self, q: float) -> float:
        """Of the latest rows; NaN before the first one."""
        return float(np.percentile(self.latest, q)) if self.latest else float("nan")


class Lane:
    """A stream: `grid` says where its rows lie in time (its number of frames does not count)."""

    def __init__(self, network: OnlineSystem, grid: FrameGrid, name: str = "stream") -> None:
        self.network, self.grid, self.name = network, grid, name
        self.count = 0
        """Rows that came."""
        self.emitted: list[Segment] = []
        self.latency = Latency()
        self.lag = 0.0
        """Seconds after a row's end at which it becomes known, as the maker of the rows says; part of gentime."""
        self.over = False
        self.memory = network.fresh()
        self._ring = torch.zeros(max(2 * network.rows, network.rows + 16), network.features)
        self._at = network.rows

    @property
    def rows(self) -> Float[Tensor, "rows features"]:
        """The latest rows, the newest last; zeros before the first one."""
        return self._ring[self._at - self.network.rows : self._at]

    @property
    def real(self) -> Bool[Tensor, " rows"]:
        """Which of `rows` there are."""
        return torch.arange(self.network.rows) >= self.network.rows - self.count

    @property
    def now(self) -> float:
        """Seconds at which the newest row's window ends; 0 before the first one."""
        return self.end_of(self.count - 1) if self.count else 0.0

    def end_of(self, row: int) -> float:
        """Seconds at which the window of a row ends, counted from 0."""
        return max(0.0, 2 * self.grid.centre(row) - self.grid.start(row))

    def push(self, rows: Float32[ndarray, "new width"] | Features) -> list[Segment]:
        """Take rows as they come; returns what they made known, which is never taken back.

        LabanError, with nothing taken, for another width, another grid than before, rows that are not finite, or a
        stream that was flushed. The stream can go on after that: `skip` the bad rows, or push them repaired.
        """
        return push_together([self], [rows])[0]

    def skip(self, rows: int) -> list[Segment]:
        """Let the time of so many missing rows pass, as if the newest one lasted."""
        newest = self.rows[-1:].numpy() if self.count else np.zeros((1, self.network.features), np.float32)
        return self.push(np.repeat(newest, rows, 0))

    def flush(self) -> list[Segment]:
        """The stream is over: emits what is still open, and lets nothing more in. A second flush says nothing."""
        if self.over or not self.count:
            self.over = True
            return []
        memory = {name: value[None] for name, value in self.memory.items()}
        with torch.inference_mode():
            out, _ = self.network.step(*ended(self.rows[None], self.real[None]), memory)
            found = self.settle({k: v[0] for k, v in out.items()}, self.memory, last=True)
        self.over = True
        return found

    def timeline(self) -> Timeline:
        """Everything emitted so far, over the seconds that passed."""
        end = features_end(FrameGrid(self.grid.fps, self.count, self.grid.stride, self.grid.window, self.grid.offset))
        return Timeline(tuple(self.emitted), end)

    def seconds(self, rows: float) -> float:
        """The moment so many rows from now."""
        return self.grid.centre(self.count - 1) + (rows + 0.5) * self.grid.stride / self.grid.fps

    def rows_of(self, seconds: float) -> float:
        """A moment in rows from now: the inverse of `seconds`."""
        return (seconds - self.grid.centre(self.count - 1)) * self.grid.fps / self.grid.stride - 0.5

    def unsaid(self, guesses: Sequence[Guess], overlap: float) -> list[Guess]:
        """Causal non-maximum suppression: the guesses, best first, of which nothing alike (IoU above `overlap`, same
        class) has been emitted before or stands before them."""
        kept: list[Guess] = []
        for guess in sorted(guesses, key=lambda one: -one.score):
            name, latest = self.network.classes[guess.label], self.seconds(guess.start)
            said = [(s.start, s.end) for s in self.emitted if s.label == name and s.end > latest]
            said += [(self.seconds(k.start), self.seconds(k.end)) for k in kept if k.label == guess.label]
            if said:
                spans = np.array(said)
                iou = interval_iou(np.array([latest]), np.array([self.seconds(guess.end)]), spans[:, 0], spans[:, 1])
                if iou.max() > overlap:
                    continue
            kept.append(guess)
        return kept

    def take(self, row: Tensor) -> None:
        """Put a row into the ring; for `push_together` and replays alone."""
        if self._at == len(self._ring):
            keep = self.network.rows - 1
            self._ring[:keep] = self._ring[self._at - keep :].clone() if keep else self._ring[:0]
            self._at = keep
        self._ring[self._at] = row
        self._at += 1
        self.count += 1

    def settle(self, out: dict[str, Tensor], memory: Memory, *, last: bool = False) -> list[Segment]:
        """Remember and decide; for `push_together` and replays alone."""
        self.memory = memory
        return self._emit(self.network.decide(self, out, last=last))

    def _emit(self, guesses: Sequence[Guess]) -> list[Segment]:
        found = []
        for guess in guesses:
            start, end = max(self.seconds(guess.start), 0.0), min(self.seconds(guess.end), self.now)
            if end > start:
                label = self.network.classes[guess.label]
                found.append(Segment(start, end, label, score=float(guess.score), gentime=self.now + self.lag))
        self.emitted += found
        return found

    def checked(self, given: Float32[ndarray, "new width"] | Features) -> Tensor:
        """Rows as a tensor; LabanError as `push` has it."""
        first = self.count
        if self.over:
            raise LabanError(f"stream {self.name}: was flushed after row {first}; accepted: a new lane")
        if isinstance(given, Features):
            ours, theirs = (tuple(getattr(g, n) for n in ("fps", "stride", "window")) for g in (self.grid, given.grid))
            if ours != theirs:
                rate, found = self.grid.fps / self.grid.stride, given.grid.fps / given.grid.stride
                raise LabanError(f"stream {self.name}: rows from {first} on come at {found:g} a second (fps, stride, "
                                 f"window {theirs}); accepted: {rate:g} as before {ours}")  # fmt: skip
            given = given.values
        values = np.ascontiguousarray(given, np.float32)
        if values.ndim != 2 or values.shape[1] != self.network.features:
            width = values.shape[-1] if values.ndim == 2 else f"shape {values.shape}"
            raise LabanError(f"stream {self.name}: rows from {first} on are {width} wide; accepted: "
                             f"{self.network.features}, as the detector was trained")  # fmt: skip
        bad = np.flatnonzero(~np.isfinite(values).all(1))
        if len(bad):
            raise LabanError(f"stream {self.name}: row {first + bad[0]} holds NaN or infinity; no row of this push was "
                             "taken (skip it or repair it)")  # fmt: skip
        return torch.from_numpy(values)


def push_together(
    lanes: Sequence[Lane], blocks: Sequence[Float32[ndarray, "new width"] | Features]
) -> list[list[Segment]]:
    """Push a block of rows into each lane, all lanes of one detector as one batch; blocks may differ in length.

    The result is that of pushing them one by one, up to the rounding of batched arithmetic. LabanError, with nothing
    taken anywhere, as `Lane.push` has it.
    """
    checked = [lane.checked(block) for lane, block in zip(lanes, blocks, strict=True)]
    found: list[list[Segment]] = [[] for _ in lanes]
    with torch.inference_mode():
        for row in range(max((len(block) for block in checked), default=0)):
            begun = time.perf_counter()
            live = [i for i, block in enumerate(checked) if row < len(block)]
            for i in live:
                lanes[i].take(checked[i][row])
            network = lanes[live[0]].network
            memory = stacked([lanes[i].memory for i in live])
            rows, real = _stack([lanes[i].rows for i in live]), _stack([lanes[i].real for i in live])
            out, memory = network.step(rows, real, memory)
            for place, i in enumerate(live):
                said = {name: value[place] for name, value in out.items()}
                found[i] += lanes[i].settle(said, {name: value[place] for name, value in memory.items()})
            seconds = time.perf_counter() - begun
            for i in live:
                lanes[i].latency.add(seconds)
    return found


def ended(
    rows: Float[Tensor, "lanes rows features"], real: Bool[Tensor, "lanes rows"]
) -> tuple[Float[Tensor, "lanes rows features"], Bool[Tensor, "lanes rows"]]:
    """The latest rows of a stream that is over: moved by one, with a missing row after the newest."""
    blank = torch.zeros_like(rows[:, :1])
    return torch.cat([rows[:, 1:], blank], 1), torch.cat([real[:, 1:], torch.zeros_like(real[:, :1])], 1)


def stacked(memories: Sequence[Memory]) -> Memory:
    """Memories of single streams as one batch."""
    return {name: _stack([memory[name] for memory in memories]) for name in memories[0]}


def _stack(values: Sequence[Tensor]) -> Tensor:
    """One beside another; a single one is not copied."""
    return values[0][None] if len(values) == 1 else torch.stack(list(values))


def detect_online(network: OnlineSystem, features: Features, name: str = "stream") -> Timeline:
    """Everything an online detector says of one stream, each segment with its gentime."""
    return detect_together(network, {name: features})[name]


def detect_together(network: OnlineSystem, streams: Mapping[str, Features]) -> dict[str, Timeline]:
    """The same of many streams, side by side in one batch, which is faster."""
    lanes = [Lane(network, features.grid, name) for name, features in streams.items()]
    push_together(lanes, list(streams.values()))
    for lane in lanes:
        lane.flush()
    return {lane.name: lane.timeline() for lane in lanes}
