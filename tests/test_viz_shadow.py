"""Floor and shadows: where they fall, how soft they are, and that the grid is where it should be."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from viz.camera import Camera
from viz.raster import RasterRenderer
from viz.renderer import Mesh
from viz.scene import paint_studio
from viz.shadow import ShadowMap, cast_shadows
from viz.skeleton import sphere
from viz.studio import STUDIO, Studio

SIDEWAYS = replace(STUDIO, key=(1.0, 2.0, 0.0))


def darkness_at(shadow: ShadowMap, x: float, z: float) -> float:
    column, row = int((x - shadow.corner[0]) / shadow.cell), int((z - shadow.corner[1]) / shadow.cell)
    return float(shadow.darkness[row, column])


def centre_of_darkness(shadow: ShadowMap) -> tuple[float, float]:
    rows, columns = np.indices(shadow.darkness.shape) + 0.5
    total = shadow.darkness.sum()
    return (
        float((columns * shadow.darkness).sum() / total * shadow.cell + shadow.corner[0]),
        float((rows * shadow.darkness).sum() / total * shadow.cell + shadow.corner[1]),
    )


def picture(meshes: list[Mesh], camera: Camera, studio: Studio = STUDIO) -> np.ndarray:
    return RasterRenderer((160, 120), samples=1).render(meshes, camera, studio).astype(int)


def test_the_floor_is_darker_under_a_ball_and_untouched_far_from_it() -> None:
    camera = Camera((0.0, 3.0, 5.0), (0.0, 0.2, 0.0), 40.0)
    empty, shown = picture([], camera), picture([sphere(0.2, (0.0, 0.2, 0.0))], camera)
    x, y, _ = camera.project(np.array([0.24, 0.0, -0.02]), (160, 120))
    assert (shown[int(y), int(x)] < empty[int(y), int(x)] - 8).all()
    x, y, _ = camera.project(np.array([1.8, 0.0, 1.0]), (160, 120))
    assert (shown[int(y), int(x)] == empty[int(y), int(x)]).all()


@pytest.mark.parametrize("height", [0.6, 1.2, 2.4])
def test_a_shadow_falls_away_from_the_key_light_by_the_height(height: float) -> None:
    shadow = cast_shadows([sphere(0.2, (0.5, height, -1.0))], replace(SIDEWAYS, pool=0.0))
    assert centre_of_darkness(shadow) == pytest.approx((0.5 - height / 2, -1.0), abs=0.02)


def test_contact_is_darkest_right_below_and_fades_as_the_ball_rises() -> None:
    studio = replace(STUDIO, shadow=0.0)
    depths = [darkness_at(cast_shadows([sphere(0.15, (0, y, 0))], studio), 0.0, 0.0) for y in (0.15, 0.3, 0.6, 2.0)]
    assert depths[0] > 0.2
    assert depths == sorted(depths, reverse=True)
    assert depths[-1] == pytest.approx(0, abs=1e-3)


def test_higher_occluders_cast_wider_and_fainter_edges() -> None:
    def edge(height: float) -> float:
        """Width over which a wide board's shadow goes from 80 % to 20 % of its full darkness."""
        board = Mesh(np.float32([[-1, height, -1], [1, height, -1], [1, height, 1], [-1, height, 1]]),
                     np.int32([[0, 2, 1], [0, 3, 2]]))  # fmt: skip
        shadow = cast_shadows([board], replace(STUDIO, key=(0.0, 1.0, 0.0), pool=0.0))
        profile = shadow.darkness[shadow.darkness.shape[0] // 2]
        return float(((profile > 0.2 * profile.max()) & (profile < 0.8 * profile.max())).sum() * shadow.cell / 2)

    assert edge(0.05) < 0.06 < 0.1 < edge(1.0)


def test_shadows_are_smooth_and_between_none_and_full() -> None:
    shadow = cast_shadows([sphere(0.3, (0.0, 0.8, 0.0))], STUDIO)
    assert shadow.darkness.min() >= 0
    assert shadow.darkness.max() <= 1
    assert np.abs(np.diff(shadow.darkness, axis=1)).max() < 0.08
    border = np.concatenate([shadow.darkness[0], shadow.darkness[-1], shadow.darkness[:, 0], shadow.darkness[:, -1]])
    assert border.max() < 1e-3


def test_the_grid_of_cells_stays_put_when_a_body_moves() -> None:
    for x in (0.0, 0.013, 0.4):
        shadow = cast_shadows([sphere(0.2, (x, 0.2, x))], STUDIO)
        assert np.array(shadow.corner) / shadow.cell == pytest.approx(np.round(np.array(shadow.corner) / shadow.cell))


def test_a_body_throws_its_shadow_on_another() -> None:
    table = Mesh(np.float32([[-1, 0.5, -1], [1, 0.5, -1], [1, 0.5, 1], [-1, 0.5, 1]]),
                 np.int32([[0, 2, 1], [0, 3, 2]]), color=(200, 200, 200))  # fmt: skip
    fine = subdivided(table, 5)
    camera = Camera((0.0, 4.0, 4.0), (0.0, 0.5, 0.0), 40.0)
    alone = picture([fine], camera, SIDEWAYS)
    shaded = picture([fine, sphere(0.15, (0.4, 1.5, 0.0))], camera, SIDEWAYS)
    x, y, _ = camera.project(np.array([-0.1, 0.5, 0.0]), (160, 120))
    assert (shaded[int(y), int(x)] < alone[int(y), int(x)] - 20).all()
    x, y, _ = camera.project(np.array([-0.8, 0.5, 0.5]), (160, 120))
    assert shaded[int(y), int(x)] == pytest.approx(alone[int(y), int(x)], abs=1)


def subdivided(mesh: Mesh, times: int) -> Mesh:
    vertices, faces = mesh.vertices, mesh.faces
    for _ in range(times):
        a, b, c = vertices[faces[:, 0]], vertices[faces[:, 1]], vertices[faces[:, 2]]
        ab, bc, ca = (a + b) / 2, (b + c) / 2, (c + a) / 2
        vertices = np.stack([a, ab, ca, ab, b, bc, ca, bc, c, ab, bc, ca], axis=1).reshape(-1, 3)
        faces = np.arange(len(vertices), dtype=np.int32).reshape(-1, 3)
    return replace(mesh, vertices=vertices, faces=faces)


def test_a_lit_surface_does_not_shade_itself() -> None:
    studio = replace(STUDIO, floor=None)
    ball = sphere(0.5, (0.0, 1.0, 0.0), detail=4)
    shadow = cast_shadows([ball], studio)
    none = replace(shadow, highest=np.full_like(shadow.highest, -1e9))
    from viz.shading import shade, vertex_normals

    normals = vertex_normals(ball.vertices, ball.faces)
    lit, unshaded = (
        shade(ball.vertices, normals, ball.vertex_colors(), eye=(0.0, 1.0, 4.0), studio=studio, shadow=s)
        for s in (shadow, none)
    )
    towards = normals @ np.float32(studio.key) > 0.35
    assert lit[towards] == pytest.approx(unshaded[towards], rel=0.02)


def test_grid_lines_lie_at_multiples_of_the_square() -> None:
    camera = Camera((0.2, 3.0, 0.21), (0.2, 0.0, 0.2), 60.0)
    canvas = np.empty((400, 400, 3), np.uint8)
    studio = replace(STUDIO, grid=0.5)
    paint_studio(canvas, camera, studio, cast_shadows([], studio))
    line = canvas[:, :, 0].astype(float)
    across = np.arange(400)[line[300] < line[300].mean() - 8]
    x = 0.2 + (across + 0.5 - 200) * 3.0 / camera.focal((400, 400))
    assert len(x) >= 4
    assert np.abs(x - np.round(x / 0.5) * 0.5).max() < 0.02


def test_the_floor_fades_into_the_backdrop_without_a_horizon() -> None:
    camera = Camera((0.0, 1.5, 4.0), (0.0, 1.0, 0.0), 40.0)
    shown, bare = picture([], camera), picture([], camera, replace(STUDIO, floor=None))
    steps = np.abs(np.diff(shown[:, 80].mean(axis=1)))
    assert steps.max() < 8
    assert (shown[:40] == bare[:40]).all()
    assert np.abs(shown[100:] - bare[100:]).max() > 4


def test_a_camera_below_the_floor_and_an_empty_scene_still_draw() -> None:
    below = picture([sphere(0.3, (0.0, 1.0, 0.0))], Camera((0.0, -1.0, 4.0), (0.0, 1.0, 0.0), 40.0))
    assert below.shape == (120, 160, 3)
    raised = picture([], Camera((0.0, 1.5, 4.0), (0.0, 1.0, 0.0)), replace(STUDIO, floor=0.4))
    assert raised.min() > 150
