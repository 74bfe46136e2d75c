"""The numba back end: which pixels, what is in front, how edges and ghosts are mixed."""

from __future__ import annotations

import logging
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from laban.errors import LabanError
from viz import raster, scene, shading, shadow
from viz.camera import Camera
from viz.jit import cache_place
from viz.renderer import Mesh, Renderer, make_renderer
from viz.shading import LINEAR_OF_SRGB, SRGB_OF_ROOT, vertex_normals
from viz.skeleton import LEFT, RIGHT, side_colors, skeleton_mesh, sphere
from viz.studio import STUDIO, Studio

BARE = replace(STUDIO, floor=None)
FRONT = Camera((0.0, 1.0, 4.0), (0.0, 1.0, 0.0), 40.0)
RED, BLUE = (220, 30, 30), (30, 30, 220)


def triangle(corners: list[tuple[float, float, float]], color: tuple[int, int, int] = RED, **other: float) -> Mesh:
    return Mesh(np.array(corners, np.float32), np.array([[0, 1, 2]], np.int32), color=color, **other)


def draw(meshes: list[Mesh], *, size: tuple[int, int] = (96, 72), samples: int = 1, studio: Studio = BARE,
         camera: Camera = FRONT) -> np.ndarray:  # fmt: skip
    return make_renderer("numba", size, samples=samples).render(meshes, camera, studio)


def covered(meshes: list[Mesh], **how: object) -> np.ndarray:
    """Pixels that differ from the empty studio."""
    return (draw(meshes, **how) != draw([], **how)).any(axis=-1)


def test_a_triangle_covers_exactly_the_pixel_centres_inside_it() -> None:
    mesh = triangle([(-0.7, 0.4, 0.3), (0.8, 0.6, -0.4), (0.1, 1.6, 0.1)])
    a, b, c = FRONT.project(mesh.vertices.astype(np.float64), (96, 72))[:, :2]
    centres = np.stack(np.meshgrid(np.arange(96) + 0.5, np.arange(72) + 0.5), axis=-1)

    def side(p: np.ndarray, q: np.ndarray) -> np.ndarray:
        return (q[0] - p[0]) * (centres[..., 1] - p[1]) - (q[1] - p[1]) * (centres[..., 0] - p[0])

    inside = np.stack([side(a, b), side(b, c), side(c, a)])
    expected = (inside < -1e-3).all(axis=0)
    unsure = (np.abs(inside) <= 1e-3).any(axis=0)
    assert expected.sum() > 200
    assert (covered([mesh]) == expected)[~unsure].all()


@pytest.mark.parametrize("swap", [False, True])
def test_the_nearer_surface_wins_in_either_order(swap: bool) -> None:
    far = triangle([(-1, 0, -1), (1, 0, -1), (0, 2, -1)], BLUE)
    near = triangle([(-0.4, 0.4, 1), (0.4, 0.4, 1), (0, 1.4, 1)], RED)
    picture = draw([near, far] if swap else [far, near]).astype(int)
    middle, beside = picture[36, 48], picture[52, 30]
    assert middle[0] > middle[2] + 60
    assert beside[2] > beside[0] + 60


