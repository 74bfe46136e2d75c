"""`MotionStream`: one person who does what is said, frame after frame, without end.

What drives the body are voices, each with a text and the body parts that it moves (a live form of STMC's tracks): every
primitive is drawn once for each voice from the same history, and each part takes the frames of its own voice.
"""

from __future__ import annotations

import math
import re
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Float
from numpy import ndarray

from laban.errors import LabanError
from laban.timeline import PARTS, canonical_part
from models.body.planting import FootLock
from models.body.skeleton import NUM_BODY
from models.devices import pick_device
from models.diffusion.denoiser import Condition
from models.representation.primitive import FUTURE
from models.text.dictionary import load_dictionary
from models.text.known import KnownActions, load_known
from motion.primitives.choice import Futures, best_future
from motion.primitives.distill import GUIDANCE
from motion.primitives.endings import endings, stops
from motion.primitives.frames import FPS, Frame
from motion.primitives.network import PrimitiveModel, load_primitives
from motion.primitives.orders import WALK, parse_order
from motion.primitives.rollout import STUDENT, Made, Sampling, State, condition_of, noise_for, standing, step
from motion.primitives.voices import Voice, later, merged, taken
from motion.prompts import STAND, idle_after

if TYPE_CHECKING:
    from motion.navigation.goal_policy import GoalPolicy

WARM_UP = 2
"""Primitives that are made and not shown: from the average stance to a person who stands."""
LONGEST = 300
"""Characters of a text."""
REMEMBERED = 256
"""Sets of texts whose features are kept."""
MOST = 16
"""Candidates that one moment may have."""
FARTHEST, NEAR = 1000.0, 0.3
"""Metres: how far away a goal may be, and from where it is reached."""


@dataclass(frozen=True)
class StreamConfig:
    """How a stream is made."""

    seed: int = 0
    distilled: bool = False
    """The student's two unguided steps instead of guided ones: several times faster, a little less sharp."""
    steps: int | None = None
    """Denoising steps; default 5, distilled 2."""
    guidance: float = GUIDANCE
    idle: bool = True
    """Actions that end by themselves are followed by idling; False: every text goes on until the next."""
    candidates: int = 1
    """Futures that are drawn while another is shown (`motion.primitives.choice`); the best fit to the words is kept."""
    lock: bool = True
    """Hold planted feet where they stand (`models.body.planting`); False: as the network made it."""
    device: str = "auto"

    def __post_init__(self) -> None:
        if not 1 <= self.candidates <= MOST:
            raise LabanError(f"--candidates {self.candidates}; accepted: 1 to {MOST}")

    @property
    def sampling(self) -> Sampling:
        """As the roll-out takes it."""
        return Sampling(self.distilled, self.steps or (2 if self.distilled else 5), self.guidance)


@dataclass(frozen=True)
class Said:
    """How a text was understood."""

    text: str
    leaning: str
    """The known actions that it leans on, and how near they are."""
    sure: bool
    """False when it is far from everything known."""
    seconds: float | None
    """Until the action ends by itself and idling follows; None: it goes on until something else is said."""
    parts: tuple[str, ...] = PARTS


