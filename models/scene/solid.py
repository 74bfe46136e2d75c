"""What is solid in a room: exact distances to its triangles, and a sign that holds for meshes with holes.

Inside is what an object's winding number says (Jacobson et al., SIGGRAPH 2013), which bears open bottoms and
overlapping pieces, and what cannot be reached from the room without passing through a surface, which needs no normals:
the inside of furniture in a scan that is one sheet, closed cupboards, and all that lies behind the walls.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from importlib.util import find_spec
from types import ModuleType

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy import ndarray
from scipy.ndimage import binary_dilation, binary_erosion, distance_transform_edt
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from laban.progress import progress
from models.scene.scene import SHELL, Scene

SILL = 0.05
"""Metres above the floor up to which parts of the shell are floor: the floor itself, noise of scans, doorsills."""
REST = 0.01
"""Metres above the floor up to which triangles of objects are undersides that rest on it."""
HALL = 1.7
"""Metres of height over the floor that an enclosed space has at least which is a room and not a hollow."""
HALL_AREA = 1.0
"""Square metres of it, likewise."""
THICK = 0.6
"""Metres, about, up to which a closed piece of the shell is a wall or pillar: twice its volume over its surface."""
PIECE = 0.08
"""Metres of the pieces in which it is judged whether a surface lies within its own object."""
SKIN = 0.002
"""Metres off a triangle at which it is asked what lies on either side."""
_CHUNK = 1 << 17


@dataclass(frozen=True)
class Nodes:
    """A regular grid: its nodes' coordinates along each axis."""

    x: Float[ndarray, " x"]
    y: Float[ndarray, " y"]
    z: Float[ndarray, " z"]

    @property
    def shape(self) -> tuple[int, int, int]:
        """Nodes along x, y, z."""
        return len(self.x), len(self.y), len(self.z)

    @property
    def steps(self) -> tuple[float, float, float]:
        """Metres between nodes."""
        x, y, z = (float(line[1] - line[0]) for line in (self.x, self.y, self.z))
        return x, y, z

    def points(self) -> Float[ndarray, "nodes 3"]:
        """All nodes."""
        return np.stack(np.meshgrid(self.x, self.y, self.z, indexing="ij"), -1).reshape(-1, 3)


def signed_distances(
    scene: Scene, low: Float[ndarray, "3"], high: Float[ndarray, "3"], cells: int, *, fallback: bool = False
) -> Float[ndarray, "x y z"]:
    """Metres at the nodes of a grid, negative inside; infinite nowhere: an empty room is as far as its box is long."""
    nodes = Nodes(*(np.linspace(low[axis], high[axis], cells) for axis in range(3)))
    surfaces = _surfaces(scene)
    if not surfaces.any():
        return np.full(nodes.shape, float(np.linalg.norm(high - low)), np.float32)
    clouds = None if fallback else _point_cloud_utils()
    pieces = _outer(scene, surfaces, clouds)
    distance = _unsigned(pieces, nodes, clouds)
    inside = _wound(scene, surfaces, nodes, clouds) | _unreachable(scene, nodes, distance)
    ground = int(np.searchsorted(nodes.y, scene.floor - 1e-9))
    inside[:, :ground] = inside[:, ground : ground + 1]  # what stands on the floor goes on below it
    buried = _buried(pieces, nodes, inside)
    if buried.any() and not buried.all():
        distance[inside] = _unsigned(pieces[~buried], nodes, clouds, inside)[inside]
    return np.where(inside, -distance, distance).astype(np.float32)


def _point_cloud_utils() -> ModuleType | None:
    if find_spec("point_cloud_utils") is None:
        return None
    import point_cloud_utils

    return point_cloud_utils


def _surfaces(scene: Scene) -> Bool[ndarray, " faces"]:
    """Which triangles keep people out: not the floor, nothing that can be walked over, nor what rests on the floor."""
    walkable = np.array([*(one.walkable for one in scene.objects), False])
    over = walkable[scene.part]
    top = scene.vertices[scene.faces, 1].max(1) - scene.floor
    return ~over & ~(top <= np.where(scene.part == SHELL, SILL, REST))


