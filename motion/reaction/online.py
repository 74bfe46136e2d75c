"""Reacting live: every eight frames of the actor, the next eight of the reactor, from streaming primitives."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from numpy import ndarray
from torch import Tensor

from laban.errors import LabanError
from models.body.model import BodyModel, load_body
from models.body.planting import FootLock
from models.body.skeleton import NUM_BODY
from models.devices import one_thread
from models.diffusion.denoiser import PARTNER, Condition
from models.motion import Motion
from models.representation import pair, primitive
from models.representation.primitive import FUTURE, HISTORY, Placement
from models.resample import resample
from models.text.encoder import load_text_encoder
from motion.primitives.frames import FPS, Frame
from motion.primitives.network import PrimitiveModel
from motion.primitives.rollout import Sampling, State, noise_for, standing, step
from motion.primitives.stream import frames_motion
from motion.reaction.features import actor_beside, points_of
from motion.reaction.online_network import load_live

LOOKED, STRIDE = 8, 2
"""Frames of the actor that the next primitive is made from, and how many of the actor's frames lie between two."""
PAST = (LOOKED - 1) * STRIDE + 1
"""Frames of the actor that are remembered."""
APART = 0.85
"""Metres from the actor, and face to face, where a reactor starts who has no place of their own."""


@dataclass(frozen=True)
class LiveConfig:
    """How a live reaction is made."""

    seed: int = 0
    steps: int = 5
    guidance: float = 1.0
    """How strictly the text is followed; 1 is unguided."""
    lock: bool = True
    """Hold planted feet where they stand; False: as the network made it."""


class LiveReaction:
    """Somebody who reacts to an actor whose frames come one by one, at 30 fps."""

    def __init__(
        self, checkpoint: str | Path | PrimitiveModel = "reaction", *, text: str | None = None,
        config: LiveConfig = LiveConfig(), start: State | None = None,
    ) -> None:  # fmt: skip
        """`start` is where and how the reactor is at first; default: standing before the actor, face to face."""
        self.network = checkpoint if isinstance(checkpoint, PrimitiveModel) else load_live(checkpoint)
        self.config, self.state = config, start
        self.sampling = Sampling(steps=config.steps, guidance=config.guidance)
        wanted = " ".join((text or "").split())
        self.text = wanted
        read = load_text_encoder(self.network.config.text).encode([wanted or "they"])
        said = Condition(read.tokens, read.mask, read.sentence)
        self._said = said if wanted else said.without_text()
        self._generator = torch.Generator().manual_seed(config.seed)
        level = float(self.network.toe_height)
        self._lock = FootLock(self.network.rest.cpu(), level, FPS) if config.lock else None
        self._points: deque[Tensor] = deque(maxlen=PAST)
        self._paths: deque[Tensor] = deque(maxlen=PAST)
        self._ready: deque[Frame] = deque()
        self._index = 0

    def see(self, points: Float[Tensor, "24 3"], path: Float[Tensor, "5"]) -> Frame:
        """One frame of the actor (world points; `models.representation.pair.TRAJECTORY`) in, one of the reactor out.

        The reactor's frame is of the same moment: it was made from what the actor had done before.
        """
        if not bool(torch.isfinite(points).all() and torch.isfinite(path).all()):
            raise LabanError(f"actor: frame {self._index} holds a NaN or infinite number")
        if not self._points:
            for _ in range(PAST):
                self._points.append(points)
                self._paths.append(path)
            if self.state is None:
                self.state = before(self.network, path)
        if not self._ready:
            self._ready.extend(self._next())
        self._points.append(points)
        self._paths.append(path)
        return self._ready.popleft()

    @torch.inference_mode()
    def _next(self) -> list[Frame]:
        assert self.state is not None  # noqa: S101 - set when the first frame was seen
        points, paths = torch.stack(list(self._points))[::STRIDE], torch.stack(list(self._paths))[::STRIDE]
        place = primitive.placement(self.state.rotations, self.state.pelvis)
        seen = partner_of(points[None].float(), paths[None].float(), place)
        known = torch.ones(seen.shape[:2], dtype=torch.bool)
        condition = replace(self._said, slots={PARTNER: (seen, known)})
        noise = noise_for(self.network, 1, self._generator)
        self.state, made = step(self.network, self.state, condition, noise, self.sampling)
        rotations = made.rotations[0].float().numpy()
        root = (made.pelvis[0] - self.network.rest[0].to(made.pelvis)).float().numpy()
        if self._lock is not None:
            rotations, root = self._lock.hold(rotations, root)
        frames = [Frame(self._index + i, (self._index + i) / FPS, rotations[i], root[i], self.text)
                  for i in range(FUTURE)]  # fmt: skip
        self._index += FUTURE
        return frames