class MotionStream(Iterator[Frame]):
    """Endless frames at 30 fps of a person who does what was said last. `say` may be called from any thread."""

    def __init__(
        self, checkpoint: str | Path = "primitives_research", *, text: str = STAND,
        config: StreamConfig = StreamConfig(), start: State | None = None,
    ) -> None:  # fmt: skip
        """`start` is where and how the person is at first; default: standing at the origin, facing +Z."""
        device = pick_device(config.device)
        self.config = config
        self.network: PrimitiveModel = load_primitives(checkpoint).to(device)
        self.known: KnownActions = load_known([a for a, _ in self.network.config.known], self.network.config.text)
        self.state = start or standing(self.network)
        rest = self.network.rest.cpu()
        self._lock_feet = FootLock(rest, float(self.network.toe_height), FPS) if config.lock else None
        self._texts: dict[tuple[str, ...], Condition] = {}
        self._generator = torch.Generator().manual_seed(config.seed)
        self._lock = threading.Lock()
        self._frames: deque[Frame] = deque()
        best = partial(best_future, network=self.network, known=self.known)
        self._futures = Futures(config.candidates, self._drawn, best) if config.candidates > 1 else None
        self._index, self._checkpoint = 0, checkpoint
        self._goal: tuple[GoalPolicy, torch.Tensor] | None = None
        self.voices: tuple[Voice, ...] = (Voice(STAND, PARTS, None, STAND),)
        if start is None:
            for _ in range(WARM_UP):
                self._make()
            self.state = self.state.local()
            self._replan()
        if text != STAND:
            self.say(text)

    def say(self, text: str, *, parts: Sequence[str] = ()) -> Said:
        """Do this from the next primitive on (within 0.27 s); with `parts`, only with these parts of the body.

        The text may name parts and places itself (`motion.primitives.orders`). Raises LabanError for a text that is
        empty or too long, for parts that there are not, and where `go` does.
        """
        order = parse_order(text)
        wanted = _checked(order.text)
        if order.place is not None:
            self.go(*order.place, gait=wanted)
            return Said(wanted, f"goes to ({order.place[0]:g}, {order.place[1]:g})", True, None)
        own = tuple(dict.fromkeys(canonical_part(part) for part in parts or order.parts)) or PARTS
        leaning = self.known.leaning(wanted)
        told, sure = leaning.summary(), leaning.nearness != "far" and self._familiar(wanted)
        ended = endings([wanted], self.known)[0]
        seconds, then = (ended.seconds, ended.then) if self.config.idle else (None, wanted)
        left = None if seconds is None else math.ceil(seconds * FPS / FUTURE)
        with self._lock:
            if stops(wanted) and len(own) == len(PARTS):
                voice = Voice(self._rest(), PARTS, None, STAND)
                told, sure = f"rests: {voice.text}", True
            else:
                voice = Voice(wanted, own, left, then)
            self.voices, self._goal = taken(self.voices, voice), None
            self._replan()
        return Said(wanted, told, sure, seconds, own)

    def go(self, x: float, z: float, *, gait: str = WALK, policy: str | Path = "goal_policy") -> None:
        """Go to a place on the floor, metres, and rest there; saying or performing something ends it.

        A policy trained for this checkpoint (`laban train goal-policy`) chooses the noise of the student's primitives.
        Raises LabanError for a place that is no number or too far, and for a policy of other weights.
        """
        from motion.navigation.goal_policy import load_goal_policy

        if not (math.isfinite(x) and math.isfinite(z) and math.hypot(x, z) <= FARTHEST):
            raise LabanError(f"goal {x:g},{z:g}; accepted: metres within {FARTHEST:g} of the origin")
        guide = load_goal_policy(policy, self._checkpoint).to(self.network.mean.device)
        place = torch.tensor([[x, z]], dtype=torch.float32, device=self.network.mean.device)
        with self._lock:
            self.voices = (Voice(_checked(gait), PARTS, None, STAND),)
            self._goal = guide, place
            self._replan()

    def perform(self, voices: Sequence[Voice]) -> None:
        """Let these voices, which own every part once, drive from the next primitive on (a score played live)."""
        with self._lock:
            if tuple(voices) != self.voices:
                self.voices, self._goal = tuple(voices), None
                self._replan()

    def _replan(self) -> None:
        if self._futures:
            self._futures.clear()

    def __iter__(self) -> MotionStream:
        return self

    def __next__(self) -> Frame:
        if not self._frames:
            self._frames.extend(self.primitive())
        return self._frames.popleft()

    def primitive(self) -> list[Frame]:
        """The next eight frames at once."""
        with self._lock:
            said = " + ".join(voice.text for voice in self.voices)
            made = self._make()
            self.voices = later(self.voices)
        root = (made.pelvis[0] - self.network.rest[0].to(made.pelvis)).float().cpu().numpy()
        rotations = made.rotations[0].float().cpu().numpy()
        if self._lock_feet is not None:
            rotations, root = self._lock_feet.hold(rotations, root)
        frames = [
            Frame(self._index + i, (self._index + i) / FPS, rotations[i], root[i], said) for i in range(len(root))
        ]
        self._index += len(frames)
        return frames

    @torch.inference_mode()
    def _make(self) -> Made:
        if self._goal is not None:
            self.state, made = self._led(*self._goal)
        else:
            made = (
                self._futures.next(self.state, self.voices) if self._futures else self._drawn(self.state, self.voices)
            )
            self.state = made.state
        return made

    def _drawn(self, state: State, voices: Sequence[Voice]) -> Made:
        """The next primitive of everybody in `state`."""
        people, texts = len(state.pelvis), [voice.text for voice in voices]
        noise = noise_for(self.network, people * len(texts), self._generator)
        condition = self._condition(texts * people)
        _, made = step(self.network, state.repeated(len(texts)), condition, noise, self.config.sampling)
        return merged(made, voices)

    def _led(self, policy: GoalPolicy, goal: torch.Tensor) -> tuple[State, Made]:
        """The next primitive towards a goal; who is there rests."""
        near = State(self.state.rotations.float(), self.state.pelvis.float())
        condition = self._condition(policy.words(self.voices[0].text, near, goal))
        state, made = step(
            self.network, self.state, condition, policy.noise(self.network, near, goal, condition), STUDENT
        )
        if float((made.pelvis[0, :, 0::2] - goal).norm(dim=-1).min()) < NEAR:
            self.voices, self._goal = (Voice(STAND, PARTS, None, STAND),), None
        return state, made

    def _condition(self, texts: Sequence[str]) -> Condition:
        """The texts' features, a row each; read when they are first said together."""
        key = tuple(texts)
        if key not in self._texts:
            if len(self._texts) >= REMEMBERED:
                self._texts.clear()
            self._texts[key] = condition_of(self.known.read(texts).to(self.network.mean.device))
        return self._texts[key]

    def _familiar(self, text: str) -> bool:
        """Whether any word of a text is in the captions, or in the dictionary."""
        words = re.findall(r"[a-z]+", text.lower())
        return any(word in self.known.words for word in words) or bool(
            load_dictionary().readings(text, self.known.words)
        )

    def _rest(self) -> str:
        """How somebody idles who has just done what the leading voice says."""
        leading = max(self.voices, key=lambda voice: len(voice.parts))
        return idle_after(leading.text)


def _checked(text: str) -> str:
    wanted = " ".join(text.split())
    if not wanted:
        raise LabanError("text is empty; say what the person does, for example: walk")
    if len(wanted) > LONGEST:
        raise LabanError(f"text has {len(wanted)} characters; accepted: up to {LONGEST}")
    return wanted


def frames_motion(frames: Sequence[Frame]) -> tuple[Float[ndarray, "1 frames 55 3 3"], Float[ndarray, "1 frames 3"]]:
    """Rotations and root of `Motion` from streamed frames."""
    rotations = np.broadcast_to(np.eye(3, dtype=np.float32), (1, len(frames), 55, 3, 3)).copy()
    rotations[0, :, :NUM_BODY] = np.stack([frame.rotations for frame in frames])
    return rotations, np.stack([frame.root for frame in frames]).astype(np.float32)[None]
