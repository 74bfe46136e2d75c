"""A score played live: the tracks of a timeline (STMC) as the voices of a stream."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

from laban.timeline import PARTS, Timeline
from models.representation.primitive import FUTURE
from models.text.parts import explain
from motion.primitives.frames import FPS, Frame
from motion.primitives.stream import MotionStream, Said
from motion.primitives.voices import Voice
from motion.prompts import Staged, stage


def play(stream: MotionStream, timeline: Timeline) -> Iterator[Frame]:
    """Frames of a score from its start to its end, each primitive with the prompts that hold for most of it.

    Parts that the score does not name are found as `laban generate SCORE` finds them. Raises LabanError for scores that
    it would refuse (`motion.prompts.stage`).
    """
    return (frame for frames in _primitives(stream, timeline) for frame in frames)


class PlayedScore(Iterator[Frame]):
    """A stream that performs a score first and goes on with its last words; what is said meanwhile takes over."""

    def __init__(self, stream: MotionStream, timeline: Timeline) -> None:
        self._stream, self._frames = stream, deque[Frame]()
        self._score: Iterator[list[Frame]] = _primitives(stream, timeline)

    def say(self, text: str) -> Said:
        """End the score and do this from the next primitive on."""
        self._score = iter(())
        return self._stream.say(text)

    def __next__(self) -> Frame:
        if not self._frames:
            self._frames.extend(next(self._score, ()) or self._stream.primitive())
        return self._frames.popleft()


def _primitives(stream: MotionStream, timeline: Timeline) -> Iterator[list[Frame]]:
    staged = stage(timeline, FPS, lambda texts: [reading.parts for reading in explain(texts)])

    def performed() -> Iterator[list[Frame]]:
        for start in range(0, staged.frames, FUTURE):
            stream.perform(voices_at(staged, min(start + FUTURE // 2, staged.frames - 1)))
            yield stream.primitive()[: staged.frames - start]

    return performed()


def voices_at(staged: Staged, frame: int) -> tuple[Voice, ...]:
    """The prompts that own body parts at a frame of a staged score."""
    owned: dict[int, list[str]] = {}
    for part in PARTS:
        track = next(t for t in staged.tracks[part] if t.start <= frame < t.stop)
        owned.setdefault(track.prompt, []).append(part)
    texts = {prompt: staged.prompts[prompt].text for prompt in owned}
    return tuple(Voice(texts[prompt], tuple(parts), None, texts[prompt]) for prompt, parts in owned.items())
