"""Frames a second of each back end on the default body, beside pyrender's stock path on the same frames.

python benchmarks/rendering.py [--frames 60]

A frame is everything after skinning: normals, light, shadows, floor, drawing, one picture in memory. Bars: numba at
four samples a pixel >= 60 fps at 512x512 and >= 30 fps at 1280x720 on one core; pyrender >= 2x its stock path, which is
what a script writes first: `Mesh.from_trimesh` for every frame, two lights, no floor and no shadow. Wall time is what
a user waits; processor time tells the same on a busy machine (software OpenGL uses several threads at once).
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from laban.errors import LabanError
from models.body.model import load_body
from models.body.skeleton import JOINT
from models.compat import import_pyrender
from models.motion import Motion
from models.rotations import axis_angle_to_matrix
from viz.camera import Camera, CameraPath, plan_camera
from viz.cast import Cast
from viz.gl import GlRenderer
from viz.raster import RasterRenderer
from viz.renderer import Mesh, Renderer
from viz.studio import STUDIO, Studio

SIZES = ((512, 512), (1280, 720))
BARS = {(512, 512): 60.0, (1280, 720): 30.0}
WARM = 3


@dataclass(frozen=True)
class Speed:
    """Medians over the frames, as frames a second of wall time and of processor time."""

    wall: float
    processor: float


@dataclass(frozen=True)
class Clip:
    """Skinned frames with a camera for each."""

    frames: list[list[Mesh]]
    cameras: CameraPath
    studio: Studio


def walking(frames: int) -> Motion:
    """A plain walk with swinging arms, at 30 fps: enough to change every frame."""
    phase = 2 * np.pi * 0.95 * np.arange(frames) / 30
    turns = np.zeros((frames, 55, 3))
    for side, sign in (("left", 1), ("right", -1)):
        turns[:, JOINT[f"{side}_hip"], 0] = -0.4 * sign * np.sin(phase)
        turns[:, JOINT[f"{side}_knee"], 0] = 0.4 + 0.35 * sign * np.cos(phase)
        turns[:, JOINT[f"{side}_shoulder"], 2] = -1.2 * sign
        turns[:, JOINT[f"{side}_shoulder"], 1] = 0.4 * np.sin(phase)
    root = np.zeros((1, frames, 3), np.float32)
    root[0, :, 1], root[0, :, 2] = 1.3, 1.2 * np.arange(frames) / 30
    return Motion(axis_angle_to_matrix(torch.from_numpy(turns)).float().numpy()[None], root, 30.0)


def clip(frames: int, size: tuple[int, int]) -> Clip:
    motion, cast = walking(frames), Cast(load_body())
    cameras = plan_camera(cast.joints(motion), 30, size)
    return Clip(list(cast.frames(motion)), cameras, STUDIO.turned(float(cameras.azimuths[0])))


def speed(draw: Callable[[int], object], frames: int) -> Speed:
    for frame in range(WARM):
        draw(frame)
    wall, processor = [], []
    for frame in range(frames):
        start, worked = time.perf_counter(), time.process_time()
        draw(frame)
        wall.append(time.perf_counter() - start)
        processor.append(time.process_time() - worked)
    return Speed(1 / statistics.median(wall), 1 / statistics.median(processor))


def ours(renderer: Renderer, film: Clip) -> Speed:
    def draw(frame: int) -> object:
        return renderer.render(film.frames[frame], film.cameras[frame], film.studio)

    return speed(draw, len(film.frames))


def stock(film: Clip, size: tuple[int, int]) -> Speed:
    """pyrender as its documentation has it."""
    import trimesh

    pyrender = import_pyrender()
    window = pyrender.OffscreenRenderer(*size)

    def draw(frame: int) -> object:
        camera, mesh = film.cameras[frame], film.frames[frame][0]
        scene = pyrender.Scene(bg_color=[0.95, 0.95, 0.97, 1.0], ambient_light=[0.3, 0.3, 0.3])
        surface = trimesh.Trimesh(mesh.vertices, mesh.faces, vertex_colors=mesh.colors, process=False)
        scene.add(pyrender.Mesh.from_trimesh(surface))
        pose = camera_pose(camera)
        scene.add(pyrender.PerspectiveCamera(np.radians(camera.fov), aspectRatio=size[0] / size[1]), pose=pose)
        for _ in range(2):
            scene.add(pyrender.DirectionalLight(intensity=2.0), pose=pose)
        return window.render(scene)[0]

    found = speed(draw, len(film.frames))
    window.delete()
    return found


def camera_pose(camera: Camera) -> np.ndarray:
    pose = np.eye(4)
    pose[:3, :3] = (camera.axes() * np.array([[1.0], [1.0], [-1.0]])).T
    pose[:3, 3] = camera.eye
    return pose


def row(name: str, size: tuple[int, int], found: Speed, note: str = "") -> None:
    print(f"{name:34} {size[0]:5}x{size[1]:<5} {found.wall:7.1f} {found.processor:10.1f}   {note}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=60, help="frames per row")
    frames = parser.parse_args().frames
    torch.set_num_threads(1)
    faces = len(load_body().faces)
    print(f"{faces} faces, n = {frames} frames a row, medians; {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    print(f"{'back end':34} {'size':11} {'fps wall':>8} {'fps of cpu':>9}")
    for size in SIZES:
        film = clip(frames, size)
        for samples in (4, 1):
            bar = f"bar {BARS[size]:.0f} on one core" if samples == 4 else ""
            row(f"numba, {samples} samples", size, ours(RasterRenderer(size, samples=samples), film), bar)
        try:
            reference = stock(film, size)
            row("pyrender stock, 4 samples", size, reference, "reference")
            for samples in (4, 1):
                renderer = GlRenderer(size, samples=samples)
                found = ours(renderer, film)
                ratio = (
                    f"{found.wall / reference.wall:.1f}x stock wall, {found.processor / reference.processor:.1f}x cpu"
                )
                row(f"pyrender ours, {samples} samples", size, found, f"{ratio}; bar 2x; {renderer.device}")
                renderer.close()
        except LabanError as error:
            print(f"pyrender: not measured ({error})")


if __name__ == "__main__":
    main()
