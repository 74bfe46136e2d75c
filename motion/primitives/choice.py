"""Best of several futures: those that the motion-text encoder finds nearest to the words, planned while others play."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence

import numpy as np
import torch

from models.body.skeleton import NUM_BODY, NUM_JOINTS
from models.motion import Motion
from models.resample import resample
from models.text.known import KnownActions
from motion.candidates import rated
from motion.primitives.frames import FPS
from motion.primitives.network import PrimitiveModel
from motion.primitives.rollout import Made, State
from motion.primitives.voices import Voice, later

RATED_FPS = 20.0
"""What motion encoders read."""
FIRST, AHEAD = 2, 6
"""Primitives that are drawn before anything is shown after a word (0.53 s), and the most that are judged together."""
PACE = 2
"""Primitives that the next futures grow by while one is shown."""
PAST = 5
"""Primitives shown before under the same words, with which futures are judged: a second and a third."""

Draw = Callable[[State, Sequence[Voice]], Made]
"""(people, what drives them) -> their next primitive, each with noise of its own."""


class Futures:
    """Plans the stream of one person as the best of `people` futures, a little with every primitive that is shown.

    While the chosen future is shown, the next ones grow from its end; when it is over, the best of these is chosen. So
    no primitive waits for a whole future; only after a word the first ones do, and are judged by `FIRST` alone.
    """

    def __init__(self, people: int, draw: Draw, best: Callable[[Sequence[Made], Sequence[Made], str], int]) -> None:
        """`best(past, futures, text)` gives the number of the future to keep; the past is the same for all."""
        self._people, self._draw, self._best = people, draw, best
        self._words: tuple[str, ...] = ()
        self.clear()

    def clear(self) -> None:
        """Drop what was planned and shown: other words hold, or the person is somewhere else."""
        self._past: deque[Made] = deque(maxlen=PAST)
        self._plan: deque[Made] = deque()
        self._grown: list[Made] = []

    def next(self, state: State, voices: Sequence[Voice]) -> Made:
        """The next primitive of somebody in `state`, driven by `voices`."""
        words = _words(voices)
        if words != self._words:
            self._words = words
            self.clear()
        waited = not self._plan
        if waited:
            while len(self._grown) < FIRST and self._grow(state, voices, words):
                pass
            kept = self._best(list(self._past), self._grown, words[0])
            self._plan.extend(made.people(slice(kept, kept + 1)) for made in self._grown)
            self._grown = []
        made = self._plan.popleft()
        self._past.append(made)
        if waited and self._plan:
            return made
        following = later(voices)
        for _ in range(len(self._plan)):
            following = later(following)
        if _words(following) == words:
            for _ in range(PACE):
                self._grow((self._plan[-1] if self._plan else made).state, following, words)
        return made

    def _grow(self, state: State, voices: Sequence[Voice], words: tuple[str, ...]) -> bool:
        """One primitive more for each future, which starts in `state`; False where they are long enough."""
        for _ in self._grown:
            voices = later(voices)
        if len(self._grown) >= AHEAD or _words(voices) != words:
            return False
        start = self._grown[-1].state if self._grown else state.repeated(self._people)
        self._grown.append(self._draw(start, voices))
        return True


def _words(voices: Sequence[Voice]) -> tuple[str, ...]:
    return tuple(voice.text for voice in voices)


def best_future(
    past: Sequence[Made], futures: Sequence[Made], text: str, network: PrimitiveModel, known: KnownActions
) -> int:
    """Which of the people in `futures`, primitives that follow one another after `past`, does best what `text` says."""
    people = len(futures[0].pelvis)
    before = [made.people(torch.zeros(people, dtype=torch.long, device=made.pelvis.device)) for made in past]
    motions = motions_of([*before, *futures], network)
    rating = rated([resample(motion, RATED_FPS) for motion in motions], [text], known)
    return int(np.argmax([r.score for r in rating]))


def motions_of(made: Sequence[Made], network: PrimitiveModel) -> list[Motion]:
    """Primitives that follow one another as a motion at 30 fps for each person."""
    rotations = torch.cat([m.rotations for m in made], 1).float().cpu().numpy()
    root = torch.cat([m.pelvis for m in made], 1).float().cpu() - network.rest[0].cpu()
    full = np.broadcast_to(np.eye(3, dtype=np.float32), (*rotations.shape[:2], NUM_JOINTS, 3, 3)).copy()
    full[:, :, :NUM_BODY] = rotations
    return [Motion(full[i : i + 1], root[i : i + 1].numpy(), FPS) for i in range(len(full))]
