"""`Motion`: what every generator returns and every reader produces."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from jaxtyping import Bool, Float
from numpy import ndarray

from laban.errors import LabanError
from models.body.skeleton import NUM_JOINTS


@dataclass(frozen=True)
class Motion:
    """Human motion of one or more actors: Y up, +Z forward, metres, right-handed.

    `rotations` are local (parent-relative) SMPL-X joint rotations; joints that the source did not have are identity
    and False in `mask`. `root` is SMPL-X `transl`: the pelvis is at `root + J0(betas)`.
    """

    rotations: Float[ndarray, "actors frames 55 3 3"]
    root: Float[ndarray, "actors frames 3"]
    fps: float
    betas: Float[ndarray, "actors shape"] = field(default_factory=lambda: np.zeros((1, 10), np.float32))
    genders: tuple[str, ...] = ("neutral",)
    mask: Bool[ndarray, " 55"] = field(default_factory=lambda: np.arange(NUM_JOINTS) < 22)

    def __post_init__(self) -> None:
        actors, frames = self.rotations.shape[:2]
        if self.rotations.shape != (actors, frames, NUM_JOINTS, 3, 3):
            raise LabanError(
                f"motion: rotations have shape {self.rotations.shape}; expected (actors, frames, 55, 3, 3)"
            )
        if self.root.shape != (actors, frames, 3):
            raise LabanError(f"motion: root has shape {self.root.shape}; expected {(actors, frames, 3)}")
        if not frames:
            raise LabanError("motion: has no frames")
        if not (np.isfinite(self.fps) and self.fps > 0):
            raise LabanError(f"motion: fps is {self.fps}; expected a positive number")
        for name, values in (("rotations", self.rotations), ("root", self.root), ("betas", self.betas)):
            if not np.isfinite(values).all():
                bad = np.argwhere(~np.isfinite(values))[0].tolist()
                raise LabanError(f"motion: {name} holds a NaN or infinite number, first at index {bad}")
        if len(self.betas) != actors:
            object.__setattr__(self, "betas", np.broadcast_to(self.betas[:1], (actors, self.betas.shape[1])).copy())
        if len(self.genders) != actors:
            object.__setattr__(self, "genders", self.genders[:1] * actors)

    @property
    def actors(self) -> int:
        """Number of people."""
        return self.rotations.shape[0]

    @property
    def frames(self) -> int:
        """Number of frames."""
        return self.rotations.shape[1]

    @property
    def seconds(self) -> float:
        """Duration: frames / fps."""
        return self.frames / self.fps

    def slice(self, start: int, stop: int) -> Motion:
        """Frames `start:stop` as a new motion."""
        return replace(self, rotations=self.rotations[:, start:stop], root=self.root[:, start:stop])

    def actor(self, index: int) -> Motion:
        """One actor alone."""
        pick = np.s_[index : index + 1]
        return replace(self, rotations=self.rotations[pick], root=self.root[pick], betas=self.betas[pick],
                       genders=self.genders[pick])  # fmt: skip
