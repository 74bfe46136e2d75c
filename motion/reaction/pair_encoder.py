"""An encoder of two seconds of two people: what stands behind the KID of reactions, and nothing else.

It was never seen by anything that makes motion. It learnt to tell captured windows from spoilt ones (`SPOILT`: a
partner from another moment or take, moved, turned, mirrored, frozen, trembling, hands let go), so its embedding says
whether two people go together: the judge of single people sees neither distance nor contact, and 14 takes of one dance
are too few to learn a space from texts. There is one network for each fold, which has not seen the takes of its fold.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from jaxtyping import Float
from numpy import ndarray
from torch import Tensor, nn
from torch.nn import functional

from laban.errors import LabanError
from laban.weights import load_module, load_weights
from models.body.model import BodyModel
from models.body.skeleton import NUM_BODY
from models.data.pairs import FOLDS
from models.motion import Motion
from models.objectives import facing
from models.resample import resample
from motion.metrics import kid
from motion.reaction.measures import contact_points

FPS = 20.0
WINDOW, STEP = 40, 10
"""Frames of a window, and from one to the next."""
POINTS = NUM_BODY + 2
FEATURES = 4 * 3 * POINTS + 9
SPOILT: tuple[str, ...] = (
    "captured", "another moment", "another take", "moved", "turned", "mirrored", "frozen", "trembling", "let go",
)  # fmt: skip
CHECKPOINT = "pair_encoder"
_CENTRE = WINDOW // 2

Windows = Float[Tensor, "batch 2 40 24 3"]


def features(points: Windows) -> Float[Tensor, "batch 40 297"]:
    """What the network reads: both people in the actor's frame at the middle of the window, and how they are apart.

    Positions and velocities (half a second is the unit) of the 24 points; place and facing of the second person seen by
    the first at every frame; and exp(-d / 0.15 m) of the distances between palms.
    """
    ahead = facing(points[..., :NUM_BODY, :])
    local = _turned(points - _ground(points[:, :1, _CENTRE : _CENTRE + 1, :1]), ahead[:, 0, _CENTRE, None, None, None])
    speed = torch.diff(local, dim=2, append=2 * local[:, :, -1:] - local[:, :, -2:-1]) * FPS / 2
    between = _turned(points[:, 1, :, 0] - _ground(points[:, 0, :, 0]), ahead[:, 0])
    actor, other = ahead.unbind(1)
    sine = actor[..., 0] * other[..., 1] - actor[..., 1] * other[..., 0]
    angle = torch.stack([(actor * other).sum(-1), sine], -1)
    hands = points[:, :, :, NUM_BODY:]
    gaps = (hands[:, 0, :, :, None] - hands[:, 1, :, None]).norm(dim=-1).flatten(2)
    both = torch.cat([local, speed], -1).permute(0, 2, 1, 3, 4).flatten(2)
    return torch.cat([both, between, angle, (-gaps / 0.15).exp()], -1)


class PairNetwork(nn.Module):
    """Temporal convolutions, pooled to an embedding of unit length, and logits of `SPOILT`."""

    def __init__(self, width: int = 64, embedding: int = 64) -> None:
        super().__init__()
        self.inlet = nn.Linear(FEATURES, width)
        self.blocks = nn.ModuleList(nn.Conv1d(width, width, 5, padding=2, stride=stride) for stride in (1, 2, 2))
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in self.blocks)
        self.outlet = nn.Linear(2 * width, embedding)
        self.head = nn.Linear(embedding, len(SPOILT))
        self.scale = nn.Parameter(torch.tensor(8.0))

    def embed(self, points: Windows) -> Float[Tensor, "batch embedding"]:
        """Unit vectors."""
        x = functional.gelu(self.inlet(features(points)))
        for block, norm in zip(self.blocks, self.norms, strict=True):
            y = block(norm(x).transpose(1, 2)).transpose(1, 2)
            x = functional.gelu(y) + (x if y.shape == x.shape else x[:, ::2])
        return functional.normalize(self.outlet(torch.cat([x.mean(1), x.amax(1)], -1)), dim=-1)

    def forward(self, points: Windows) -> Float[Tensor, "batch kinds"]:
        """Logits of how the window was spoilt."""
        return self.head(self.scale * self.embed(points))


@dataclass(frozen=True)
class PairEncoder:
    """The networks of all folds."""

    networks: tuple[PairNetwork, ...]

    def embed(
        self, motions: Sequence[Motion], fold: int, body: BodyModel | None = None
    ) -> Float[ndarray, "windows 64"]:
        """Unit rows of every window of motions of two people, by the network that has not seen the fold's takes."""
        windows = torch.cat([windows_of(motion, body) for motion in motions])
        with torch.inference_mode():
            return torch.cat([self.networks[fold].embed(some) for some in windows.split(256)]).numpy()

    def real(self, motions: Sequence[Motion], fold: int, body: BodyModel | None = None) -> Float[ndarray, " windows"]:
        """Probability of every window to be captured and not spoilt."""
        windows = torch.cat([windows_of(motion, body) for motion in motions])
        with torch.inference_mode():
            return self.networks[fold](windows).softmax(-1)[:, 0].numpy()

    def kid(self, made: Sequence[Motion], real: Sequence[Motion], fold: int, *, seed: int = 0) -> tuple[float, float]:
        """Kernel inception distance x 1000 to a fold's takes (mean, sd over subsets): `motion.metrics.kid`."""
        return kid(self.embed(made, fold), self.embed(real, fold), seed=seed)


