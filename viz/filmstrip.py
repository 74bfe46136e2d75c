"""Motion on one picture: a single moment, poses side by side, or the same person again and again along the path."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float, Int, UInt8
from numpy import ndarray

from laban.errors import LabanError
from laban.files import atomic_path
from models.motion import Motion
from viz.camera import CROWN, FLESH, Camera, CameraPath, facing_azimuth, plan_camera
from viz.cast import Cast
from viz.movie import Look
from viz.renderer import MAX_SIDE, Mesh, check_size, make_renderer
from viz.video import check_suffix

if TYPE_CHECKING:
    from models.body.model import BodyModel

Picture = UInt8[ndarray, "height width 3"]

PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")
TURN = 38.0
STRIP_ELEVATION = 9.0
STRIP_FOV = 9.0
PATH_ELEVATION = 18.0
BESIDE = 58.0
"""Degrees between the way people go and the camera that sees their path."""
SPACE = 0.18
"""Metres of air between neighbouring poses."""
LABEL = (104, 113, 128)
FAINTEST = 0.30
POSE_WIDTH = 0.48
"""Width of a pose on a strip, as a part of its height."""


def still(motion: Motion, seconds: float, look: Look, *, body: BodyModel | None = None) -> Picture:
    """The moment `seconds` into the motion, seen by the camera that would film all of it."""
    cast = _cast(body, look)
    frame = frame_at(motion, seconds)
    joints = cast.joints(motion)
    path = look.cameras(joints, motion.fps)
    around = look.scenery(path, joints, motion.fps)(frame)
    return _picture([*around, *cast.at(motion, [frame])[0]], path[frame], look)


def filmstrip(motion: Motion, count: int, look: Look, *, body: BodyModel | None = None, labels: bool = True) -> Picture:
    """`count` poses side by side on one floor, evenly spaced in time from left to right, under each its second.

    The picture has the look's size; the bodies are as large as it allows. Each pose keeps its own facing and height,
    but not its place: those that travel are brought back into line.
    """
    cast = _cast(body, look)
    frames = pick_frames(motion, count)
    joints = cast.joints(motion)[:, frames]
    azimuth = look.azimuth if look.azimuth is not None else facing_azimuth(joints[0, 0]) + TURN
    camera, places = _line_up(joints, azimuth, look.size, bottom=0.085 if labels else 0.04)
    shift = places - _middles(joints)
    poses = cast.at(motion, frames.tolist())
    meshes = look.seen([_moved(mesh, shift[i]) for i, pose in enumerate(poses) for mesh in pose])
    picture = _picture(meshes, camera, look)
    if labels:
        feet = camera.project(places * [1.0, 0.0, 1.0], look.size)
        height = look.size[1] * 0.955
        _write(picture, [(x, height) for x in feet[:, 0]], _times(motion, frames))
    return picture


def path_picture(
    motion: Motion, count: int, look: Look, *, body: BodyModel | None = None, labels: bool = True
) -> Picture:
    """`count` poses where they happen, earlier ones fainter, with the second at the feet of each."""
    cast = _cast(body, look)
    frames = pick_frames(motion, count)
    joints = cast.joints(motion)[:, frames]
    azimuth = look.azimuth if look.azimuth is not None else _beside_path(joints)
    if look.room is None:
        camera = plan_camera(joints, motion.fps, look.size, kind="fixed", azimuth=azimuth, elevation=PATH_ELEVATION)[0]
    else:
        camera = replace(look, camera="fixed").cameras(joints, motion.fps)[0]
    strength = [*np.linspace(FAINTEST, 0.75, count - 1), 1.0] if count > 1 else [1.0]
    poses = cast.at(motion, frames.tolist())
    meshes = [replace(mesh, opacity=float(strength[i])) for i, pose in enumerate(poses) for mesh in pose]
    around = [] if look.room is None else look.room.meshes()
    picture = _picture([*around, *meshes], camera, look)
    if labels:
        feet = camera.project(_middles(joints) * [1.0, 0.0, 1.0], look.size)
        below = look.size[1] * 0.035
        _write(picture, [(x, y + below) for x, y in feet[:, :2]], _times(motion, frames))
    return picture


def strip_size(height: int, count: int) -> tuple[int, int]:
    """(width, height) of a strip on which `count` upright poses stand close."""
    return min(round(height * POSE_WIDTH * max(count, 1.2)), MAX_SIDE), height


def save_picture(picture: Picture, path: str | Path) -> None:
    """Write png, jpg or webp; LabanError for another suffix or a place that cannot be written."""
    from PIL import Image

    path = Path(path)
    check_suffix(path, PICTURE_SUFFIXES)
    with atomic_path(path) as temporary:
        Image.fromarray(picture).save(temporary, quality=92)


def frame_at(motion: Motion, seconds: float) -> int:
    """The frame nearest to a time; LabanError outside the motion."""
    if not 0 <= seconds <= motion.seconds:
        raise LabanError(f"time: found {seconds:g} s; accepted 0 to {motion.seconds:g} s, the motion's length")
    return min(round(seconds * motion.fps), motion.frames - 1)


def pick_frames(motion: Motion, count: int) -> Int[ndarray, " count"]:
    """The middle frames of `count` equal parts of the motion; LabanError when there are not that many frames."""
    if not 1 <= count <= motion.frames:
        raise LabanError(f"--filmstrip: found {count} poses; accepted 1 to {motion.frames}, the motion's frames")
    return ((np.arange(count) + 0.5) * motion.frames / count).astype(np.int64)


def _cast(body: BodyModel | None, look: Look) -> Cast:
    from models.body.model import load_body

    return Cast(body or load_body(), look.colors, look.skeleton, look.contacts)


def _picture(meshes: Sequence[Mesh], camera: Camera, look: Look) -> Picture:
    with closing(make_renderer(look.renderer, check_size(look.size))) as renderer:
        return renderer.render(meshes, camera, look.lit(camera.azimuth))


def _middles(joints: Float[ndarray, "actors count joints 3"]) -> Float[ndarray, "count 3"]:
    """Where the people stand in each frame: halfway between the outermost pelvises, on the floor plane."""
    pelvis = joints[:, :, 0]
    middle = (pelvis.min(axis=0) + pelvis.max(axis=0)) / 2
    return middle * np.array([1.0, 0.0, 1.0])


def _beside_path(joints: Float[ndarray, "actors count joints 3"]) -> float:
    """Azimuth from which the way from the first pose to the last runs across the picture, on the people's front."""
    places = _middles(joints)
    way = places[-1] - places[0]
    front = facing_azimuth(joints[0, 0]) + TURN
    if np.hypot(way[0], way[2]) < 0.5:
        return front
    along = float(np.degrees(np.arctan2(way[0], way[2])))
    sides = (along - BESIDE, along + BESIDE)
    return min(sides, key=lambda side: abs((side - front + 180) % 360 - 180))


