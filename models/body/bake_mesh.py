"""Surgery on a triangle mesh whose vertices carry attributes: refining, smoothing, cutting along level lines."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy import ndarray
from scipy import sparse


@dataclass(frozen=True)
class Surface:
    """Triangles, and per vertex a place in metres, attributes that interpolate linearly, and the part it belongs to."""

    points: Float[ndarray, "vertices 3"]
    attributes: Float[ndarray, "vertices terms"]
    parts: Int[ndarray, " vertices"]
    faces: Int[ndarray, "faces 3"]


def triangles(quads: Int[ndarray, "quads 4"], vertices: Float[ndarray, "points 3"]) -> Int[ndarray, "faces 3"]:
    """Each quad cut along its shorter diagonal."""
    a, b, c, d = quads.T
    short = np.linalg.norm(vertices[a] - vertices[c], axis=1) <= np.linalg.norm(vertices[b] - vertices[d], axis=1)
    first = np.where(short[:, None], np.stack([a, b, c], 1), np.stack([a, b, d], 1))
    second = np.where(short[:, None], np.stack([a, c, d], 1), np.stack([b, c, d], 1))
    return np.stack([first, second], axis=1).reshape(-1, 3)


def normals(points: Float[ndarray, "vertices 3"], faces: Int[ndarray, "faces 3"]) -> Float[ndarray, "vertices 3"]:
    """Area-weighted unit normals; zero where a vertex has no face."""
    a, b, c = points[faces.T]
    area = np.cross(b - a, c - a)
    total = np.zeros_like(points)
    for corner in faces.T:
        np.add.at(total, corner, area)
    return total / np.maximum(np.linalg.norm(total, axis=1, keepdims=True), 1e-12)


def smooth(
    points: Float[ndarray, "vertices 3"],
    faces: Int[ndarray, "faces 3"],
    amount: Float[ndarray, " vertices"],
    rounds: int,
) -> Float[ndarray, "vertices 3"]:
    """Move each vertex towards the mean of its neighbours, `rounds` times, by `amount`: 0 stays, 1 goes there."""
    pairs = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    pairs = np.concatenate([pairs, pairs[:, ::-1]])
    count = len(points)
    links = sparse.coo_matrix((np.ones(len(pairs)), pairs.T), (count, count)).tocsr()
    links.data[:] = 1
    mean = sparse.diags(1 / np.maximum(np.asarray(links.sum(1)).ravel(), 1)) @ links
    for _ in range(rounds):
        points = points + amount[:, None] * (mean @ points - points)
    return points


def _grown(
    surface: Surface, a: Int[ndarray, " new"], b: Int[ndarray, " new"], share: Float[ndarray, " new"]
) -> Surface:
    """The surface with points added on the lines from `a` to `b`, still without faces; their parts are those of `a`."""

    def between(values: Float[ndarray, "vertices terms"]) -> Float[ndarray, "more terms"]:
        return np.concatenate([values, values[a] + share[:, None] * (values[b] - values[a])])

    parts = np.concatenate([surface.parts, surface.parts[a]])
    return replace(surface, points=between(surface.points), attributes=between(surface.attributes), parts=parts)


def _edge_numbers(
    edges: Int[ndarray, "edges 2"], count: int
) -> tuple[Int[ndarray, "unique 2"], Int[ndarray, " edges"]]:
    keys = np.sort(edges, axis=1) @ np.array([count, 1])
    unique, number = np.unique(keys, return_inverse=True)
    return np.stack(np.divmod(unique, count), axis=1), number


def refine(surface: Surface, region: Bool[ndarray, " vertices"]) -> Surface:
    """Halve every edge inside `region`; a triangle becomes two, three or four."""
    faces = surface.faces
    corners = np.stack([faces, np.roll(faces, -1, axis=1)], axis=2)
    marked = region[corners].all(2)
    unique, number = _edge_numbers(corners[marked], len(region))
    grown = _grown(surface, unique[:, 0], unique[:, 1], np.full(len(unique), 0.5))
    middles = np.full(faces.shape, -1)
    middles[marked] = len(region) + number
    result = []
    for face, middle in zip(faces.tolist(), middles.tolist(), strict=True):
        result += _split_face(face, middle)
    return replace(grown, faces=np.array(result))


def _split_face(face: list[int], middle: list[int]) -> list[list[int]]:
    """Triangles of one face whose edge k, from corner k to the next, is halved at `middle[k]` unless that is -1."""
    count = sum(m >= 0 for m in middle)
    if count == 3:
        (a, b, c), (ab, bc, ca) = face, middle
        return [[a, ab, ca], [ab, b, bc], [ca, bc, c], [ab, bc, ca]]
    if count == 0:
        return [face]
    turn = next(k for k in range(3) if middle[k] >= 0 and (count == 1 or middle[(k + 1) % 3] >= 0))
    (a, b, c), (ab, bc, _) = (items[turn:] + items[:turn] for items in (face, middle))
    if count == 1:
        return [[a, ab, c], [ab, b, c]]
    return [[a, ab, bc], [ab, b, bc], [a, bc, c]]


def cut(
    surface: Surface, field: Float[ndarray, " vertices"], part: int, new_part: int, *, rim: bool = False
) -> Surface:
    """Turn what lies inside (`field > 0`) of `part` into `new_part`, cutting triangles along the line `field = 0`.

    Every point on the line exists twice, once on each side, so that the two parts have a sharp edge. With `rim`, one
    may later be lifted off the other: a strip of triangles, with copies of its own so that it is shaded apart, closes
    the gap between them.
    """
    faces, count = surface.faces, len(field)
    inside = (field > 0) & (surface.parts == part)
    within = (surface.parts[faces] == part).all(1)
    crossed = within & inside[faces].any(1) & ~inside[faces].all(1)
    odd = faces[crossed]
    lone_inside = inside[odd].sum(1) == 1
    turn = np.argmax(inside[odd] == lone_inside[:, None], axis=1)
    a, b, c = (odd[np.arange(len(odd)), (turn + k) % 3] for k in range(3))
    unique, number = _edge_numbers(np.concatenate([np.stack([a, b], 1), np.stack([a, c], 1)]), count)
    first, last = field[unique[:, 0]], field[unique[:, 1]]
    share = np.clip(first / (first - last), 0.02, 0.98)
    copies, extra = (4 if rim else 2), len(unique)
    start, end = np.tile(unique, (copies, 1)).T
    grown = _grown(surface, start, end, np.tile(share, copies))
    parts = grown.parts
    parts[:count][inside] = new_part
    parts[count:] = np.tile(np.repeat([part, new_part], extra), copies // 2)
    ab, ac = (count + numbers for numbers in np.split(number, 2))
    near, far = np.where(lone_inside, extra, 0), np.where(lone_inside, 0, extra)
    rows = [(a, ab + near, ac + near), (ab + far, b, c), (ab + far, c, ac + far)]
    if rim:
        near, far = near + 2 * extra, far + 2 * extra
        rows += [(ac + near, ab + near, ab + far), (ac + near, ab + far, ac + far)]
    pieces = [np.stack(row, axis=1) for row in rows]
    return replace(grown, parts=parts, faces=np.concatenate([faces[~crossed], *pieces]))


def without(surface: Surface, part: int) -> Surface:
    """The surface without one part, nor the strips that led to it."""
    faces = surface.faces[(surface.parts[surface.faces] != part).all(1)]
    kept, numbers = np.unique(faces, return_inverse=True)
    return Surface(surface.points[kept], surface.attributes[kept], surface.parts[kept], numbers.reshape(-1, 3))
