"""Roll-outs of a stream to be measured: prompts said at their time, joints kept, and kept on disk for the next run."""

from __future__ import annotations

import hashlib
import json
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray

from laban.errors import LabanError
from laban.files import atomic_path
from laban.progress import progress
from models.body.skeleton import NUM_BODY, NUM_JOINTS
from models.formats.arrays import read_npz
from models.motion import Motion
from models.motion_text.features import joints_of
from models.representation.primitive import FUTURE
from motion.primitives.frames import FPS, Frame
from motion.stream_prompts import StreamPrompts


@runtime_checkable
class Understood(Protocol):
    """What a stream answers to words."""

    @property
    def text(self) -> str:
        """As understood: what the frames that it drives are marked with."""


@runtime_checkable
class Steered(Protocol):
    """As much of a stream (`motion.primitives.stream.MotionStream`) as is needed to measure it."""

    def say(self, text: str) -> Understood:
        """Takes effect at the next primitive."""

    def __next__(self) -> Frame: ...


StreamFunction = Callable[[int], Steered]
"""A new stream from a seed; nothing has been said to it."""
ARRAYS = ("joints", "joints20", "said", "memory", "seconds", "broken")


@dataclass(frozen=True)
class Rolled:
    """One roll-out: world joints at 30 and 20 fps, metres."""

    joints: Float[ndarray, "frames 22 3"]
    joints20: Float[ndarray, "others 22 3"]
    said: Int[ndarray, " prompts"]
    """The first frame that each prompt drives."""
    memory: tuple[float, float]
    """Megabytes of the process after a minute (or half-way, if it is shorter) and at the end; nan where unknown."""
    seconds: float
    """How long it took."""
    broken: int
    """Frames that are no finite numbers (they are put at the last good frame)."""


def roll(prompts: StreamPrompts, stream: Steered, *, quiet: bool = False) -> Rolled:
    """Say every prompt at its time and keep what comes."""
    frames = round(prompts.duration * FPS)
    rotations, root = np.ones((frames, NUM_BODY, 3, 3), np.float32), np.ones((frames, 3), np.float32)
    cues = {round(prompt.start * FPS): n for n, prompt in enumerate(prompts.prompts)}
    said, waiting, memory = np.zeros(len(prompts.prompts), np.int64), dict[int, str](), [np.nan, np.nan]
    early, began = min(round(60 * FPS), frames // 2), time.perf_counter()
    with progress("roll-out", frames, quiet=quiet) as advance:
        for index in range(frames):
            if (number := cues.get(index)) is not None:
                waiting = {number: stream.say(prompts.prompts[number].text).text}
                said[number] = -(-index // FUTURE) * FUTURE  # a text such as "stop" drives by other words
            frame = next(stream)
            rotations[index], root[index] = frame.rotations, frame.root
            for number, text in list(waiting.items()):
                if frame.text == text:
                    said[number] = index
                    waiting.clear()
            if index == early:
                memory[0] = resident()
            advance(1)
    memory[1] = resident()
    broken = mended(rotations, root)
    motion = Motion(_whole(rotations)[None], root[None], FPS)
    return Rolled(joints_of(motion, fps=FPS)[0], joints_of(motion)[0], said, (memory[0], memory[1]),
                  time.perf_counter() - began, broken)  # fmt: skip


def _whole(rotations: Float[ndarray, "frames 22 3 3"]) -> Float[ndarray, "frames 55 3 3"]:
    """With a face and fingers that do not move."""
    whole = np.broadcast_to(np.eye(3, dtype=np.float32), (len(rotations), NUM_JOINTS, 3, 3)).copy()
    whole[:, :NUM_BODY] = rotations
    return whole


def mended(rotations: Float[ndarray, "frames 22 3 3"], root: Float[ndarray, "frames 3"]) -> int:
    """Frames with numbers that are not finite; they are overwritten by the last good one (or a rest pose)."""
    bad = np.flatnonzero(~(np.isfinite(rotations).all((1, 2, 3)) & np.isfinite(root).all(1)))
    for frame in bad.tolist():
        rotations[frame] = rotations[frame - 1] if frame else np.eye(3)
        root[frame] = root[frame - 1] if frame else 0.0
    return len(bad)


def resident() -> float:
    """Megabytes of memory that this process holds now; nan where the system does not say."""
    try:
        text = Path("/proc/self/status").read_text()
    except OSError:
        return float("nan")
    found = re.search(r"VmRSS:\s+(\d+) kB", text)
    return int(found[1]) / 1024 if found else float("nan")


def rolled(
    prompts: StreamPrompts, begin: StreamFunction, seed: int, settings: Mapping[str, Any], *, cache: Path | None = None,
    quiet: bool = False,
) -> Rolled:  # fmt: skip
    """`roll` from a seed, or what an earlier run kept of it; `settings` is all that it depends on besides."""
    if cache is None:
        return roll(prompts, begin(seed), quiet=quiet)
    words = [(p.start, p.text) for p in prompts.prompts]
    digest = hashlib.sha256(
        json.dumps([words, prompts.duration, dict(settings), seed], default=str).encode()
    ).hexdigest()
    path = cache / f"roll-{digest[:16]}.npz"
    if not path.is_file():
        made = roll(prompts, begin(seed), quiet=quiet)
        cache.mkdir(parents=True, exist_ok=True)
        with atomic_path(path) as temporary:
            np.savez(temporary, joints=made.joints, joints20=made.joints20, said=made.said,
                     memory=np.array(made.memory), seconds=made.seconds, broken=made.broken)  # fmt: skip
    found = read_npz(path, ARRAYS)
    if set(found) != set(ARRAYS):
        raise LabanError(
            f"{path}: holds {', '.join(sorted(found)) or 'nothing'}; accepted: {', '.join(ARRAYS)}; delete it"
        )
    early, late = found["memory"].tolist()
    return Rolled(found["joints"], found["joints20"], found["said"], (early, late), float(found["seconds"]),
                  int(found["broken"]))  # fmt: skip