def _line_up(
    joints: Float[ndarray, "actors count joints 3"], azimuth: float, size: tuple[int, int], *, bottom: float
) -> tuple[Camera, Float[ndarray, "count 3"]]:
    """A long lens that sees every pose, and the places on the floor to put them, evenly over the picture's width.

    `bottom` is the part of the height below the lowest point that is kept free.
    """
    count = joints.shape[1]
    axes = CameraPath(np.zeros((1, 3)), np.array([azimuth]), STRIP_ELEVATION, 1.0)[0].axes()
    across, up = np.moveaxis((joints - _middles(joints)[None, :, None]) @ axes[:2].T, -1, 0)
    left, right = across.min(axis=(0, 2)) - FLESH, across.max(axis=(0, 2)) + FLESH
    needed = max([*(right[:-1] - left[1:]), 2 * max(right[-1], -left[0]), 0.5]) + SPACE
    lowest, highest = float(up.min()) - FLESH / 2, float(up.max()) + CROWN
    scale = min(size[0] / (needed * count), size[1] * (0.94 - bottom) / max(highest - lowest, 1.0))
    places = ((np.arange(count) - (count - 1) / 2) * size[0] / (count * scale))[:, None] * axes[0]
    view = size[1] / scale
    middle = (lowest + view * (0.5 - bottom)) * axes[1]
    distance = view / 2 / np.tan(np.radians(STRIP_FOV) / 2)
    path = CameraPath(middle[None], np.array([azimuth]), STRIP_ELEVATION, float(distance), STRIP_FOV)
    return path[0], places


def _moved(mesh: Mesh, shift: Float[ndarray, "3"]) -> Mesh:
    return replace(mesh, vertices=(mesh.vertices + shift).astype(np.float32))


def _times(motion: Motion, frames: Int[ndarray, " count"]) -> list[str]:
    digits = 1 if motion.seconds / len(frames) > 0.2 else 2
    return [f"{frame / motion.fps:.{digits}f} s" for frame in frames]


def _write(picture: Picture, places: Sequence[tuple[float, float]], texts: Sequence[str]) -> None:
    """Write small grey labels, centred on pixel places."""
    from PIL import Image, ImageDraw, ImageFont

    image = Image.fromarray(picture)
    draw = ImageDraw.Draw(image)
    font = ImageFont.load_default(max(10, round(picture.shape[0] * 0.032)))
    for place, text in zip(places, texts, strict=True):
        draw.text(place, text, fill=LABEL, font=font, anchor="mm")
    picture[:] = np.asarray(image)
