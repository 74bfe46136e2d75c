"""BlazePose (Bazarevsky et al. 2020): person detector and landmark network, run by LiteRT from two .tflite files.

The networks are Google's; anchors, decoding, suppression and the turned square around a person are written here after
the paper and the published graph settings.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8
from numpy import ndarray
from PIL import Image

from laban.errors import LabanError
from laban.installer import RESOURCES, resource_file

DETECTOR_SIZE = 224
LANDMARK_SIZE = 256
NUM_LANDMARKS = 33
MIN_SCORE = 0.5
OVERLAP = 0.3
"""Intersection over union above which two detections are one person."""

MARGIN = 1.25
"""The square around a person is this much larger than the circle through head and feet."""

REFINE = 7
"""Side of the heat-map patch whose centre of mass moves a landmark, and the least heat it must show."""
REFINE_HEAT = 0.5


@dataclass(frozen=True)
class Region:
    """A turned square in a picture: centre and side in pixels; `angle` (radians) turns upright into head up."""

    x: float
    y: float
    side: float
    angle: float


@dataclass(frozen=True)
class Landmarks:
    """33 landmarks of one person in one picture.

    `image` holds x, y in pixels and depth on the scale of pixels (towards the camera negative); `world` metres from
    the middle of the hips, x to the right of the picture, y down, z away from the camera. `visibility` is how likely a
    landmark lies in the picture and is not hidden, `presence` that it lies in the picture, `score` that this is a
    person; `following` is where to look in the next picture.
    """

    image: Float[ndarray, "33 3"]
    world: Float[ndarray, "33 3"]
    visibility: Float[ndarray, " 33"]
    presence: Float[ndarray, " 33"]
    score: float
    following: Region


class PoseNetworks:
    """Both networks, loaded once; not to be shared by threads."""

    def __init__(self, threads: int = 2) -> None:
        self._detector = _Network("pose_detection.tflite", threads)
        self._landmarks = _Network("pose_landmark_full.tflite", threads)

    def detect(self, picture: UInt8[ndarray, "height width 3"]) -> list[tuple[float, Region]]:
        """(score, region) of the people in a picture, best first."""
        height, width = picture.shape[:2]
        scale = DETECTOR_SIZE / max(height, width)
        size = max(round(width * scale), 1), max(round(height * scale), 1)
        canvas = Image.new("RGB", (DETECTOR_SIZE, DETECTOR_SIZE))
        left, top = (DETECTOR_SIZE - size[0]) // 2, (DETECTOR_SIZE - size[1]) // 2
        canvas.paste(Image.fromarray(picture).resize(size, Image.Resampling.BILINEAR), (left, top))
        pixels = np.asarray(canvas, np.float32) / 127.5 - 1
        boxes, logits = self._detector(pixels[None], (12, 1))
        rows = decode_detections(boxes[0], logits[0, :, 0])
        shift = np.array([left, top], np.float32)
        return [(float(row[0]), _region(*((row[5:9].reshape(2, 2) * DETECTOR_SIZE - shift) / scale))) for row in rows]

    def landmarks(self, picture: UInt8[ndarray, "height width 3"], region: Region) -> Landmarks:
        """The landmarks of the person in a region, and the region to look at in the next picture."""
        a, b, c, d, e, f = matrix = _crop_matrix(region)
        crop = Image.fromarray(picture).transform(
            (LANDMARK_SIZE, LANDMARK_SIZE), Image.Transform.AFFINE, matrix, Image.Resampling.BILINEAR
        )
        points, flag, heat, world = self._landmarks(np.asarray(crop, np.float32)[None] / 255, (195, 1, 39, 117))
        points = points.reshape(39, 5)
        xy = refine(points[:, :2] / LANDMARK_SIZE, heat[0]) * LANDMARK_SIZE
        placed = xy @ np.array([[a, d], [b, e]]) + (c, f)
        depth = points[:, 2] * region.side / LANDMARK_SIZE
        chance = _sigmoid(points[:NUM_LANDMARKS, 3:])
        return Landmarks(
            np.column_stack([placed, depth])[:NUM_LANDMARKS].astype(np.float32),
            _turned(world.reshape(39, 3)[:NUM_LANDMARKS], region.angle),
            chance[:, 0],
            chance[:, 1],
            float(flag.reshape(-1)[0]),
            _region(placed[33], placed[34]),
        )


class _Network:
    """One .tflite file; outputs are told apart by the length of their last axis."""

    def __init__(self, filename: str, threads: int) -> None:
        path = resource_file(next(r for r in RESOURCES if r.name == "pose"), filename)
        with _quiet():
            try:
                self._run: Any = _litert().Interpreter(model_path=str(path), num_threads=threads)
                self._run.allocate_tensors()
            except (ValueError, RuntimeError) as error:
                raise LabanError(f"{path}: is not the network it should be ({error}); run: laban setup") from None
        self._input = self._run.get_input_details()[0]["index"]
        self._outputs = {int(o["shape"][-1]): o["index"] for o in reversed(self._run.get_output_details())}

    def __call__(self, pixels: ndarray, widths: tuple[int, ...]) -> list[ndarray]:
        self._run.set_tensor(self._input, pixels)
        self._run.invoke()
        return [self._run.get_tensor(self._outputs[width]) for width in widths]


def decode_detections(
    boxes: Float[ndarray, "anchors 12"], logits: Float[ndarray, " anchors"]
) -> Float[ndarray, "people 13"]:
    """Rows of score, box (x, y, width, height) and four key points (x, y), as fractions of the square; best first.

    Overlapping rows are averaged, weighted by their scores. Key point 0 is the middle of the hips, 1 a point on the
    circle around the whole person, on the line through the spine.
    """
    score = _sigmoid(np.clip(logits, -100, 100))
    keep = np.flatnonzero(score >= MIN_SCORE)
    keep = keep[np.argsort(-score[keep])]
    places = boxes[keep].reshape(-1, 6, 2) / DETECTOR_SIZE
    places[:, [0, 2, 3, 4, 5]] += anchors()[keep][:, None]
    rows = np.column_stack([score[keep], places.reshape(-1, 12)])
    merged = []
    while len(rows):
        same = _overlap(rows[0], rows) > OVERLAP
        same[0] = True
        group = rows[same]
        merged.append(np.concatenate([group[0, :1], (group[:, 1:] * group[:, :1]).sum(0) / group[:, 0].sum()]))
        rows = rows[~same]
    return np.array(merged, np.float32).reshape(-1, 13)


@cache
def anchors() -> Float[ndarray, "2254 2"]:
    """Centres of the detector's cells: two a cell at stride 8 and 16, six at stride 32."""
    grids = []
    for stride, count in ((8, 2), (16, 2), (32, 6)):
        cells = DETECTOR_SIZE // stride
        y, x = np.mgrid[:cells, :cells]
        grids.append(np.repeat((np.stack([x, y], -1).reshape(-1, 2) + 0.5) / cells, count, 0))
    return np.concatenate(grids).astype(np.float32)


