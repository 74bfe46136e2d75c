"""Plan view of a room: walkable floor, named furniture, the way that was planned, and how somebody went over time."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float
from numpy import ndarray

from viz import palette
from viz.palette import web
from viz.room import kind_color, outline
from viz.timeline import save_figure
from viz.video import check_suffix

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from models.scene.scene import Scene, SceneObject

PLAN_SUFFIXES = (".png", ".svg", ".pdf", ".jpg", ".jpeg", ".webp")
INK, FAINT, PAPER = (web(color) for color in (palette.INK, palette.FAINT, palette.PAPER))
WALKABLE, REACHED, BLOCKED, WAY, WALL = "#e3efdf", "#cfe2f3", "#f6d5cf", "#2b6cb0", "#6b7280"
LARGEST = 8.0
"""Inches of the longer side."""
TICK = 1.0
"""Seconds between two marks on a trace."""


@runtime_checkable
class FreeFloor(Protocol):
    """Walkable floor as cells: `models.scene.walkable.Walkable`."""

    @property
    def free(self) -> Bool[ndarray, "columns rows"]:
        """Along x, then along z."""
        ...

    @property
    def origin(self) -> Float[ndarray, "2"]:
        """Middle (x, z) of the first cell."""
        ...

    @property
    def cell(self) -> float:
        """Metres."""
        ...


@dataclass(frozen=True)
class Course:
    """What is drawn over the room; places are (x, z) in metres."""

    path: Float[ndarray, "points 2"] | None = None
    """As planned."""
    trace: Float[ndarray, "frames 2"] | None = None
    """Of the pelvis, as somebody went."""
    fps: float = 30.0
    start: tuple[float, float] | None = None
    goals: tuple[tuple[float, float], ...] = ()
    notes: dict[str, tuple[float, float]] = field(default_factory=dict)
    """What happens where, such as "sits"."""


def draw_plan(
    scene: Scene, path: str | Path, walkable: FreeFloor | None = None, course: Course = Course(), *, title: str = ""
) -> None:
    """Write the plan view as png, svg, pdf, jpg or webp; LabanError for other suffixes and unwritable places."""
    path = Path(path)
    check_suffix(path, PLAN_SUFFIXES)
    save_figure(plan_figure(scene, walkable, course, title=title), path)


def plan_figure(
    scene: Scene, walkable: FreeFloor | None = None, course: Course = Course(), *, title: str = ""
) -> Figure:
    """The room from above: x to the right, z downwards, one metre a grid line.

    Where a start and a goal lie on floor that is not connected, the start's part is blue and the goal's red.
    """
    from matplotlib.figure import Figure

    low, high = _bounds(scene, walkable)
    size = high - low + 0.4
    scale = (LARGEST - 1) / float(max(size))
    figure = Figure(figsize=(float(size[0]) * scale + 0.9, float(size[1]) * scale + 1.0), layout="constrained")
    axes = figure.add_subplot()
    axes.set(xlim=(low[0] - 0.2, high[0] + 0.2), ylim=(high[1] + 0.2, low[1] - 0.2), aspect="equal",
             xlabel="x, metres", ylabel="z, metres")  # fmt: skip
    axes.set_title(title or scene.name, color=INK, fontsize=11)
    axes.grid(color=FAINT, linewidth=0.6, zorder=0)
    axes.tick_params(labelsize=8, colors=INK)
    if walkable is not None:
        _draw_floor(axes, walkable, course)
    _draw_objects(axes, scene)
    _draw_course(axes, course)
    return figure


def _bounds(scene: Scene, walkable: FreeFloor | None) -> tuple[ndarray, ndarray]:
    low, high = scene.vertices.min(0)[[0, 2]], scene.vertices.max(0)[[0, 2]]
    if walkable is not None and not len(scene.faces):
        low = walkable.origin - walkable.cell / 2
        high = low + walkable.cell * np.array(walkable.free.shape)
    return low.astype(float), high.astype(float)


def _draw_floor(axes: Axes, walkable: FreeFloor, course: Course) -> None:
    """Free cells; in parts that are cut off from one another in two colours, if start and goal are in two of them."""
    from matplotlib.colors import to_rgba
    from scipy.ndimage import label

    picture = np.zeros((*walkable.free.shape, 4))
    picture[walkable.free] = to_rgba(WALKABLE)
    parts, _ = label(walkable.free)
    start = _part_at(parts, walkable, course.start)
    goals = {_part_at(parts, walkable, goal) for goal in course.goals} - {0, start}
    if start and goals:
        picture[parts == start] = to_rgba(REACHED)
        picture[np.isin(parts, list(goals))] = to_rgba(BLOCKED)
    x, z = walkable.origin - walkable.cell / 2
    columns, rows = walkable.free.shape
    axes.imshow(picture.swapaxes(0, 1), extent=(x, x + columns * walkable.cell, z + rows * walkable.cell, z),
                interpolation="nearest", zorder=1)  # fmt: skip


def _part_at(parts: ndarray, walkable: FreeFloor, place: tuple[float, float] | None) -> int:
    """The connected part of the floor nearest to a place; 0 for none."""
    if place is None or not parts.any():
        return 0
    cells = np.argwhere(parts > 0)
    gaps = np.linalg.norm(walkable.origin + cells * walkable.cell - np.array(place), axis=1)
    return int(parts[tuple(cells[int(gaps.argmin())])])


def _draw_objects(axes: Axes, scene: Scene) -> None:
    from matplotlib.collections import LineCollection, PolyCollection

    flat = scene.vertices[:, [0, 2]]
    for k, item in enumerate(scene.objects):
        shape = flat[scene.faces[scene.part == k]]
        color = web(kind_color(item.kind))
        if len(shape):
            order = 2 + 0.01 * item.high[1]
            axes.add_collection(PolyCollection(list(shape), facecolors=color, edgecolors=color, linewidths=0.3,
                                               alpha=None, zorder=order))  # fmt: skip
        _name(axes, item)
    walls = outline(scene.vertices, scene.faces[scene.part < 0], scene.floor)
    axes.add_collection(LineCollection(list(walls), colors=WALL, linewidths=3, capstyle="round", zorder=4))


def _name(axes: Axes, item: SceneObject) -> None:
    middle = [(a + b) / 2 for a, b in zip(item.low, item.high, strict=True)]
    tall = item.high[2] - item.low[2] > 1.3 * (item.high[0] - item.low[0])
    z = item.high[2] - 0.1 if item.walkable else middle[2]  # what stands on a rug has its name in the middle
    axes.text(middle[0], z, item.name, ha="center", va="center", fontsize=6.5, color=INK, zorder=9,
              rotation=90 if tall and not item.walkable else 0,
              bbox={"facecolor": PAPER, "alpha": 0.72, "edgecolor": "none", "pad": 1})  # fmt: skip
    if item.affords:
        reach = 0.5 * max(0.3, min(item.high[0] - item.low[0], item.high[2] - item.low[2]))
        axes.annotate("", (middle[0] + np.sin(item.yaw) * reach * 1.3, middle[2] + np.cos(item.yaw) * reach * 1.3),
                      (middle[0] + np.sin(item.yaw) * reach * 0.6, middle[2] + np.cos(item.yaw) * reach * 0.6),
                      arrowprops={"arrowstyle": "->", "color": INK, "lw": 1.2}, zorder=8)  # fmt: skip


def _draw_course(axes: Axes, course: Course) -> None:
    if course.path is not None:
        axes.plot(*course.path.T, "--", color=INK, linewidth=1.2, marker="o", markersize=3, zorder=6)
    if course.trace is not None and len(course.trace):
        axes.plot(*course.trace.T, color=WAY, linewidth=2.2, zorder=7)
        _draw_seconds(axes, course.trace, course.fps)
    if course.start is not None:
        axes.plot(*course.start, "o", color=PAPER, markeredgecolor=INK, markersize=9, zorder=10)
    for goal in course.goals:
        axes.plot(*goal, "*", color="#d64545", markeredgecolor=PAPER, markersize=15, zorder=10)
    for said, place in course.notes.items():
        axes.annotate(said, place, xytext=(7, 7), textcoords="offset points", fontsize=8, color=WAY, zorder=11)


def _draw_seconds(axes: Axes, trace: Float[ndarray, "frames 2"], fps: float) -> None:
    """A dot each second, with its number where the dots are not on top of one another."""
    last = np.full(2, np.inf)
    for second in range(int(len(trace) / (fps * TICK)) + 1):
        place = trace[min(round(second * TICK * fps), len(trace) - 1)]
        axes.plot(*place, ".", color=WAY, markersize=7, markeredgecolor=PAPER, markeredgewidth=0.6, zorder=8)
        if np.linalg.norm(place - last) > 0.25 or not np.isfinite(last).all():
            axes.annotate(f"{second * TICK:g}", place, xytext=(4, -9), textcoords="offset points", fontsize=6.5,
                          color=WAY, zorder=9)  # fmt: skip
            last = place
