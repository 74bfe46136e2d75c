"""A room around the people of a picture: furniture with edges and colours, and walls that never hide anybody.

Walls are seen from inside alone, so that those between the camera and the room vanish; a low strip tells where they
stand. Ceilings are left out, and furniture in front of somebody becomes a ghost. The floor is the studio's, on which
soft shadows lie.
"""

from __future__ import annotations

import colorsys
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING
from zlib import crc32

import numpy as np
from jaxtyping import Bool, Float, Float32, Int
from numpy import ndarray
from scipy.ndimage import gaussian_filter1d

from models.body.skeleton import JOINT
from models.formats.glb import StillMesh
from viz.camera import THREE_QUARTER, CameraPath, facing_azimuth, plan_camera
from viz.cast import Color
from viz.renderer import Mesh
from viz.studio import STUDIO, Studio

if TYPE_CHECKING:
    from models.scene.scene import Scene

KIND_COLORS: dict[str, Color] = {
    "couch": (108, 132, 158), "sofa": (108, 132, 158), "armchair": (176, 116, 96), "chair": (172, 128, 88),
    "stool": (172, 128, 88), "bench": (172, 128, 88), "bed": (150, 164, 186), "table": (188, 148, 106),
    "desk": (188, 148, 106), "cabinet": (158, 118, 84), "shelf": (166, 128, 92), "bookcase": (166, 128, 92),
    "wardrobe": (158, 118, 84), "lamp": (226, 202, 138), "cactus": (104, 146, 100), "plant": (104, 146, 100),
    "rug": (190, 154, 140), "carpet": (190, 154, 140), "pillow": (204, 178, 150), "picture": (140, 132, 148),
}  # fmt: skip
"""sRGB by kind; other kinds take a muted colour from their name."""
WALL, STRIP = (222, 224, 226), (150, 154, 162)
FLOOR, FLOOR_LINE = (228, 219, 206), (206, 194, 177)
CREASE = 0.6
"""Radians between two faces from which the edge between them is an edge."""
FINE, COARSE = 0.1, 0.25
"""Metres: longest edges of flat things, on which shadows lie, and of others."""
NEAR_EDGE, OVERHEAD = 0.35, 1.9
"""Metres from the room's outline within which upright faces are its walls, and above the floor where ceilings begin."""
RAISED = 0.8
"""Metres above the floor from which something hangs on a wall."""
STRIP_HEIGHT, STRIP_WIDTH = 0.07, 0.04
GHOST = 0.22
"""Opacity of what hides somebody."""
FADE = 0.2
"""Seconds (standard deviation) in which furniture turns into a ghost."""
LOW = 0.7
"""Metres of pelvis height below which somebody sits or lies."""
ELEVATION = 33.0
"""Degrees from which rooms are looked into."""
WATCHED = tuple(JOINT[name] for name in ("pelvis", "spine3", "head", "left_shoulder", "right_shoulder"))
"""Joints that furniture must not hide."""


@dataclass(frozen=True)
class Piece:
    """Something that is drawn on its own; `hides` says whether it becomes a ghost in front of somebody."""

    name: str
    mesh: Mesh
    hides: bool = True

    @property
    def box(self) -> tuple[Float32[ndarray, "3"], Float32[ndarray, "3"]]:
        """Lowest and highest corner."""
        return self.mesh.vertices.min(axis=0), self.mesh.vertices.max(axis=0)