def windows_of(motion: Motion, body: BodyModel | None = None, *, step: int = STEP) -> Windows:
    """All windows of 2 s at 20 fps, half a second apart; LabanError for a shorter motion."""
    points = torch.from_numpy(contact_points(resample(motion, FPS), body))
    if points.shape[1] < WINDOW:
        raise LabanError(f"motion: has {motion.seconds:.2f} s; accepted: {WINDOW / FPS:g} s or more")
    return points.unfold(1, WINDOW, step).permute(1, 0, 4, 2, 3).contiguous()


@cache
def load_pair_encoder(name: str = CHECKPOINT) -> PairEncoder:
    """The networks of an embedded checkpoint's name or a folder; weights are checked against their SHA-256."""
    tensors, config = load_weights(name, verify=True)
    networks = []
    for fold in range(FOLDS):
        own = {key.split(".", 1)[1]: value for key, value in tensors.items() if key.startswith(f"fold{fold}.")}
        networks.append(load_module(PairNetwork(config["width"], config["embedding"]), own, f"{name}, fold {fold}"))
    return PairEncoder(tuple(networks))


def _ground(points: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch 3"]:
    return points * points.new_tensor([1.0, 0.0, 1.0])


def _turned(points: Float[Tensor, "*batch 3"], ahead: Float[Tensor, "*#batch 2"]) -> Float[Tensor, "*batch 3"]:
    """Points in the frame in which the unit heading (x, z) is +Z."""
    sin, cos = ahead.unbind(-1)
    x, y, z = points.unbind(-1)
    return torch.stack([cos * x - sin * z, y, sin * x + cos * z], -1)


def mirrored_points(points: Float[Tensor, "*batch 24 3"]) -> Float[Tensor, "*batch 24 3"]:
    """Seen in a mirror at x = 0, left and right exchanged."""
    from models.body.skeleton import MIRROR

    order = [*MIRROR[:NUM_BODY], NUM_BODY + 1, NUM_BODY]
    return points[..., order, :] * points.new_tensor([-1.0, 1.0, 1.0])


def numbers(points: ndarray) -> Tensor:
    """float32 tensor of an array."""
    return torch.from_numpy(np.ascontiguousarray(points, np.float32))
