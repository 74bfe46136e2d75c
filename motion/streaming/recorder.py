"""Recording without end in constant memory: frames go to disk as they come, and nothing is lost when a process dies."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import numpy as np
from jaxtyping import Float32
from numpy import ndarray

from laban.errors import LabanError
from laban.timeline import Segment, Timeline
from models.body.skeleton import NUM_BODY, NUM_JOINTS
from models.motion import Motion
from models.representation.primitive import FUTURE
from motion.primitives.frames import FPS, Frame

VERSION = 1
SUFFIX = ".spool"
NUMBERS = NUM_BODY * 9 + 3
"""Of a frame: 22 local rotation matrices, row by row, and the root; float32, 804 bytes."""
PART = round(30 * 60 * FPS)
"""Frames of one written file at most: half an hour. What is longer is written in parts."""
HEADER, FRAMES, WORDS = "header.json", "frames.f32", "words.jsonl"


class Recorder:
    """Appends frames to a spool, a folder of three files: `header.json`, `frames.f32` and `words.jsonl`.

    Handed to the system after every primitive, so that a killed process loses 8 frames at most. A recorder is a sink
    of a session; `read_spool` reads what is there, while it runs or afterwards.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.frames = folder, 0
        self._text: str | None = None
        self._adding = threading.Lock()
        try:
            folder.parent.mkdir(parents=True, exist_ok=True)
            folder.mkdir()
            header = {"format": "laban stream spool", "version": VERSION, "fps": FPS, "numbers": NUMBERS}
            (folder / HEADER).write_text(json.dumps(header) + "\n", encoding="utf-8")
            self._frames = (folder / FRAMES).open("wb", buffering=FUTURE * NUMBERS * 4 * 2)
            self._words = (folder / WORDS).open("w", encoding="utf-8")
        except OSError as error:
            raise LabanError(f"{folder}: cannot be written ({error.strerror or error})") from error

    def __call__(self, frame: Frame) -> None:
        """Add one frame; after `close` nothing is added."""
        numbers = np.concatenate([frame.rotations.reshape(-1), frame.root]).astype("<f4")
        with self._adding:
            if self._frames.closed:
                return
            try:
                if frame.text != self._text:
                    self._text = frame.text
                    self._words.write(json.dumps({"frame": self.frames, "text": frame.text}) + "\n")
                    self._words.flush()
                self._frames.write(numbers.tobytes())
                self.frames += 1
                if self.frames % FUTURE == 0:
                    self._frames.flush()
            except OSError as error:
                raise LabanError(f"{self.folder}: cannot be written ({error.strerror or error})") from error

    def close(self) -> None:
        """Hand the last frames to the system."""
        with self._adding:
            try:
                self._frames.close()
                self._words.close()
            except OSError as error:
                raise LabanError(f"{self.folder}: cannot be written ({error.strerror or error})") from error

    def __enter__(self) -> Recorder:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


@dataclass(frozen=True)
class Spool:
    """What a spool holds: whole frames on disk, and at which of them the words changed."""

    folder: Path
    frames: int
    words: tuple[tuple[int, str], ...]

    @property
    def seconds(self) -> float:
        """Length of the recording."""
        return self.frames / FPS

    def motion(self, start: int = 0, stop: int | None = None) -> Motion:
        """Frames `start:stop` as a motion."""
        stop = self.frames if stop is None else stop
        numbers: Float32[ndarray, "frames numbers"] = np.fromfile(
            self.folder / FRAMES, "<f4", count=(stop - start) * NUMBERS, offset=start * NUMBERS * 4
        ).reshape(stop - start, NUMBERS)
        rotations = np.broadcast_to(np.eye(3, dtype=np.float32), (1, stop - start, NUM_JOINTS, 3, 3)).copy()
        rotations[0, :, :NUM_BODY] = numbers[:, :-3].reshape(-1, NUM_BODY, 3, 3)
        return Motion(rotations, numbers[None, :, -3:].copy(), FPS)

    def timeline(self) -> Timeline:
        """What was done when."""
        ends = [*(frame for frame, _ in self.words[1:]), self.frames]
        pairs = zip(self.words, ends, strict=True)
        done = [Segment(start / FPS, end / FPS, text) for (start, text), end in pairs if start < end]
        return Timeline(tuple(done), self.seconds)

    def parts(self, most: int = PART) -> Iterator[tuple[Motion, Timeline]]:
        """The recording in pieces of `most` frames, each with its own score."""
        timeline = self.timeline()
        for start in range(0, self.frames, most):
            stop = min(start + most, self.frames)
            yield self.motion(start, stop), timeline.crop(start / FPS, stop / FPS)

    def delete(self) -> None:
        """Remove the folder: what it holds has been written elsewhere."""
        shutil.rmtree(self.folder, ignore_errors=True)


def read_spool(folder: Path) -> Spool:
    """A spool as it is on disk; a frame or line that was cut off by a crash is left out.

    LabanError when it is none, or of another version.
    """
    try:
        header = json.loads((folder / HEADER).read_text(encoding="utf-8"))
        size = (folder / FRAMES).stat().st_size
        rows = (folder / WORDS).read_text(encoding="utf-8", errors="replace").split("\n")
    except (OSError, ValueError) as error:
        said = f"{error.strerror}: {error.filename}" if isinstance(error, OSError) else str(error)
        raise LabanError(f"{folder}: is no recording of a stream ({said}); accepted: a folder that ends in {SUFFIX}, "
                         "left by `laban stream`") from None  # fmt: skip
    wanted = {"format": "laban stream spool", "version": VERSION, "fps": FPS, "numbers": NUMBERS}
    if header != wanted:
        raise LabanError(f"{folder / HEADER}: found {str(header)[:120]}; accepted: {wanted}")
    frames = size // (NUMBERS * 4)
    words = [word for row in rows if (word := _word(row)) is not None and word[0] < frames]
    return Spool(folder, frames, tuple(words))


def _word(row: str) -> tuple[int, str] | None:
    """Frame and text of a line; None for one that was cut off."""
    try:
        entry = json.loads(row)
        frame, text = entry["frame"], " ".join(entry["text"].split())
    except (ValueError, TypeError, KeyError, AttributeError):
        return None
    return (frame, text) if isinstance(frame, int) and frame >= 0 and text else None
