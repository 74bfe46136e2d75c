"""Where the named surface points and the 68 face landmarks of iBUG 300-W lie on the open body."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray

from models.body.bake_dress import EYES, SKIN
from models.body.bake_mesh import Surface
from models.body.landmarks import JAW_LANDMARKS
from models.body.skeleton import JOINT

_YAW_ROWS = 79
"""SMPL-X tabulates the jaw line for 79 turns of the neck; ours is the frontal one in every row."""

_BROW = ((0.046, 0.3), (0.04, 0.3035), (0.032, 0.3055), (0.022, 0.3045), (0.0135, 0.302))
"""Distance from the middle and height along a brow, outer end first."""


def extra_points(
    points: Float[ndarray, "vertices 3"], joints: Float[ndarray, "55 3"], weights: Float[ndarray, "vertices 55"]
) -> dict[str, int]:
    """Vertex of each of the 21 named surface points, all different."""

    def furthest(joint: str, direction: tuple[float, float, float], least: float = 0.5) -> int:
        pool = np.flatnonzero(weights[:, JOINT[joint]] > least)
        return int(pool[np.argmax(points[pool] @ np.array(direction))])

    head = np.flatnonzero(weights[:, JOINT["head"]] > 0.3)
    result = {"nose": int(head[np.argmax(points[head, 2] - 5 * np.abs(points[head, 0]))])}
    for side, x in (("left", 1.0), ("right", -1.0)):
        eye = np.flatnonzero(weights[:, JOINT[f"{side}_eye"]] > 0.9)
        sideways = np.linalg.norm((points[eye] - joints[JOINT[f"{side}_eye"]])[:, :2], axis=1)
        result[f"{side}_eye"] = int(eye[np.argmin(sideways - points[eye, 2])])
        result[f"{side}_ear"] = furthest("head", (x, 0, 0), 0.3)
        for finger in ("index", "middle", "ring", "pinky"):
            result[f"{side}_{finger}"] = furthest(f"{side}_{finger}3", (x, 0, 0))
        result[f"{side}_thumb"] = furthest(f"{side}_thumb3", (x, -0.6, 0.6))
        result[f"{side}_big_toe"] = furthest(f"{side}_foot", (-0.7 * x, -0.1, 1))
        result[f"{side}_small_toe"] = furthest(f"{side}_foot", (x, -0.1, 0.5))
        result[f"{side}_heel"] = furthest(f"{side}_ankle", (-0.05 * x, -0.5, -1))
    return result


def _in_front(surface: Surface, x: float, y: float) -> tuple[int, Float[ndarray, "3"]]:
    """The face, and the barycentric place on it, where a ray from the front at (x, y) first meets the skin."""
    a, b, c = surface.points[surface.faces.T]
    u, v, w = b - a, c - a, np.array([x, y]) - a[:, :2]
    area = u[:, 0] * v[:, 1] - u[:, 1] * v[:, 0]
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        s = (w[:, 0] * v[:, 1] - w[:, 1] * v[:, 0]) / area
        t = (u[:, 0] * w[:, 1] - u[:, 1] * w[:, 0]) / area
    s, t = np.nan_to_num(s, nan=-1, posinf=9, neginf=-9), np.nan_to_num(t, nan=-1, posinf=9, neginf=-9)
    hit = (
        (area > 1e-12)
        & (np.minimum(s, t) >= 0)
        & (np.clip(s, -9, 9) + np.clip(t, -9, 9) <= 1)
        & (surface.parts[surface.faces] < EYES).all(1)
    )
    depth = np.where(hit, a[:, 2] + s * u[:, 2] + t * v[:, 2], -np.inf)
    best = int(np.argmax(depth))
    return best, np.array([1 - s[best] - t[best], s[best], t[best]])


def _at_vertex(surface: Surface, vertex: int) -> tuple[int, Float[ndarray, "3"]]:
    face = int(np.flatnonzero((surface.faces == vertex).any(1))[0])
    return face, (surface.faces[face] == vertex).astype(np.float64)


def _lid_points(surface: Surface, side: float) -> list[int]:
    """Six vertices of the lid margin, by the angles of iBUG's eye: outer corner, over the top, inner corner, below."""
    eyes = surface.points[surface.parts >= EYES]
    eyes = eyes[eyes[:, 0] * side > 0]
    centre, radius = (eyes.min(0) + eyes.max(0)) / 2, np.ptp(eyes[:, 1]) / 2
    skin = np.flatnonzero((surface.parts == SKIN) & (surface.points[:, 2] > centre[2] + 0.3 * radius))
    offset = surface.points[skin] - centre
    near = np.linalg.norm(offset, axis=1) < 1.35 * radius
    skin, offset = skin[near], offset[near]
    angle = np.arctan2(offset[:, 1], offset[:, 0] * side)
    result = []
    for wanted in np.radians((0, 55, 125, 180, -125, -55)):
        turn = np.abs(np.angle(np.exp(1j * (angle - wanted))))
        result.append(int(skin[np.argmin(np.hypot(offset[:, 0], offset[:, 1]) + 0.02 * turn)]))
    return result