@dataclass(frozen=True)
class Room:
    """A furnished room as it is drawn; `floor` is its height in metres."""

    pieces: tuple[Piece, ...]
    floor: float

    def studio(self, studio: Studio = STUDIO) -> Studio:
        """The same lights over this room's floor."""
        return replace(studio, floor=self.floor, floor_color=FLOOR, line_color=FLOOR_LINE)

    @property
    def corners(self) -> Float[ndarray, "8 3"]:
        """Points that have to be in a picture of the whole room: its outline on the floor and 1 m above it."""
        low = np.min([piece.box[0] for piece in self.pieces], axis=0)
        high = np.max([piece.box[1] for piece in self.pieces], axis=0)
        return np.array([[x, y, z] for x in (low[0], high[0]) for y in (self.floor, self.floor + 1.0)
                         for z in (low[2], high[2])], np.float64)  # fmt: skip

    def meshes(self, opacities: Float[ndarray, " pieces"] | None = None) -> list[Mesh]:
        """What is drawn, solid or with these opacities."""
        if opacities is None:
            return [piece.mesh for piece in self.pieces]
        return [piece.mesh if strength > 0.99 else replace(piece.mesh, opacity=float(strength))
                for piece, strength in zip(self.pieces, opacities, strict=True)]  # fmt: skip

    def opacities(
        self, cameras: CameraPath, joints: Float[ndarray, "actors frames joints 3"], fps: float
    ) -> Float[ndarray, "frames pieces"]:
        """How solid each piece is in each frame: a ghost while it hides somebody from the camera."""
        eyes = np.array([cameras[frame].eye for frame in range(len(cameras))])
        seen = joints[:, :, WATCHED].astype(np.float64)
        strengths = np.ones((len(eyes), len(self.pieces)))
        for k, piece in enumerate(self.pieces):
            if piece.hides:
                hidden = _between(eyes, seen, *piece.box) | self._hangs(piece, eyes)
                strengths[:, k] -= (1 - GHOST) * gaussian_filter1d(hidden.astype(float), FADE * fps, mode="nearest")
        return strengths

    def _hangs(self, piece: Piece, eyes: Float[ndarray, "frames 3"]) -> Bool[ndarray, " frames"]:
        """Whether something hangs on a wall that is not seen from there."""
        low, high = piece.box
        corners = self.corners
        near, far = corners.min(axis=0), corners.max(axis=0)
        if low[1] < self.floor + RAISED:
            return np.zeros(len(eyes), bool)
        gaps = {(axis, side): abs(edge[axis] - own[axis]) for axis in (0, 2)
                for side, edge, own in ((-1, near, low), (1, far, high))}  # fmt: skip
        axis, side = min(gaps, key=gaps.__getitem__)
        return np.asarray(side * (eyes[:, axis] - (near, far)[side > 0][axis]) > 0) & (gaps[axis, side] < NEAR_EDGE)


def room_of(scene: Scene) -> Room:
    """The pieces of a scene: one for each object, the walls, the rest of the shell."""
    pieces = [
        Piece(item.name, _solid(scene.vertices, scene.faces[scene.part == k], kind_color(item.kind),
                                FINE if item.walkable else COARSE))
        for k, item in enumerate(scene.objects)
        if (scene.part == k).any()
    ]  # fmt: skip
    vertices, faces = scene.vertices, scene.faces[scene.part < 0]
    if not len(faces):
        return Room(tuple(pieces), scene.floor)
    walls, rest = _shell(vertices, faces, scene.floor)
    if rest.any():
        pieces.append(Piece("shell", _solid(vertices, faces[rest], WALL, COARSE)))
    if walls.any():
        upright = _inward(vertices, faces[walls])
        mesh = _solid(vertices, upright, WALL, 0.5)
        pieces.append(Piece("walls", replace(mesh, casts=False), hides=False))
        strips = _strips(outline(vertices, faces[walls], scene.floor), scene.floor)
        if strips is not None:
            pieces.append(Piece("outline", strips, hides=False))
    return Room(tuple(pieces), scene.floor)


def still_meshes(scene: Scene) -> list[StillMesh]:
    """The scene's objects and shell, each with its colour, for a GLB file."""
    parts = [(item.name, k, kind_color(item.kind)) for k, item in enumerate(scene.objects)] + [("room", -1, WALL)]
    return [
        StillMesh(name, *_kept(scene.vertices, scene.faces[scene.part == k]), color)
        for name, k, color in parts
        if (scene.part == k).any()
    ]


def kind_color(kind: str) -> Color:
    """The colour of a kind of thing."""
    known = next((color for name, color in KIND_COLORS.items() if name in kind.lower()), None)
    if known is not None:
        return known
    red, green, blue = colorsys.hsv_to_rgb(crc32(kind.encode()) % 360 / 360, 0.28, 0.72)
    return round(255 * red), round(255 * green), round(255 * blue)