# ------------------------------------------------------------------------------------------------------------ distance


def _unsigned(
    triangles: ndarray, nodes: Nodes, clouds: ModuleType | None, where: Bool[ndarray, "x y z"] | None = None
) -> Float[ndarray, "x y z"]:
    """Distances at all nodes, or where they are wanted: exact by point-cloud-utils, else up to half a step too large.

    (Only far away from surfaces.)
    """
    points = nodes.points().reshape(*nodes.shape, 3)
    if clouds is None:
        return _passed_on(triangles, nodes, points)
    vertices = np.ascontiguousarray(triangles.reshape(-1, 3))
    faces = np.arange(len(vertices), dtype=np.int32).reshape(-1, 3)
    found = np.zeros(nodes.shape, np.float32)
    places = np.flatnonzero(np.ones(nodes.shape, bool) if where is None else where)
    with progress("distances", len(places)) as advance:
        for start in range(0, len(places), _CHUNK):
            some = places[start : start + _CHUNK]
            distances, _, _ = clouds.closest_points_on_mesh(points.reshape(-1, 3)[some], vertices, faces)
            found.reshape(-1)[some] = np.abs(distances)
            advance(len(some))
    return found


def _buried(triangles: ndarray, nodes: Nodes, inside: Bool[ndarray, "x y z"]) -> Bool[ndarray, " faces"]:
    """Triangles with nothing but inside around them, such as the outer side of a wall: no way out of it for anybody."""
    points, normals = _probes(triangles)
    offset = max(nodes.steps) * normals[:, None]  # beyond what the nearest node may lie off it
    found = np.ones(len(triangles), bool)
    for places in (points + offset, points - offset):
        index = np.rint((places - [nodes.x[0], nodes.y[0], nodes.z[0]]) / nodes.steps).astype(np.int64)
        i, j, k = np.moveaxis(index.clip(0, np.array(nodes.shape) - 1), -1, 0)
        found &= inside[i, j, k].all(1)
    return found


def _probes(triangles: ndarray) -> tuple[Float[ndarray, "faces 4 3"], Float[ndarray, "faces 3"]]:
    """The middle of each triangle and places near its corners; and its normal."""
    across = np.cross(triangles[:, 1] - triangles[:, 0], triangles[:, 2] - triangles[:, 0])
    normals = across / np.maximum(np.linalg.norm(across, axis=1, keepdims=True), 1e-12)
    weights = np.concatenate([np.full((1, 3), 1 / 3), 0.85 * np.eye(3) + 0.05])
    return np.einsum("sk,fkd->fsd", weights, triangles), normals


def _passed_on(triangles: ndarray, nodes: Nodes, points: Float[ndarray, "x y z 3"]) -> Float[ndarray, "x y z"]:
    """Distances to the closest points of nodes near the surface, which the others are told by their neighbours."""
    samples, _ = samples_of(triangles, min(nodes.steps))
    index = np.rint((samples - points[0, 0, 0]) / nodes.steps).astype(np.int64).clip(0, np.array(nodes.shape) - 1)
    on = np.zeros(nodes.shape, bool)
    on[tuple(index.T)] = True
    band = binary_dilation(on, np.ones((3, 3, 3), bool), iterations=2)
    closest = np.zeros(points.shape)
    closest[band] = _Nearest(triangles)(points[band])
    nearest = distance_transform_edt(~on, sampling=nodes.steps, return_distances=False, return_indices=True)
    closest[~band] = closest[tuple(axis[~band] for axis in nearest)]
    least = np.square(points - closest).sum(-1)
    for stride in (4, 2, 1, 1):
        for axis in range(3):
            for here, there in (((stride, None), (None, -stride)), ((None, -stride), (stride, None))):
                mine, others = ((slice(None),) * axis + (slice(*ends),) for ends in (here, there))
                told = np.square(points[mine] - closest[others]).sum(-1)
                better = told < least[mine]
                least[mine][better] = told[better]
                closest[mine][better] = closest[others][better]
    return np.sqrt(least).astype(np.float32)