def test_crossing_surfaces_meet_where_their_depths_are_equal() -> None:
    left_near = triangle([(-1, 0, 1), (1, 0, -1), (0, 2, 0)], RED)
    right_near = triangle([(-1, 0, -1), (1, 0, 1), (0, 2, 0)], BLUE)
    row = draw([left_near, right_near])[40].astype(int)
    hit = covered([left_near, right_near])[40]
    red = (row[:, 0] > row[:, 2])[hit]
    assert red[: len(red) // 2 - 1].all()
    assert not red[len(red) // 2 + 1 :].any()


def test_back_faces_and_what_is_behind_the_eye_are_not_drawn() -> None:
    front = [(-1.0, 0.0, 0.0), (1.0, 0.0, 0.0), (0.0, 2.0, 0.0)]
    assert covered([triangle(front)]).any()
    assert not covered([triangle(front[::-1])]).any()
    assert not covered([triangle([(x, y, 9.0) for x, y, _ in front])]).any()
    assert not covered([triangle([(-1, 0, 5), (1, 0, 0), (0, 2, 0)])]).any()


def test_meshes_that_leave_the_picture_are_clipped_and_those_outside_change_nothing() -> None:
    assert covered([triangle([(-50, -50, 0), (50, -50, 0), (0, 90, 0)])]).all()
    assert not covered([triangle([(20, 0, 0), (22, 0, 0), (21, 2, 0)])]).any()


def test_supersampling_mixes_edges_in_linear_light() -> None:
    mesh = triangle([(-9, -9, 0), (9, -9, 0), (0, 0.99, 0)])
    hard, soft = draw([mesh]), draw([mesh], samples=4)
    inside = hard[70, 48].astype(int)
    assert np.abs(soft[70, 48] - inside).max() <= 1
    back = draw([])
    edge = ((soft != back).any(-1)) & ((np.abs(soft.astype(int) - inside) > 12).any(-1))
    y, x = np.argwhere(edge)[len(np.argwhere(edge)) // 2]
    light = LINEAR_OF_SRGB[soft[y, x]]
    fractions = (light - LINEAR_OF_SRGB[back[y, x]]) / (LINEAR_OF_SRGB[hard[70, 48]] - LINEAR_OF_SRGB[back[y, x]])
    assert np.ptp(fractions) < 0.06
    assert min(abs(fractions.mean() - quarter) for quarter in (0.25, 0.5, 0.75)) < 0.05


def test_a_ghost_lets_the_back_through_by_its_opacity() -> None:
    corners = [(-3.0, -3.0, 0.0), (3.0, -3.0, 0.0), (0.0, 6.0, 0.0)]
    solid, ghost, back = draw([triangle(corners)]), draw([triangle(corners, opacity=0.25)]), draw([])
    mixed = 0.25 * LINEAR_OF_SRGB[solid] + 0.75 * LINEAR_OF_SRGB[back]
    assert LINEAR_OF_SRGB[ghost] == pytest.approx(mixed, abs=0.01)


def test_a_ghost_hides_behind_solid_bodies_and_shows_no_far_side() -> None:
    wall = triangle([(-3, -3, 1), (3, -3, 1), (0, 6, 1)], BLUE)
    ball = sphere(0.5, (0.0, 1.0, 0.0))
    assert (draw([wall, replace(ball, opacity=0.5)]) == draw([wall])).all()
    doubled = Mesh(np.concatenate([ball.vertices, ball.vertices * [0.5, 0.5, 0.5] + [0, 0.5, 0]]).astype(np.float32),
                   np.concatenate([ball.faces, ball.faces + len(ball.vertices)]), opacity=0.5)  # fmt: skip
    difference = np.abs(draw([doubled]).astype(int) - draw([replace(ball, opacity=0.5)]).astype(int))
    assert difference[30:42, 42:54].max() <= 24


def test_pictures_are_the_callers_own_and_repeatable() -> None:
    renderer = make_renderer("numba", (64, 48))
    first = renderer.render([sphere(0.5, (0.0, 1.0, 0.0))], FRONT)
    kept = first.copy()
    renderer.render([], FRONT)
    again = renderer.render([sphere(0.5, (0.0, 1.0, 0.0))], FRONT)
    assert (first == kept).all()
    assert (first == again).all()


def test_two_threads_draw_at_once_without_disturbing_each_other() -> None:
    meshes = [sphere(0.3 + 0.1 * i, (0.0, 1.0, 0.0)) for i in range(4)]
    alone = [draw([mesh], samples=4, studio=STUDIO) for mesh in meshes]
    with ThreadPoolExecutor(2) as pool:
        together = list(pool.map(lambda mesh: draw([mesh], samples=4, studio=STUDIO), meshes))
    assert all((a == b).all() for a, b in zip(alone, together, strict=True))


def test_normals_of_a_sphere_point_outwards() -> None:
    ball = sphere(2.0, (1.0, 2.0, 3.0))
    outward = (ball.vertices - np.float32([1, 2, 3])) / 2
    assert (vertex_normals(ball.vertices, ball.faces) * outward).sum(axis=1).min() > 0.999


def test_the_side_towards_the_key_light_is_brighter() -> None:
    ball = [sphere(0.6, (0.0, 1.0, 0.0))]
    picture = draw(ball, size=(120, 120)).astype(int).sum(axis=-1)
    hit = covered(ball, size=(120, 120))
    if STUDIO.key[0] < 0:
        picture, hit = picture[:, ::-1], hit[:, ::-1]
    lit, unlit = picture[:60, 60:][hit[:60, 60:]], picture[60:, :60][hit[60:, :60]]
    assert np.median(lit) > np.median(unlit) + 60


def test_srgb_tables_invert_each_other() -> None:
    codes = np.round(np.sqrt(LINEAR_OF_SRGB) * 1023).astype(int)
    assert np.abs(SRGB_OF_ROOT[codes].astype(int) - np.arange(256)).max() <= 1


def test_a_skeleton_has_its_sides_in_their_colours() -> None:
    joints = np.array([[0, 1, 0], [0.6, 1, 0], [-0.6, 1, 0]])
    mesh = skeleton_mesh(joints, [-1, 0, 0], colors=side_colors(["pelvis", "left_hand", "right_hand"]), thickness=3)
    picture = draw([mesh], size=(160, 120)).astype(int)
    x, y = np.round(FRONT.project(joints, (160, 120))[1:, :2] - 0.5).astype(int).T
    for column, row, color in zip(x, y, (LEFT, RIGHT), strict=True):
        assert np.argmax(picture[row, column]) == np.argmax(color)


def test_a_skeleton_is_depth_tested_and_survives_bones_of_no_length() -> None:
    joints = np.array([[0.0, 1.0, 0.0], [0.0, 1.0, 0.0], [0.5, 1.0, 0.0]])
    mesh = skeleton_mesh(joints, [-1, 0, 1])
    assert np.isfinite(mesh.vertices).all()
    wall = triangle([(-3, -3, 1), (3, -3, 1), (0, 6, 1)])
    assert (draw([mesh, wall]) == draw([wall])).all()


def test_the_choice_of_back_end_is_logged_with_its_reason(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="viz.renderer"):
        renderer = make_renderer("auto", (64, 48))
    assert isinstance(renderer, Renderer)
    assert f"renderer: {renderer.name}, because" in caplog.text
    renderer.close()


def test_every_kernel_is_compiled_once_for_all_kinds_of_meshes() -> None:
    """A second variant would cost another second of a user's first run."""
    joints = np.array([[0.0, 1.0, 0.0], [0.5, 1.0, 0.0]])
    painted, plain = skeleton_mesh(joints, [-1, 0]), sphere(0.3, (0.0, 1.0, 0.0))
    awkward = replace(plain, vertices=np.asfortranarray(plain.vertices), faces=np.broadcast_to(plain.faces, (1280, 3)))
    for meshes in ([painted], [plain], [awkward], [painted, replace(plain, opacity=0.5)], []):
        for samples in (1, 4):
            draw(meshes, samples=samples, studio=STUDIO)
    kernels = [k for m in (raster, scene, shading, shadow) for k in vars(m).values() if hasattr(k, "signatures")]
    used = [len(k.signatures) for k in kernels if k.signatures]
    assert len(used) >= 9
    assert set(used) == {1}


@pytest.mark.parametrize("size", [(1, 64), (64, 0), (-3, 5), (9000, 64)])
def test_absurd_sizes_are_refused(size: tuple[int, int]) -> None:
    with pytest.raises(LabanError, match=rf"^--size: found {size[0]}x{size[1]}; accepted WIDTHxHEIGHT"):
        make_renderer("numba", size)


def test_unknown_back_ends_and_sample_counts_are_refused() -> None:
    with pytest.raises(LabanError, match="--renderer: found 'vulkan'; accepted auto, numba, pyrender"):
        make_renderer("vulkan")
    with pytest.raises(LabanError, match="found 3; accepted 1 or 4"):
        make_renderer("numba", samples=3)


def test_machine_code_goes_where_it_can_be_written(tmp_path: Path) -> None:
    package = tmp_path / "package"
    package.mkdir()
    assert cache_place(package, tmp_path / "cache") == package / "__pycache__"
    assert cache_place(tmp_path / "missing", tmp_path / "cache") == tmp_path / "cache"
    blocked = tmp_path / "file"
    blocked.write_text("")
    assert cache_place(tmp_path / "missing", blocked / "cache") is None
