"""A stream as it is performed: its clock, the words that reach it from all sides, and who gets its frames."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np

from laban.errors import LabanError
from models.representation.primitive import FUTURE
from motion.primitives.frames import FPS, Frame
from motion.streaming.script import Script

AHEAD = 4
"""Frames kept ready ahead of time: a new primitive is computed while these are shown, which hides up to 0.13 s."""
LATE = 0.25
"""Seconds up to which a late stream catches up; what is later than that is not made up for."""
MOST_TEXT = 300
"""Characters that may be said at once."""


@runtime_checkable
class Understood(Protocol):
    """What a stream answers to words (`motion.primitives.stream.Said`)."""

    @property
    def text(self) -> str:
        """As understood."""

    @property
    def leaning(self) -> str:
        """One line: the known actions it leans on."""

    @property
    def sure(self) -> bool:
        """False where nothing known is near."""

    @property
    def seconds(self) -> float | None:
        """How long it goes on; None until something else is said."""


@runtime_checkable
class Stream(Protocol):
    """Frames without end, and words that steer them (`motion.primitives.stream.MotionStream`)."""

    def say(self, text: str) -> Understood:
        """Takes effect at the next primitive."""

    def __next__(self) -> Frame: ...


@dataclass(frozen=True)
class Heard:
    """Something that was said: by whom, and what the stream made of it."""

    by: str
    said: Understood

    def line(self) -> str:
        """For a person to read."""
        length = "" if self.said.seconds is None else f"; ends by itself after {self.said.seconds:g} s"
        doubt = "" if self.said.sure else "nothing known is near; "
        return f"{self.said.text}: {doubt}{self.said.leaning}{length}"


class Pace:
    """When each frame is due: never ahead of a clock of 30 frames a second.

    A frame that comes late is shown at once, and so are those after it until the clock is caught up with; when more
    than `LATE` has been lost, the clock is put back instead, so that nothing is ever shown in a hurry.
    """

    def __init__(self, now: float, fps: float = FPS) -> None:
        self._start, self._fps = now, fps
        self.lost = 0.0
        """Seconds that the clock was put back."""

    def wait(self, index: int, now: float) -> float:
        """Seconds until frame `index` is due: 0 when it is late."""
        due = self._start + index / self._fps
        if now - due > LATE:
            self.lost += now - due
            self._start += now - due
            return 0.0
        return max(0.0, due - now)


@dataclass(frozen=True)
class Speed:
    """How a performance goes: frames so far, frames a second over the last two seconds, seconds lost to lateness."""

    frames: int
    fps: float
    lost: float


class Session:
    """One performance of a stream.

    `sinks` get every frame, in order, on the thread that runs it; `listeners` everything that is said. Words may come
    from any thread. `frames` None: without end. A script's words are said exactly where their primitives begin.
    """

    def __init__(
        self, stream: Stream, *, script: Script | None = None, frames: int | None = None, fast: bool = False
    ) -> None:
        self._stream, self._cues, self._frames, self.fast = stream, script.cues() if script else {}, frames, fast
        self.sinks: list[Callable[[Frame], None]] = []
        self.listeners: list[Callable[[Heard], None]] = []
        self._saying, self._ended = threading.Lock(), threading.Event()
        self._times: list[float] = []
        self._count, self._lost = 0, 0.0

    def say(self, text: str, by: str = "") -> Understood:
        """Hand words to the stream and tell the listeners; LabanError for words that are none, or too many."""
        text = " ".join("".join(c if c.isprintable() else " " for c in text).split())
        if not text:
            raise LabanError("found nothing said; accepted: words, such as 'walk' or 'turn left'")
        if len(text) > MOST_TEXT:
            raise LabanError(f"found {len(text)} characters said at once; accepted: up to {MOST_TEXT}")
        with self._saying:
            heard = Heard(by, self._stream.say(text))
            for listener in tuple(self.listeners):
                listener(heard)
        return heard.said

    def stop(self) -> None:
        """End the performance after the present frame; from any thread or signal handler."""
        self._ended.set()

    @property
    def ended(self) -> bool:
        """Whether it has come to its end, or was told to."""
        return self._ended.is_set()

    @property
    def speed(self) -> Speed:
        """How it goes."""
        recent = [t for t in tuple(self._times) if t > time.monotonic() - 2]
        rate = (len(recent) - 1) / (recent[-1] - recent[0]) if len(recent) > 1 and recent[-1] > recent[0] else 0.0
        return Speed(self._count, rate, self._lost)

    def run(self) -> int:
        """Perform to the last frame, to `stop`, or to a failure of the stream, which is raised; the frames shown."""
        frames = self._made() if self.fast else self._ahead()
        pace = Pace(time.monotonic())
        try:
            for frame in frames:
                if not self.fast:
                    now = time.monotonic()
                    pause, self._lost = pace.wait(self._count, now), pace.lost
                    if pause and self._ended.wait(pause):
                        break
                for sink in tuple(self.sinks):
                    sink(frame)
                self._count += 1
                self._times = [*self._times[-2 * round(FPS) :], time.monotonic()]
                if self._ended.is_set():
                    break
        finally:
            self._ended.set()
        return self._count

    def _made(self) -> Iterator[Frame]:
        """Frames as the stream makes them, with the script's words said before the primitives that they drive."""
        made = 0
        while not self._ended.is_set() and (self._frames is None or made < self._frames):
            if made % FUTURE == 0 and made in self._cues:
                self.say(self._cues[made], "script")
            frame = next(self._stream)
            if not (np.isfinite(frame.rotations).all() and np.isfinite(frame.root).all()):
                raise LabanError(f"stream: frame {frame.index} holds a number that is not finite; the stream ends")
            yield frame
            made += 1

    def _ahead(self) -> Iterator[Frame]:
        """`_made` on a thread of its own, `AHEAD` frames ahead at most."""
        ready: queue.Queue[Frame | BaseException | None] = queue.Queue(AHEAD)

        def make() -> None:
            last: BaseException | None = None
            try:
                for frame in self._made():
                    if not _put(ready, frame, self._ended):
                        return
            except BaseException as error:
                last = error
            _put(ready, last, self._ended)

        maker = threading.Thread(target=make, name="stream", daemon=True)
        maker.start()
        try:
            while not self._ended.is_set():
                try:
                    item = ready.get(timeout=0.05)
                except queue.Empty:
                    continue
                if isinstance(item, BaseException):
                    raise item
                if item is None:
                    return
                yield item
        finally:
            self._ended.set()
            maker.join(5.0)


def _put(
    ready: queue.Queue[Frame | BaseException | None], item: Frame | BaseException | None, ended: threading.Event
) -> bool:
    """Wait for room, or for the end: whether the item was taken."""
    while not ended.is_set():
        try:
            ready.put(item, timeout=0.05)
            return True
        except queue.Full:
            continue
    return False