class _Nearest:
    """Closest points of triangles without point-cloud-utils: samples find candidates, of which the point is exact."""

    def __init__(self, triangles: ndarray, spacing: float = 0.02, candidates: int = 4) -> None:
        self.triangles = triangles
        samples, self.owner = samples_of(triangles, spacing)
        self.tree, self.candidates = cKDTree(samples), min(candidates, len(samples))

    def __call__(self, points: Float[ndarray, "points 3"]) -> Float[ndarray, "points 3"]:
        import trimesh

        near = self.tree.query(points, k=list(range(1, self.candidates + 1)))[1]
        best, least = np.empty_like(points), np.full(len(points), np.inf)
        for k in range(self.candidates):
            closest = trimesh.triangles.closest_point(self.triangles[self.owner[near[:, k]]], points)
            distance = np.square(closest - points).sum(1)
            better = distance < least
            best[better], least[better] = closest[better], distance[better]
        return best


def samples_of(
    triangles: Float[ndarray, "faces 3 3"], spacing: float
) -> tuple[Float[ndarray, "samples 3"], Int[ndarray, " samples"]]:
    """Points all over triangles, edges included, with no place further than `spacing` from one; and their triangles.

    In rows along the longest edge.
    """
    edges = np.linalg.norm(np.roll(triangles, -1, axis=1) - triangles, axis=2)
    first = edges.argmax(1)
    order = (first[:, None] + np.arange(3)) % 3
    turned = np.take_along_axis(triangles, order[..., None], axis=1)
    long = edges.max(1)
    twice = np.linalg.norm(np.cross(turned[:, 1] - turned[:, 0], turned[:, 2] - turned[:, 0]), axis=1)
    step = 0.89 * spacing  # a place lies at most a step above a row, and half a step beside a sample of it
    along = np.maximum(np.ceil(long / step), 1).astype(np.int64)
    rows = np.maximum(np.ceil(twice / np.maximum(long, 1e-300) / step), 1).astype(np.int64)
    kinds, kind = np.unique(np.stack([along, rows], 1), axis=0, return_inverse=True)
    members = np.split(np.argsort(kind.ravel(), kind="stable"), np.cumsum(np.bincount(kind.ravel()))[:-1])
    points, owners = [], []
    for (count, height), own in zip(kinds.tolist(), members, strict=True):
        weights = _row_weights(count, height)
        points.append(np.einsum("sk,fkd->fsd", weights, turned[own]).reshape(-1, 3))
        owners.append(np.repeat(own, len(weights)))
    return np.concatenate(points), np.concatenate(owners)


def _row_weights(along: int, rows: int) -> Float[ndarray, "samples 3"]:
    """Barycentric: rows from the edge between the first two corners to the third, with ever fewer samples."""
    up = np.arange(rows + 1) / rows
    counts = np.ceil(along * (1 - up) - 1e-9).astype(np.int64) + 1
    row = np.repeat(np.arange(rows + 1), counts)
    place = np.arange(len(row)) - np.repeat(np.cumsum(counts) - counts, counts)
    across = place / np.maximum(counts[row] - 1, 1) * (1 - up[row])
    return np.stack([1 - up[row] - across, across, up[row]], 1)


# ---------------------------------------------------------------------------------------------------------------- sign


def _wound(scene: Scene, surfaces: ndarray, nodes: Nodes, clouds: ModuleType | None) -> Bool[ndarray, "x y z"]:
    """Nodes that an object, or a wall with thickness, winds around by more than half; each within its own box."""
    inside = np.zeros(nodes.shape, bool)
    corners = scene.vertices[scene.faces].astype(np.float64)
    solids = [corners[scene.part == i] for i in range(len(scene.objects)) if surfaces[scene.part == i].any()]
    for triangles in [*solids, *_thick_walls(corners[surfaces & (scene.part == SHELL)], scene.floor)]:
        box = tuple(
            slice(*np.searchsorted(line, (triangles[..., axis].min(), triangles[..., axis].max())))
            for axis, line in enumerate((nodes.x, nodes.y, nodes.z))
        )
        points = Nodes(nodes.x[box[0]], nodes.y[box[1]], nodes.z[box[2]])
        if 0 in points.shape:
            continue
        inside[box] |= (np.abs(winding(turned_out(triangles), points.points(), clouds)) > 0.5).reshape(points.shape)
    return inside