def _mouth(surface: Surface, lips: Float[ndarray, " vertices"]) -> tuple[list[tuple[float, float]], ...]:
    """Outer and inner contour of the lips as places in the front view, in iBUG's order."""
    mouth = surface.points[(lips > 0.5) & (surface.points[:, 2] > 0.148)]
    wide = np.abs(mouth[:, 0]).max()
    corner = float(mouth[np.abs(mouth[:, 0]) > 0.93 * wide, 1].mean())

    def edge(share: float, top: bool) -> tuple[float, float]:
        column = mouth[np.abs(np.abs(mouth[:, 0]) - abs(share) * wide) < 0.1 * wide, 1]
        return share * wide, float(column.max() if top else column.min())

    upper = [edge(share, True) for share in (-0.66, -0.25, 0.0, 0.25, 0.66)]
    lower = [edge(share, False) for share in (0.66, 0.33, 0.0, -0.33, -0.66)]
    outer = [(-0.97 * wide, corner), *upper, (0.97 * wide, corner), *lower]
    inner = [(-0.85 * wide, corner), *[(share * wide, corner + 0.002) for share in (-0.33, 0.0, 0.33)],
             (0.85 * wide, corner), *[(share * wide, corner - 0.002) for share in (0.33, 0.0, -0.33)]]  # fmt: skip
    return outer, inner


def face_landmarks(surface: Surface, lips: Float[ndarray, " vertices"], nose: int) -> dict[str, ndarray]:
    """SMPL-X's landmark arrays: 51 points in the face, and the jaw line from right ear to chin to left ear."""
    tip = surface.points[nose]
    eye_level = float(surface.points[surface.parts >= EYES, 1].mean())
    brows = [(-x, y) for x, y in _BROW] + [(x, y) for x, y in reversed(_BROW)]
    bridge = [(0.0, y) for y in np.linspace(eye_level + 0.002, tip[1], 4)]
    base = [(x, tip[1] - 0.011 + 0.25 * abs(x)) for x in (-0.014, -0.007, 0.0, 0.007, 0.014)]
    right = _lid_points(surface, -1.0)
    left = _lid_points(surface, 1.0)
    left = [left[k] for k in (3, 2, 1, 0, 5, 4)]
    outer, inner = _mouth(surface, lips)
    places = [_in_front(surface, *place) for place in (*brows, *bridge, *base)]
    places += [_at_vertex(surface, vertex) for vertex in (*right, *left)]
    places += [_in_front(surface, *place) for place in (*outer, *inner)]
    jaw = [_at_vertex(surface, vertex) for vertex in _jaw_line(surface, eye_level)]
    return {
        "lmk_faces_idx": np.array([face for face, _ in places], np.int64),
        "lmk_bary_coords": np.array([shares for _, shares in places], np.float32),
        "dynamic_lmk_faces_idx": np.tile([face for face, _ in jaw], (_YAW_ROWS, 1)).astype(np.int64),
        "dynamic_lmk_bary_coords": np.tile([shares for _, shares in jaw], (_YAW_ROWS, 1, 1)).astype(np.float32),
    }


def _jaw_line(surface: Surface, eye_level: float) -> Int[ndarray, " landmarks"]:
    """Vertices furthest out in 17 directions of the front view, among the face in front of the ears."""
    x, y, z = surface.points.T
    head = surface.attributes[:, [JOINT["head"], JOINT["jaw"]]].sum(1) > 0.9
    pool = np.flatnonzero((surface.parts == SKIN) & head & (y < eye_level + 0.005) & (z > 0.085))
    flat = surface.points[pool][:, :2] - [0.0, eye_level]
    angles = np.linspace(-np.pi, 0, JAW_LANDMARKS)
    directions = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    return pool[np.argmax(directions @ flat.T, axis=1)]