def room_cameras(
    room: Room, joints: Float[ndarray, "actors frames joints 3"], fps: float, size: tuple[int, int], *,
    kind: str = "fixed", azimuth: float | None = None,
) -> CameraPath:  # fmt: skip
    """Cameras that look down into a room; a `fixed` one sees all of it."""
    if azimuth is None:
        front = facing_azimuth(joints[0, 0]) + THREE_QUARTER
        azimuth = best_azimuth(room, joints, front, 8.0)
    return plan_camera(joints, fps, size, kind=kind, azimuth=azimuth, elevation=ELEVATION, also=room.corners)


def best_azimuth(room: Room, joints: Float[ndarray, "actors frames joints 3"], wanted: float, distance: float) -> float:
    """The direction, of twelve around, from which furniture hides people least and they are seen from the front.

    Of equals the nearest to `wanted`; somebody low down, who sits, counts thrice.
    """
    picked = joints[:, :: max(1, joints.shape[1] // 40)].astype(np.float64)
    middle = (picked.min(axis=(0, 1, 2)) + picked.max(axis=(0, 1, 2))) / 2
    fronts = np.radians([[facing_azimuth(joints) for joints in actor] for actor in picked])
    weights = np.where(picked[:, :, 0, 1] < room.floor + LOW, 3.0, 1.0)

    def cost(turn: float) -> tuple[float, float]:
        path = CameraPath(np.broadcast_to(middle, (picked.shape[1], 3)), np.full(picked.shape[1], wanted + turn),
                          ELEVATION, distance)  # fmt: skip
        eyes, seen = np.array([path[k].eye for k in range(len(path))]), picked[:, :, WATCHED]
        hidden = [_between(eyes, seen, *piece.box).mean() for piece in room.pieces if piece.hides]
        behind = np.average(np.clip(0.5 - np.cos(fronts - np.radians(wanted + turn)), 0, None), weights=weights)
        return round(float(np.sum(hidden) + 0.7 * behind), 1), abs(turn)

    return wanted + min((30.0 * k for k in range(-6, 6)), key=cost)


# ----------------------------------------------------------------------------------------------------------- surfaces


def _kept(
    vertices: Float[ndarray, "vertices 3"], faces: Int[ndarray, "faces 3"]
) -> tuple[Float32[ndarray, "_ 3"], Int[ndarray, "faces 3"]]:
    """The vertices that some faces use."""
    used, index = np.unique(faces, return_inverse=True)
    return vertices[used].astype(np.float32), index.reshape(-1, 3).astype(np.int32)


def _solid(
    vertices: Float[ndarray, "vertices 3"], faces: Int[ndarray, "faces 3"], color: Color, longest: float
) -> Mesh:
    """Faces with no edge longer than so many metres (or infinity), apart along creases, which light then shows."""
    import trimesh

    fine, cut = _kept(vertices, faces)
    if np.isfinite(longest):
        fine, cut = trimesh.remesh.subdivide_to_size(fine, cut, max_edge=longest, max_iter=20)
    whole = trimesh.Trimesh(fine, cut, process=False)
    whole.merge_vertices(merge_norm=True, merge_tex=True)
    whole.update_faces(whole.nondegenerate_faces())
    shaded = trimesh.graph.smooth_shade(whole, angle=CREASE)
    return Mesh(np.asarray(shaded.vertices, np.float32), np.asarray(shaded.faces, np.int32), color=color)


def _shell(
    vertices: Float[ndarray, "vertices 3"], faces: Int[ndarray, "faces 3"], floor: float
) -> tuple[Bool[ndarray, " faces"], Bool[ndarray, " faces"]]:
    """Which faces are outer walls, and which are something else than those, floor and ceiling."""
    corners = vertices[faces].astype(np.float64)
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    steep = np.abs(normals[:, 1]) < 0.5 * np.linalg.norm(normals, axis=1)
    low, high = vertices[:, [0, 2]].min(axis=0), vertices[:, [0, 2]].max(axis=0)
    flat = corners[:, :, [0, 2]]
    beside = np.minimum(np.abs(flat - low), np.abs(high - flat)).max(axis=1).min(axis=-1) < NEAR_EDGE
    level = corners[:, :, 1].min(axis=1) - floor
    ground = corners[:, :, 1].max(axis=1) < floor + 0.05  # a slab's lower side, too
    walls = steep & beside & ~ground
    return walls, ~walls & ~ground & ~(~steep & (level > OVERHEAD))


def _inward(vertices: Float[ndarray, "vertices 3"], faces: Int[ndarray, "faces 3"]) -> Int[ndarray, "faces 3"]:
    """Walls turned so that their front faces the middle of the room."""
    corners = vertices[faces].astype(np.float64)
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    middle = (vertices.min(axis=0) + vertices.max(axis=0)) / 2
    away = (normals * (middle - corners.mean(axis=1))).sum(-1) < 0
    return np.where(away[:, None], faces[:, ::-1], faces)


def outline(
    vertices: Float[ndarray, "vertices 3"], faces: Int[ndarray, "faces 3"], floor: float
) -> Float[ndarray, "edges 2 2"]:
    """Lower edges of the upright faces of a shell, as (x, z) of their ends."""
    if not len(faces):
        return np.zeros((0, 2, 2))
    corners = vertices[faces].astype(np.float64)
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    faces = faces[np.abs(normals[:, 1]) < 0.5 * np.linalg.norm(normals, axis=1)]
    pairs = np.unique(np.sort(np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]]), axis=1), axis=0)
    low = np.abs(vertices[pairs][:, :, 1] - floor).max(axis=1) < 0.05
    return vertices[pairs[low]].astype(np.float64)[:, :, [0, 2]]