def _thick_walls(triangles: Float[ndarray, "faces 3 3"], floor: float) -> list[Float[ndarray, "pieces 3 3"]]:
    """Connected pieces of the shell that close a space above the floor, thinner than `THICK`: walls, pillars, slabs.

    Each with its mirror image below the floor, so that those that are open where they stand are closed. What is
    thicker is taken for the room itself.
    """
    if not len(triangles):
        return []
    corner, piece = _corners(triangles), _pieces(triangles)
    ends = np.sort(np.stack([corner, np.roll(corner, -1, axis=1)], -1).reshape(-1, 2), axis=1)
    _, first, shared = np.unique(ends, axis=0, return_index=True, return_counts=True)
    heights = np.maximum(triangles, np.roll(triangles, -1, axis=1))[..., 1].ravel()
    leaks = first[(shared % 2 == 1) & (heights[first] > floor + SILL)]
    own = triangles - np.array([0.0, floor, 0.0])
    across = np.cross(own[:, 1] - own[:, 0], own[:, 2] - own[:, 0])
    area = np.bincount(piece, np.linalg.norm(across, axis=1) / 2)
    volume = np.abs(np.bincount(piece, (own[:, 0] * across).sum(1) / 6))
    closed = (2 * volume < THICK * area) & (volume > 1e-6)
    closed[piece[leaks // 3]] = False
    mirror = triangles[:, ::-1] * [1.0, -1.0, 1.0] + [0.0, 2 * floor, 0.0]
    both = [(triangles[piece == i], mirror[piece == i]) for i in np.flatnonzero(closed)]
    return [np.concatenate(pair) if pair[0][..., 1].min() < floor + SILL else pair[0] for pair in both]


def _pieces(triangles: Float[ndarray, "faces 3 3"]) -> Int[ndarray, " faces"]:
    """Numbers of the connected pieces that triangles belong to."""
    corner = _corners(triangles)
    ends = np.concatenate([corner[:, :2], corner[:, 1:]])
    graph = coo_matrix((np.ones(len(ends)), (ends[:, 0], ends[:, 1])), shape=(corner.max() + 1,) * 2)
    number = connected_components(graph, directed=False)[1][corner[:, 0]]
    return np.unique(number, return_inverse=True)[1].ravel()


def turned_out(triangles: Float[ndarray, "faces 3 3"]) -> Float[ndarray, "faces 3 3"]:
    """The triangles with every connected piece of negative volume turned over, so that pieces do not cancel out."""
    piece = _pieces(triangles)
    own = triangles - triangles.mean((0, 1))
    volume = np.bincount(piece, np.einsum("fd,fd->f", own[:, 0], np.cross(own[:, 1], own[:, 2])))
    wrong = volume[piece] < 0
    return np.where(wrong[:, None, None], triangles[:, ::-1], triangles)


def open_edges(triangles: Float[ndarray, "faces 3 3"]) -> int:
    """How many edges do not have two triangles (an even number of them); 0 for watertight meshes."""
    if not len(triangles):
        return 0
    corner = _corners(triangles)
    edges = np.sort(np.concatenate([corner[:, [0, 1]], corner[:, [1, 2]], corner[:, [2, 0]]]), axis=1)
    edges = edges[edges[:, 0] != edges[:, 1]]
    _, shared = np.unique(edges[:, 0] * (corner.max() + 1) + edges[:, 1], return_counts=True)
    return int((shared % 2).sum())


def _corners(triangles: Float[ndarray, "faces 3 3"]) -> Int[ndarray, "faces 3"]:
    """Numbers of the corners; those at one place (to 10 micrometres) have one."""
    _, corner = np.unique(np.round(triangles.reshape(-1, 3), 5), axis=0, return_inverse=True)
    return corner.reshape(-1, 3).astype(np.int64)


def _outer(scene: Scene, surfaces: ndarray, clouds: ModuleType | None) -> Float[ndarray, "pieces 3 3"]:
    """The triangles that keep people out, less where their own object lies on both sides of them.

    As where a cushion sinks into a frame: there is no way out there. Triangles of which some probe lies so are cut into
    pieces of at most `PIECE`, and those go of which all do.
    """
    kept = [scene.vertices[scene.faces[surfaces & (scene.part == SHELL)]].astype(np.float64)]
    for i in range(len(scene.objects)):
        own = surfaces & (scene.part == i)
        if not own.any():
            continue
        whole = turned_out(scene.vertices[scene.faces[scene.part == i]].astype(np.float64))
        triangles = scene.vertices[scene.faces[own]].astype(np.float64)
        doubtful = _covered(triangles, whole, clouds).any(1)
        kept.append(triangles[~doubtful])
        if doubtful.any():
            pieces = cut_up(triangles[doubtful], PIECE)
            kept.append(pieces[~_covered(pieces, whole, clouds).all(1)])
    return np.concatenate(kept)


def _covered(triangles: ndarray, whole: ndarray, clouds: ModuleType | None) -> Bool[ndarray, "faces 4"]:
    """Whether the middle, and places near the corners, have the inside of a whole object on both sides."""
    points, normals = _probes(triangles)
    sides = np.stack([points + SKIN * normals[:, None], points - SKIN * normals[:, None]])
    within = np.abs(winding(whole, sides.reshape(-1, 3), clouds)) > 0.5
    return within.reshape(2, *points.shape[:2]).all(0)


def cut_up(triangles: Float[ndarray, "faces 3 3"], longest: float) -> Float[ndarray, "pieces 3 3"]:
    """The same surface in triangles whose edges are at most so long; each into n * n alike."""
    edges = np.linalg.norm(triangles - np.roll(triangles, 1, axis=1), axis=2).max(1)
    counts = np.maximum(np.ceil(edges / longest), 1).astype(np.int64)
    pieces = []
    for count in np.unique(counts):
        i, j = (one.ravel() for one in np.meshgrid(np.arange(count), np.arange(count), indexing="ij"))
        up, down = i + j < count, i + j < count - 1
        first = [np.stack([i + a, j + b, count - i - j - a - b], -1)[up] for a, b in ((0, 0), (1, 0), (0, 1))]
        second = [np.stack([i + a, j + b, count - i - j - a - b], -1)[down] for a, b in ((1, 0), (1, 1), (0, 1))]
        weights = np.concatenate([np.stack(first, 1), np.stack(second, 1)]) / count
        pieces.append(np.einsum("tck,fkd->ftcd", weights, triangles[counts == count]).reshape(-1, 3, 3))
    return np.concatenate(pieces)


def winding(
    triangles: Float[ndarray, "faces 3 3"], points: Float[ndarray, "points 3"], clouds: ModuleType | None = None
) -> Float[ndarray, " points"]:
    """Generalised winding number: 1 inside of a closed mesh, 0 outside, between at holes (solid angles, / 4 pi)."""
    if clouds is not None:
        vertices = np.ascontiguousarray(triangles.reshape(-1, 3))
        faces = np.arange(len(vertices), dtype=np.int32).reshape(-1, 3)
        return np.asarray(clouds.triangle_soup_fast_winding_number(vertices, faces, points), np.float64)
    found = np.empty(len(points))
    step = max(1, (1 << 22) // len(triangles))
    for start in range(0, len(points), step):
        away = triangles[None] - points[start : start + step, None, None]
        a, b, c = away[:, :, 0], away[:, :, 1], away[:, :, 2]
        la, lb, lc = (np.linalg.norm(one, axis=-1) for one in (a, b, c))
        over = np.einsum("pfd,pfd->pf", a, np.cross(b, c))
        under = la * lb * lc + (a * b).sum(-1) * lc + (b * c).sum(-1) * la + (c * a).sum(-1) * lb
        found[start : start + step] = np.arctan2(over, under).sum(1) / (2 * np.pi)
    return found


def _unreachable(scene: Scene, nodes: Nodes, distance: Float[ndarray, "x y z"]) -> Bool[ndarray, "x y z"]:
    """Nodes that no way leads to from the room; spaces of less than two nodes across are not judged.

    Two neighbours are cut off from one another where a surface may run between them: if their distances to it sum to no
    more than their own. Nodes below the floor are not asked: walls end there.
    """
    ground = int(np.searchsorted(nodes.y, scene.floor - 1e-9))
    upper = replace(nodes, y=nodes.y[ground:])
    distance = distance[:, ground:]
    number = np.arange(distance.size, dtype=np.int32).reshape(distance.shape)
    ends = []
    for axis, step in enumerate(nodes.steps):
        a, b = np.moveaxis(distance, axis, 0)[:-1], np.moveaxis(distance, axis, 0)[1:]
        passes = a + b > 1.001 * step
        index = np.moveaxis(number, axis, 0)
        ends.append(np.stack([index[:-1][passes], index[1:][passes]]))
    rows, columns = np.concatenate(ends, axis=1)
    graph = coo_matrix((np.ones(len(rows), np.int8), (rows, columns)), shape=(distance.size,) * 2)
    count, label = connected_components(graph, directed=False)
    label = label.reshape(distance.shape)
    deepest = np.zeros(count)
    np.maximum.at(deepest, label.ravel(), distance.ravel())
    solid = ~_rooms(scene, upper, label, count) & (deepest > max(nodes.steps))
    found = np.zeros(nodes.shape, bool)
    found[:, ground:] = solid[label]
    return found


def _rooms(scene: Scene, nodes: Nodes, label: Int[ndarray, "x y z"], count: int) -> Bool[ndarray, " count"]:
    """Which connected spaces are rooms: the largest over the floor, and others in which a person can stand."""
    over = _has_floor(scene, nodes)
    standing = (nodes.y >= scene.floor) & (nodes.y <= scene.floor + HALL)
    block = label[:, standing][over.nonzero()[0], :, over.nonzero()[1]]
    sizes = np.bincount(block.ravel(), minlength=count)
    upright = block[(block == block[:, :1]).all(1), 0]
    areas = np.bincount(upright, minlength=count) * nodes.steps[0] * nodes.steps[2]
    return (areas >= HALL_AREA) | (np.arange(count) == sizes.argmax())


def _has_floor(scene: Scene, nodes: Nodes) -> Bool[ndarray, "x z"]:
    """Where in the plan there is floor."""
    low, high = scene.low, scene.high
    within = np.ix_((nodes.x >= low[0]) & (nodes.x <= high[0]), (nodes.z >= low[2]) & (nodes.z <= high[2]))
    found = np.zeros((len(nodes.x), len(nodes.z)), bool)
    if scene.open_floor:
        found[within] = True
        return found
    levels = scene.vertices[scene.faces, 1]
    flat = (np.abs(levels - scene.floor) <= SILL).all(1)
    triangles = scene.vertices[scene.faces[flat]].astype(np.float64)
    samples, _ = samples_of(triangles, min(nodes.steps[0], nodes.steps[2]) / 2)
    i = np.rint((samples[:, 0] - nodes.x[0]) / nodes.steps[0]).astype(int).clip(0, len(nodes.x) - 1)
    j = np.rint((samples[:, 2] - nodes.z[0]) / nodes.steps[2]).astype(int).clip(0, len(nodes.z) - 1)
    found[i, j] = True
    found = binary_erosion(found)  # its rim may lie beyond the walls
    if not found.any():
        found[within] = True
    return found
