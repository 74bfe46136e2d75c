"""pyrender: the same picture as the numba back end's, from buffers that are written in place."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import pytest

from laban.errors import LabanError
from viz.camera import Camera
from viz.raster import RasterRenderer
from viz.renderer import Mesh, make_renderer
from viz.skeleton import skeleton_mesh, sphere
from viz.studio import STUDIO

BARE = replace(STUDIO, floor=None)
SIZE = (240, 180)
CAMERA = Camera((1.5, 1.6, 3.5), (0.0, 0.9, 0.0), 36.0)
FIGURE = np.array([[0, 1, 0], [0.2, 0.5, 0.1], [0.2, 0, 0], [-0.2, 0.5, 0], [-0.2, 0, 0], [0, 1.5, 0], [0.5, 1.4, 0.2],
                   [-0.5, 1.4, -0.1]])  # fmt: skip


@pytest.fixture(scope="module", params=[1, 4])
def pair(request: pytest.FixtureRequest) -> Iterator[tuple[Callable[..., np.ndarray], Callable[..., np.ndarray]]]:
    try:
        gl = make_renderer("pyrender", SIZE, samples=request.param)
    except LabanError as error:
        pytest.skip(str(error))
    yield gl.render, RasterRenderer(SIZE, samples=request.param).render
    gl.close()


def figure(lift: float = 0.0, **other: float) -> Mesh:
    parents = [-1, 0, 1, 0, 3, 0, 5, 5]
    return replace(skeleton_mesh(FIGURE + [0, lift, 0], parents, thickness=4), **other)


def test_silhouettes_agree(pair) -> None:
    masks = [(draw([figure()], CAMERA, BARE) != draw([], CAMERA, BARE)).any(axis=-1) for draw in pair]
    assert masks[0].sum() > 1000
    assert (masks[0] & masks[1]).sum() / (masks[0] | masks[1]).sum() >= 0.97


def test_colours_agree(pair) -> None:
    gl, raster = (draw([figure(), sphere(0.3, (0.6, 0.3, 0.3))], CAMERA).astype(int) for draw in pair)
    difference = np.abs(gl - raster).max(axis=-1)
    assert difference.mean() < 0.6
    assert np.quantile(difference, 0.98) <= 3


def test_ghosts_agree_and_stay_behind_solid_bodies(pair) -> None:
    meshes = [figure(), replace(sphere(0.4, (-0.4, 0.8, -0.6)), opacity=0.5),
              replace(sphere(0.3, (0.5, 0.8, 0.7)), opacity=0.3)]  # fmt: skip
    gl, raster = (draw(meshes, CAMERA).astype(int) for draw in pair)
    assert np.quantile(np.abs(gl - raster).max(axis=-1), 0.97) <= 4


def test_moved_vertices_are_shown_without_a_new_scene(pair) -> None:
    gl, raster = pair
    first = figure()
    gl([first], CAMERA, BARE)
    moved = replace(first, vertices=first.vertices + np.float32([0.2, 0.3, 0]), color=(200, 60, 60))
    found, wanted = gl([moved], CAMERA, BARE).astype(int), raster([moved], CAMERA, BARE).astype(int)
    assert np.quantile(np.abs(found - wanted).max(axis=-1), 0.98) <= 3


def test_other_meshes_and_an_empty_scene_follow_in_the_same_renderer(pair) -> None:
    gl, raster = pair
    for meshes in ([figure()], [], [sphere(0.5, (0.0, 0.8, 0.0))], [figure(0.1), sphere(0.2, (0.5, 0.2, 0.5))]):
        found, wanted = gl(meshes, CAMERA).astype(int), raster(meshes, CAMERA).astype(int)
        assert np.quantile(np.abs(found - wanted).max(axis=-1), 0.98) <= 3