def refine(points: Float[ndarray, "39 2"], heat: Float[ndarray, "rows columns 39"]) -> Float[ndarray, "39 2"]:
    """Move landmarks (fractions of the crop) to the centre of mass of the heat around them, where there is heat."""
    rows, columns = heat.shape[:2]
    refined = points.copy()
    half = REFINE // 2
    for k, (x, y) in enumerate(points):
        column, row = int(x * columns), int(y * rows)
        if not (0 <= column < columns and 0 <= row < rows):
            continue
        top, left = max(row - half, 0), max(column - half, 0)
        patch = _sigmoid(heat[top : row + half + 1, left : column + half + 1, k])
        if patch.max() < REFINE_HEAT:
            continue
        total = patch.sum()
        refined[k, 0] = (patch.sum(0) @ (left + np.arange(patch.shape[1]))) / total / columns
        refined[k, 1] = (patch.sum(1) @ (top + np.arange(patch.shape[0]))) / total / rows
    return refined


def _region(hips: ndarray, rim: ndarray) -> Region:
    """The square whose half side is the distance from the hips to the rim point, with a margin."""
    x, y = float(rim[0] - hips[0]), float(rim[1] - hips[1])
    return Region(float(hips[0]), float(hips[1]), 2 * MARGIN * float(np.hypot(x, y)), float(np.arctan2(x, -y)))


def _crop_matrix(region: Region) -> tuple[float, float, float, float, float, float]:
    """Coefficients (a, b, c, d, e, f): crop pixel (u, v) is picture pixel (a u + b v + c, d u + e v + f)."""
    step = region.side / LANDMARK_SIZE
    cos, sin = step * np.cos(region.angle), step * np.sin(region.angle)
    half = LANDMARK_SIZE / 2
    return (float(cos), float(-sin), float(region.x - half * (cos - sin)),
            float(sin), float(cos), float(region.y - half * (sin + cos)))  # fmt: skip


def _turned(points: Float[ndarray, "33 3"], angle: float) -> Float[ndarray, "33 3"]:
    """From the turned crop's axes to the picture's."""
    cos, sin = np.cos(angle), np.sin(angle)
    return points @ np.array([[cos, sin, 0], [-sin, cos, 0], [0, 0, 1]], np.float32)


def _overlap(one: Float[ndarray, " 13"], rows: Float[ndarray, "n 13"]) -> Float[ndarray, " n"]:
    low = np.maximum(one[1:3] - one[3:5] / 2, rows[:, 1:3] - rows[:, 3:5] / 2)
    high = np.minimum(one[1:3] + one[3:5] / 2, rows[:, 1:3] + rows[:, 3:5] / 2)
    shared = (high - low).clip(0).prod(-1)
    return shared / (one[3:5].prod() + rows[:, 3:5].prod(-1) - shared).clip(1e-9)


def _sigmoid(values: ndarray) -> ndarray:
    return 0.5 * (1 + np.tanh(values / 2))


def _litert() -> Any:
    try:
        return import_module("ai_edge_litert.interpreter")
    except ImportError as error:
        raise LabanError(f"pose: package ai-edge-litert is missing ({error}); run: pip install 'laban[pose]'") from None


@contextmanager
def _quiet() -> Iterator[None]:
    """LiteRT greets on the process's stderr, past Python, when a network is loaded."""
    sys.stderr.flush()
    saved, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)
        os.close(nowhere)
