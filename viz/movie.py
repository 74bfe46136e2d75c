"""From a motion to a moving picture: skinning, drawing and encoding side by side, in bounded memory."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from jaxtyping import Float, UInt8
from numpy import ndarray

from laban.progress import progress as show_progress
from models.motion import Motion
from models.resample import resample
from viz.camera import CAMERA_KINDS, CameraPath, plan_camera
from viz.cast import CLOTHES, Cast, Color
from viz.renderer import RENDERERS, Mesh, check_choice, check_size, make_renderer
from viz.room import Room, room_cameras
from viz.studio import STUDIO, Studio
from viz.video import VIDEO_SUFFIXES, check_suffix, open_video

if TYPE_CHECKING:
    from models.body.model import BodyModel

Picture = UInt8[ndarray, "height width 3"]

AHEAD = 4
"""Pictures waiting for the encoder, at most."""


@dataclass(frozen=True)
class Look:
    """How pictures are taken: (width, height) in pixels, back end, camera, and who is seen.

    `azimuth` is the camera's direction in degrees around +Y from +Z (None: three-quarter on the first person's front).
    With a `room` the camera looks down into it, from where furniture hides people least, and `fixed` shows all of it.
    """

    size: tuple[int, int] = (512, 512)
    renderer: str = "auto"
    camera: str = "follow"
    azimuth: float | None = None
    colors: tuple[Color | None, ...] = CLOTHES
    skeleton: bool = False
    contacts: bool = False
    """Colour where people touch one another."""
    opacity: float = 1.0
    """Of the people: below 1 they are ghosts."""
    studio: Studio = STUDIO
    room: Room | None = None

    def __post_init__(self) -> None:
        check_size(self.size)
        check_choice("--renderer", self.renderer, RENDERERS)
        check_choice("--camera", self.camera, CAMERA_KINDS)

    def cameras(self, joints: Float[ndarray, "actors frames joints 3"], fps: float) -> CameraPath:
        """A camera for each frame."""
        if self.room is None:
            return plan_camera(joints, fps, self.size, kind=self.camera, azimuth=self.azimuth)
        return room_cameras(self.room, joints, fps, self.size, kind=self.camera, azimuth=self.azimuth)

    def scenery(
        self, path: CameraPath, joints: Float[ndarray, "actors frames joints 3"], fps: float
    ) -> Callable[[int], list[Mesh]]:
        """What stands around people in each frame."""
        if self.room is None:
            return lambda frame: []
        room, opacities = self.room, self.room.opacities(path, joints, fps)
        return lambda frame: room.meshes(opacities[frame])

    def seen(self, meshes: list[Mesh]) -> list[Mesh]:
        """People as faint as they are to be."""
        return meshes if self.opacity == 1 else [replace(mesh, opacity=self.opacity) for mesh in meshes]

    def lit(self, azimuth: float) -> Studio:
        """The studio with its lights where they belong for a camera at this azimuth."""
        return (self.studio if self.room is None else self.room.studio(self.studio)).turned(azimuth)


def film(
    motion: Motion,
    path: str | Path,
    look: Look | None = None,
    *,
    fps: float = 30,
    body: BodyModel | None = None,
    progress: bool = True,
) -> int:
    """Film a motion, resampled to `fps`, and write it as mp4 or gif; returns the number of pictures.

    `body` is the open body unless given. Vertices exist for two batches of frames at a time, however long the clip.
    Raises LabanError for a bad size, suffix, camera or renderer, and for a file that cannot be written; then, and
    when interrupted, nothing is left at `path`.
    """
    check_suffix(Path(path), VIDEO_SUFFIXES)
    look = look or Look()
    motion = resample(motion, fps)
    with (
        closing(shots(motion, look, body=body)) as pictures,
        open_video(path, fps) as add,
        show_progress("rendering", motion.frames, quiet=not progress) as advance,
        _behind(add) as later,
    ):
        for picture in pictures:
            later(picture)
            advance(1)
    return motion.frames


def shots(motion: Motion, look: Look, *, body: BodyModel | None = None) -> Generator[Picture, None, None]:
    """The pictures of a motion, one a frame, drawn as they are asked for."""
    from models.body.model import load_body

    cast = Cast(body or load_body(), look.colors, look.skeleton, look.contacts)
    joints = cast.joints(motion)
    path = look.cameras(joints, motion.fps)
    scenery, studio = look.scenery(path, joints, motion.fps), look.lit(float(path.azimuths[0]))
    renderer = make_renderer(look.renderer, look.size)
    try:
        with closing(cast.frames(motion)) as frames:
            for frame, meshes in enumerate(frames):
                yield renderer.render([*scenery(frame), *look.seen(meshes)], path[frame], studio)
    finally:
        renderer.close()


@contextmanager
def _behind(add: Callable[[Picture], None]) -> Iterator[Callable[[Picture], None]]:
    """Yield a function that hands pictures to `add` on another thread, a few ahead at most; errors come back here."""
    waiting: deque[Future[None]] = deque()
    with ThreadPoolExecutor(1) as worker:

        def later(picture: Picture) -> None:
            waiting.append(worker.submit(add, picture))
            if len(waiting) > AHEAD:
                waiting.popleft().result()

        try:
            yield later
            while waiting:
                waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()