def partner_of(
    points: Float[Tensor, "batch looked 24 3"], paths: Float[Tensor, "batch looked 5"], place: Placement
) -> Float[Tensor, "batch looked 78"]:
    """The actor's last frames in the frame of the reactor's next primitive, with how fast the actor's pelvis went."""
    turn, origin = place.turn.to(points), place.origin.to(points)
    yaw = torch.stack([origin[:, 0], origin[:, 2], origin[:, 1], turn[:, 0, 2], turn[:, 0, 0]], -1)
    own = yaw[:, None].expand(*paths.shape)
    pelvis = (pair.pelvis_of(paths) - origin[:, None]) @ turn
    speed = torch.diff(pelvis, dim=1, prepend=pelvis[:, :1]) * (FPS / STRIDE)
    return actor_beside(points, paths, own, torch.cat([speed, torch.zeros_like(speed[..., :1])], -1))


def before(network: PrimitiveModel, actor: Float[Tensor, "5"], apart: float = APART) -> State:
    """Somebody who stands before an actor, face to face."""
    yaw = float(pair.yaw_of(actor[None]))
    place = torch.tensor([[float(actor[0]) + apart * math.sin(yaw), 0.0, float(actor[1]) + apart * math.cos(yaw)]])
    return standing(network, places=place, headings=torch.tensor([yaw + math.pi]))


def seen_frames(
    actor: Motion, body: BodyModel | None = None
) -> tuple[Float[Tensor, "frames 24 3"], Float[Tensor, "frames 5"]]:
    """World points (22 joints, two knuckles) and trajectory of one person, frame by frame, at the motion's rate."""
    rest = pair.rest_joints(actor, body or load_body())[0]
    rotations = torch.from_numpy(np.asarray(actor.rotations[0, :, :NUM_BODY], np.float64))
    pelvis = torch.from_numpy(np.asarray(actor.root[0], np.float64)) + rest[0]
    return points_of(rotations, pelvis, rest).float(), pair.trajectory(rotations, pelvis).float()


def react_live(
    frames: Iterable[tuple[Tensor, Tensor]], text: str | None = None, *,
    checkpoint: str | Path | PrimitiveModel = "reaction", config: LiveConfig = LiveConfig(), start: State | None = None,
) -> Iterator[Frame]:  # fmt: skip
    """One frame of the reactor for each of the actor (points, trajectory), as they come, without an end of its own."""
    live = LiveReaction(checkpoint, text=text, config=config, start=start)
    for points, path in frames:
        yield live.see(points, path)


@one_thread()
def react_online(
    actor: Motion, text: str | None = None, *, checkpoint: str | Path | PrimitiveModel = "reaction",
    config: LiveConfig = LiveConfig(), body: BodyModel | None = None, start: State | None = None,
    progress: Callable[[int], None] = lambda seconds: None,
) -> Motion:  # fmt: skip
    """Both people, the reactor made live: nothing of the actor's future was seen. At the actor's rate.

    `progress` is told of each second of motion.
    """
    from motion.reaction.react import beside_actor, check_actor, held

    check_actor(actor)
    points, paths = seen_frames(resample(held(actor, FPS), FPS), body)
    made = list[Frame]()
    for frame in react_live(zip(points, paths, strict=True), text, checkpoint=checkpoint, config=config, start=start):
        made.append(frame)
        if len(made) % round(FPS) == 0:
            progress(1)
    rotations, root = frames_motion(made)
    return beside_actor(actor, Motion(rotations, root, FPS))


def state_of(rotations: Float[ndarray, "frames 22 3 3"], pelvis: Float[ndarray, "frames 3"]) -> State:
    """Where a live reaction starts from two frames that are known."""
    return State(torch.from_numpy(np.asarray(rotations[None, :HISTORY], np.float64)),
                 torch.from_numpy(np.asarray(pelvis[None, :HISTORY], np.float64)))  # fmt: skip
