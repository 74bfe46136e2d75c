"""What every back end takes and gives, and the choice between them."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float32, Int32, UInt8
from numpy import ndarray

from laban.errors import LabanError
from viz.camera import Camera
from viz.studio import STUDIO, Studio

RENDERERS = ("auto", "numba", "pyrender")
MAX_SIDE = 8192
CLAY = (198, 202, 208)

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Mesh:
    """A triangle surface in the world (Y up, metres), counter-clockwise seen from outside.

    `colors` are sRGB, one a vertex; without them the whole surface is `color`. Below full `opacity` it is a ghost:
    what lies behind shows through, its own far side does not. What `casts` nothing throws no shadow.
    """

    vertices: Float32[ndarray, "vertices 3"]
    faces: Int32[ndarray, "faces 3"]
    colors: UInt8[ndarray, "vertices 3"] | None = None
    color: tuple[int, int, int] = CLAY
    opacity: float = 1.0
    casts: bool = True

    def __post_init__(self) -> None:
        # Kernels are compiled for one memory layout; another would compile them again. No copy where it already is so.
        for name in ("vertices", "faces", "colors"):
            if (array := getattr(self, name)) is not None:
                object.__setattr__(self, name, np.require(array, requirements=("C", "W")))

    def vertex_colors(self) -> UInt8[ndarray, "vertices 3"]:
        """sRGB colour of every vertex."""
        if self.colors is not None:
            return self.colors
        return np.tile(np.array(self.color, np.uint8), (len(self.vertices), 1))


@runtime_checkable
class Renderer(Protocol):
    """A back end, made for one picture size."""

    name: str
    size: tuple[int, int]

    def render(
        self, meshes: Sequence[Mesh], camera: Camera, studio: Studio = STUDIO
    ) -> UInt8[ndarray, "height width 3"]:
        """The picture as sRGB; the caller owns the array."""
        ...

    def close(self) -> None:
        """Give back graphics memory; the renderer is not used afterwards."""
        ...


def check_size(size: tuple[int, int]) -> tuple[int, int]:
    """`size` (width, height) in pixels, or LabanError when a side is not within 2..8192."""
    if len(size) != 2 or not all(2 <= side <= MAX_SIDE for side in size):
        found = "x".join(str(side) for side in size)
        raise LabanError(f"--size: found {found}; accepted WIDTHxHEIGHT, each from 2 to {MAX_SIDE}")
    return size


def check_choice(option: str, value: str, accepted: Sequence[str]) -> None:
    """LabanError, naming the option, unless `value` is one of `accepted`."""
    if value not in accepted:
        raise LabanError(f"{option}: found {value!r}; accepted {', '.join(accepted)}")


def make_renderer(name: str = "auto", size: tuple[int, int] = (512, 512), *, samples: int = 4) -> Renderer:
    """The back end called `name` for pictures of `size` (width, height), with `samples` samples a pixel (1 or 4).

    `auto` takes pyrender where it runs on a graphics card and the numba rasteriser elsewhere (software OpenGL is
    slower); the reason goes to the log. Raises LabanError for an unknown name, a bad size, or pyrender without OpenGL.
    """
    check_size(size)
    if samples not in (1, 4):
        raise LabanError(f"samples: found {samples}; accepted 1 or 4 samples a pixel")
    check_choice("--renderer", name, RENDERERS)
    if name == "pyrender":
        from viz.gl import GlRenderer

        return GlRenderer(size, samples=samples)
    if name == "auto" and (card := _graphics_card()):
        from viz.gl import GlRenderer

        try:
            renderer = GlRenderer(size, samples=samples)
            if renderer.hardware:
                _log.info("renderer: pyrender, because OpenGL runs on %s", renderer.device)
                return renderer
            renderer.close()
            reason = f"OpenGL runs in software here ({renderer.device})"
        except LabanError as error:
            reason = f"{card} is there, but {error}"
    else:
        reason = "no graphics card was found" if name == "auto" else "it was asked for"
    _log.info("renderer: numba, because %s", reason)
    from viz.raster import RasterRenderer

    return RasterRenderer(size, samples=samples)


def _graphics_card() -> str | None:
    """A device file that OpenGL could drive, or None: asking costs nothing, unlike starting OpenGL."""
    for pattern in ("dri/renderD*", "nvidia[0-9]*"):
        for device in sorted(Path("/dev").glob(pattern)):
            return str(device)
    return None
