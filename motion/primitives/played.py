"""A score played live: the tracks of a timeline (STMC) as the voices of a stream."""

from __future__ import annotations

from collections.abc import Iterator

from laban.timeline import PARTS, Timeline
from models.representation.primitive import FUTURE
from models.text.parts import explain
from motion.primitives.frames import FPS, Frame
from motion.primitives.stream import MotionStream, Voice
from motion.prompts import Staged, stage


def play(stream: MotionStream, timeline: Timeline) -> Iterator[Frame]:
    """Frames of a score from its start to its end, each primitive with the prompts that hold for most of it.

    Parts that the score does not name are found as `laban generate SCORE` finds them. Raises LabanError for scores that
    it would refuse (`motion.prompts.stage`).
    """
    staged = stage(timeline, FPS, lambda texts: [reading.parts for reading in explain(texts)])
    for start in range(0, staged.frames, FUTURE):
        stream.perform(voices_at(staged, min(start + FUTURE // 2, staged.frames - 1)))
        yield from stream.primitive()[: staged.frames - start]


def voices_at(staged: Staged, frame: int) -> tuple[Voice, ...]:
    """The prompts that own body parts at a frame of a staged score."""
    owned: dict[int, list[str]] = {}
    for part in PARTS:
        track = next(t for t in staged.tracks[part] if t.start <= frame < t.stop)
        owned.setdefault(track.prompt, []).append(part)
    texts = {prompt: staged.prompts[prompt].text for prompt in owned}
    return tuple(Voice(texts[prompt], tuple(parts), None, texts[prompt]) for prompt, parts in owned.items())