def _strips(edges: Float[ndarray, "edges 2 2"], floor: float) -> Mesh | None:
    """Low bars along the lower edges of walls, seen from all sides."""
    import trimesh

    bars: list[trimesh.Trimesh] = []
    for start, end in edges:
        way = end - start
        length = float(np.linalg.norm(way))
        if length < 1e-3:
            continue
        bar = trimesh.creation.box((length + STRIP_WIDTH, STRIP_HEIGHT, STRIP_WIDTH))
        bar.apply_transform(trimesh.transformations.rotation_matrix(-np.arctan2(way[1], way[0]), (0, 1, 0)))
        middle = start + way / 2
        bar.apply_translation([middle[0], floor + STRIP_HEIGHT / 2, middle[1]])
        bars.append(bar)
    if not bars:
        return None
    starts = np.cumsum([0, *(len(bar.vertices) for bar in bars)])
    faces = np.concatenate([bar.faces + start for bar, start in zip(bars, starts, strict=False)])
    vertices = np.concatenate([bar.vertices for bar in bars]).astype(np.float32)
    return replace(_solid(vertices, faces, STRIP, np.inf), casts=False)


def _between(
    eyes: Float[ndarray, "frames 3"], points: Float[ndarray, "actors frames joints 3"],
    low: Float[ndarray, "3"], high: Float[ndarray, "3"],
) -> Bool[ndarray, " frames"]:  # fmt: skip
    """Whether a box stands between the eye and two or more of the points; not where somebody is in it or upon it."""
    ray = points - eyes[:, None]
    with np.errstate(divide="ignore", invalid="ignore"):
        one, other = (low - eyes[:, None]) / ray, (high - eyes[:, None]) / ray
    enter, leave = np.minimum(one, other).max(axis=-1), np.maximum(one, other).min(axis=-1)
    struck = (enter < leave) & (enter > 0) & (enter < 1 - 0.1 / np.linalg.norm(ray, axis=-1))
    pelvis = points[:, :, 0]
    on = ((pelvis > low - 0.3) & (pelvis < high + 0.3)).all(axis=-1)
    return ((struck.sum(axis=-1) >= 2) & ~on).any(axis=0)
