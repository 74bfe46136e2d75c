"""A video, or a filmed motion, with what was detected drawn on it: skeletons, boxes, labels, and a running timeline."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float, UInt8
from numpy import ndarray
from PIL import Image, ImageDraw, ImageFont

from laban.errors import LabanError
from laban.timeline import Segment, Timeline, clock
from models.motion import Motion
from models.resample import resample
from models.video.container import is_live, read_sound
from models.video.pose import Person
from models.video.reading import open_video as read_video
from models.video.reading import tidy_times
from viz.movie import Look, shots
from viz.palette import FAINT, INK, PAPER, ink_on, label_colors
from viz.skeleton import LEFT, RIGHT
from viz.timeline import timeline_rows
from viz.video import SOUND_RATE, open_timed_video

if TYPE_CHECKING:
    from models.body.model import BodyModel
    from viz.cast import Color

Picture = UInt8[ndarray, "height width 3"]
Advance = Callable[[int], None]
Box = tuple[float, float, float, float]

SMALLEST, LARGEST = 480, 1080
"""Pixels of a film's shorter side: smaller videos are enlarged so that text can be read, larger ones shrunk."""
LONGEST = 4096
"""Pixels of the longer side, which encoders and players take."""
PAGE = 60.0
"""Seconds of the running timeline; a longer video turns its pages."""
MOST_LINES = 6
POSE_FPS = 20.0
"""Of `Person`'s frames."""
SEEN = 0.5
"""Visibility from which a landmark is drawn."""
MIDDLE: Color = (236, 238, 242)
OUTLINE = (24, 28, 36, 170)
LIMBS = (
    (11, 12), (23, 24), (0, 7), (0, 8),
    (11, 13), (13, 15), (15, 19), (11, 23), (23, 25), (25, 27), (27, 31), (27, 29), (29, 31),
    (12, 14), (14, 16), (16, 20), (12, 24), (24, 26), (26, 28), (28, 32), (28, 30), (30, 32),
)  # fmt: skip
"""Pairs of BlazePose's 33 landmarks; odd numbers from 11 on are the person's left, even ones the right."""
PLAIN = (0, 7, 8)
"""Landmarks of no side."""


@dataclass(frozen=True)
class Detected:
    """What is drawn: `found` (a segment's actor is its row of `streams`), people with landmarks, and the truth.

    `size` is (width, height) of the pictures that the landmarks' pixels count in.
    """

    found: Timeline
    streams: Sequence[Sequence[Person]] = ()
    size: tuple[int, int] = (1, 1)
    truth: Timeline | None = None


def overlay_video(
    source: str | Path, path: str | Path, detected: Detected, *, rate: float | None = None,
    seconds: float | None = None, advance: Advance | None = None,
) -> int:  # fmt: skip
    """Read a video once more and write it as mp4 with everything drawn on; returns the number of pictures.

    Pictures keep their times and the sound (mixed to mono) stays with them; the running timeline is added below the
    picture. Memory does not grow with the video. LabanError for a camera or an address, which can be read only once.
    """
    if is_live(str(source)):
        raise LabanError(f"--overlay: {source} can be read only once; record it to a file first")
    with read_video(source, rate=rate) as video:
        info, size = video.info, film_size(video.size())
        pictures = (
            (item.time, item.draw(size))
            for item in tidy_times(video.raw, info, [])
            if seconds is None or item.time < seconds
        )
        sound = read_sound(source, SOUND_RATE) if info.sound and rate is None else None
        return _write(annotated(pictures, size, detected), path, min(max(info.fps, 1.0), 240.0), sound, advance)


def overlay_motion(
    motion: Motion, path: str | Path, found: Timeline, *, truth: Timeline | None = None, look: Look | None = None,
    fps: float = 30.0, body: BodyModel | None = None, advance: Advance | None = None,
) -> int:  # fmt: skip
    """Film a motion with its labels and the running timeline, as mp4; returns the number of pictures."""
    look = look or Look(size=(854, 480))
    moving = resample(motion, fps)
    pictures = ((index / fps, picture) for index, picture in enumerate(shots(moving, look, body=body)))
    drawn = annotated(pictures, look.size, Detected(found, truth=truth))
    return _write(drawn, path, fps, None, advance)


def annotated(
    pictures: Iterable[tuple[float, Picture]], size: tuple[int, int], detected: Detected
) -> Iterator[tuple[float, Picture]]:
    """(seconds, picture of (width, height) = `size`) in, the same with everything drawn on and a timeline below out."""
    found, truth = detected.found, detected.truth
    colors = label_colors([*found.labels(), *(truth.labels() if truth is not None else ())])
    strip = _Strip(found, truth, colors, size)
    people = [
        _Followed(stream, (size[0] / detected.size[0], size[1] / detected.size[1])) for stream in detected.streams
    ]
    several = max([len(people), *(segment.actor + 1 for segment in found.segments)]) > 1
    for time, picture in pictures:
        image = Image.fromarray(picture)
        boxes = [None if (seen := followed.at(time)) is None else _draw_person(image, *seen) for followed in people]
        _draw_labels(image, found.at(time), boxes, colors, several=several)
        yield time, np.concatenate([np.asarray(image), strip.at(time)])


def film_size(size: tuple[int, int]) -> tuple[int, int]:
    """(width, height), even, of a film of a video of `size`; the proportions stay, to the pixel pair."""
    short = min(size)
    scale = SMALLEST / short if short < SMALLEST else min(LARGEST / short, 1.0)
    scale = min(scale, LONGEST / max(size))
    return 2 * max(round(size[0] * scale / 2), 1), 2 * max(round(size[1] * scale / 2), 1)


class _Followed:
    """Landmarks of the people of one stream at any time."""

    def __init__(self, people: Sequence[Person], scale: tuple[float, float]) -> None:
        self._people, self._scale = people, np.array(scale)

    def at(self, seconds: float) -> tuple[Float[ndarray, "33 2"], Float[ndarray, " 33"]] | None:
        """Pixels and visibilities, between the two nearest frames; None when nobody is seen then."""
        place = seconds * POSE_FPS
        person = next((p for p in self._people if p.first - 0.5 <= place < p.last - 0.5), None)
        if person is None:
            return None
        local = min(max(place - person.first, 0.0), len(person.image) - 1.0)
        low = int(local)
        high = min(low + 1, len(person.image) - 1)
        if not person.observed[low if local - low < 0.5 else high]:
            return None
        share = local - low if person.observed[low] and person.observed[high] else float(local - low >= 0.5)
        points = person.image[low, :, :2] * (1 - share) + person.image[high, :, :2] * share
        visible = person.visibility[low] * (1 - share) + person.visibility[high] * share
        return points * self._scale, visible


def _draw_person(image: Image.Image, points: Float[ndarray, "33 2"], visible: Float[ndarray, " 33"]) -> Box:
    """Limbs and a box around them; returns the box in pixels."""
    unit = min(image.size) / 480
    joints = sorted({joint for limb in LIMBS for joint in limb})
    low, high = points[joints].min(0), points[joints].max(0)
    margin = 0.06 * (high - low) + 6 * unit
    low, high = low - margin - (0, margin[1]), high + margin  # heads reach above the ears
    edge = np.array(image.size) - 1.0
    box: Box = (*np.clip(low, 0, edge).tolist(), *np.clip(high, 0, edge).tolist())  # type: ignore[assignment]
    left, top, right, bottom = (round(value) for value in box)
    if right - left < 2 or bottom - top < 2:
        return box
    fine = 2 if min(image.size) < 720 else 1  # small pictures are drawn twice as large, for smooth edges
    layer = Image.new("RGBA", ((right - left) * fine, (bottom - top) * fine))
    _draw_limbs(ImageDraw.Draw(layer), (points - (left, top)) * fine, visible, _thickness(points, unit) * fine)
    if fine > 1:
        layer = layer.reduce(fine)
    image.paste(layer, (left, top), layer)
    draw = ImageDraw.Draw(image, "RGBA")
    width = max(round(1.5 * unit), 1)
    draw.rounded_rectangle(box, radius=6 * unit, outline=OUTLINE, width=3 * width)
    inner = (box[0] + width, box[1] + width, box[2] - width, box[3] - width)
    if inner[2] > inner[0] and inner[3] > inner[1]:
        draw.rounded_rectangle(inner, radius=6 * unit, outline=(*PAPER, 230), width=width)
    return box


def _thickness(points: Float[ndarray, "33 2"], unit: float) -> float:
    """Of limbs, in pixels: people far away get thinner ones."""
    trunk = float(np.linalg.norm(points[[11, 12]].mean(0) - points[[23, 24]].mean(0)))
    return float(np.clip(0.05 * trunk, 1.6 * unit, 5 * unit))


def _draw_limbs(
    draw: ImageDraw.ImageDraw, points: Float[ndarray, "33 2"], visible: Float[ndarray, " 33"], width: float
) -> None:
    limbs = [limb for limb in LIMBS if visible[list(limb)].min() >= SEEN]
    joints = sorted({joint for limb in limbs for joint in limb})
    for extra, outline in ((0.9 * width, True), (0.0, False)):
        for one, other in limbs:
            color = OUTLINE if outline else (*_side(one, other), 255)
            ends = [tuple(points[one].tolist()), tuple(points[other].tolist())]
            draw.line(ends, fill=color, width=max(round(width + extra), 1))
        for joint in joints:
            color = OUTLINE if outline else (*_side(joint, joint), 255)
            x, y = points[joint].tolist()
            radius = 0.75 * width + extra / 2
            draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=color)


def _side(one: int, other: int) -> Color:
    if one in PLAIN or one % 2 != other % 2:
        return MIDDLE
    return LEFT if one % 2 else RIGHT


def _draw_labels(
    image: Image.Image, now: Sequence[Segment], boxes: Sequence[Box | None], colors: dict[str, Color], *, several: bool
) -> None:
    """What is under way, as chips above the box of whoever does it, or in the corner; chips never cover one another.

    Where there are several people, those who do nothing keep their number.
    """
    draw = ImageDraw.Draw(image, "RGBA")
    size = max(round(min(image.size) * 0.036), 11)
    font, pad, taken = _font(size), round(size * 0.42), list[Box]()
    shown = {actor for actor, box in enumerate(boxes) if box is not None} if several else set[int]()
    for actor in sorted({segment.actor for segment in now} | shown):
        box = boxes[actor] if actor < len(boxes) else None
        mine = sorted((s for s in now if s.actor == actor), key=lambda s: -s.score)
        number = f"{actor + 1}  " if several else ""
        best = {s.label: s for s in reversed(mine)}.values()
        chips = [(f"{number}{s.label}  {s.score:.2f}", colors[s.label]) for s in mine if s in best]
        chips = chips or [(number.strip(), INK)]
        for full, color in chips:
            text = _fitted(full, font, image.size[0] - 6 * pad)
            wide, tall = font.getlength(text) + 2 * pad, size + 2 * pad * 0.7
            x, y = (box[0], box[1] - tall - 2) if box is not None else (pad, pad)
            place = _free((x, y, x + wide, y + tall), image.size, taken)
            taken.append(place)
            draw.rounded_rectangle(place, radius=pad * 0.8, fill=(*color, 255), outline=(*PAPER, 235))
            middle = (place[1] + place[3]) / 2
            draw.text((place[0] + pad, middle), text, fill=ink_on(color), font=font, anchor="lm")


def _free(place: Box, size: tuple[int, int], taken: Sequence[Box]) -> Box:
    """The nearest place in the picture that covers none that are taken; the place itself where there is none."""
    wide, tall = place[2] - place[0], place[3] - place[1]
    right, bottom = max(size[0] - wide - 2.0, 2.0), max(size[1] - tall - 2.0, 2.0)
    x, y = min(max(place[0], 2.0), right), min(max(place[1], 2.0), bottom)
    columns = [x, *(t[0] - wide - 2 for t in taken), *(t[2] + 2 for t in taken)]
    rows = [y, *(t[1] - tall - 2 for t in taken), *(t[3] + 2 for t in taken)]
    free = [
        (abs(left - x) + abs(top - y), top, left)
        for left in columns
        for top in rows
        if 2 <= left <= right and 2 <= top <= bottom
        and not any(left < t[2] and left + wide > t[0] and top < t[3] and top + tall > t[1] for t in taken)
    ]  # fmt: skip
    _, y, x = min(free, default=(0.0, y, x))
    return x, y, x + wide, y + tall


class _Strip:
    """The timeline below the picture: a header with the clock, lanes of bars, the truth outlined, and a playhead."""

    def __init__(
        self, found: Timeline, truth: Timeline | None, colors: dict[str, Color], size: tuple[int, int]
    ) -> None:
        self._duration = max(found.duration, truth.duration if truth is not None else 0.0)
        self._colors, self._width = colors, size[0]
        rows = [(title, lane, False) for title, lanes in timeline_rows(found) for lane in lanes][:MOST_LINES]
        if truth is not None and truth.segments:
            lanes = [lane for _, rows_of in timeline_rows(truth) for lane in rows_of]
            rows += [("truth", lane, True) for lane in lanes[:2]]
        self._rows = rows or [("", [], False)]
        self._size = max(round(min(size) * 0.030), 11)
        self._font = _font(self._size)
        self._header, self._line = round(self._size * 1.7), round(self._size * 1.75)
        self._pad = round(self._size * 0.7)
        titles = [title.split("\n")[0] for title, _, _ in self._rows]
        gutter = max([self._font.getlength(title) for title in titles])
        self._left = self._pad + (round(gutter) + self._pad if gutter else 0)
        height = self._header + len(self._rows) * self._line + self._pad
        self._height = height + (height + size[1]) % 2
        self._page, self._image = -1, Image.new("RGB", (1, 1))

    def at(self, seconds: float) -> Picture:
        """The strip at a moment."""
        page = int(seconds // PAGE)
        if page != self._page:
            self._page, self._image = page, self._drawn(page * PAGE)
        image = self._image.copy()
        draw = ImageDraw.Draw(image)
        x = self._x(seconds, page * PAGE)
        width = max(round(self._size / 8), 2)
        bottom = self._height - self._pad / 2
        draw.line(((x, self._header * 0.55), (x, bottom)), fill=INK, width=width)
        mark = self._size * 0.34
        top = self._header * 0.42
        draw.polygon(((x - mark, top), (x + mark, top), (x, top + 1.5 * mark)), fill=INK)
        self._draw_clock(draw, x, seconds)
        return np.asarray(image)

    def _draw_clock(self, draw: ImageDraw.ImageDraw, x: float, seconds: float) -> None:
        """The time beside the playhead, on the side with more room."""
        text, gap = clock(seconds), self._size * 0.6
        right = x + gap + self._font.getlength(text) < self._width - self._pad
        place = x + gap if right else x - gap
        draw.text((place, self._header * 0.45), text, fill=INK, font=self._font, anchor="lm" if right else "rm")

    def _x(self, seconds: float, start: float) -> float:
        span = min(self._duration, PAGE) or 1.0
        return self._left + (seconds - start) / span * (self._width - self._left - self._pad)

    def _drawn(self, start: float) -> Image.Image:
        image = Image.new("RGB", (self._width, self._height), PAPER)
        draw = ImageDraw.Draw(image)
        end = start + min(self._duration, PAGE)
        low, high = self._x(start, start), self._x(end, start)
        for line, (title, lane, outlined) in enumerate(self._rows):
            top = self._header + line * self._line
            bottom = top + self._line - max(round(self._size * 0.25), 2)
            draw.rectangle((low, top, high, bottom), fill=FAINT)
            draw.text((self._pad, (top + bottom) / 2), title.split("\n")[0], fill=INK, font=self._font, anchor="lm")
            for segment in lane:
                if segment.end <= start or segment.start >= end:
                    continue
                left, right = (self._x(min(max(t, start), end), start) for t in (segment.start, segment.end))
                self._draw_bar(draw, (left, top, max(right - 1, left + 1), bottom), segment.label, outlined)
        return image

    def _draw_bar(self, draw: ImageDraw.ImageDraw, box: Box, label: str, outlined: bool) -> None:
        color = self._colors[label]
        if outlined:
            draw.rectangle(box, fill=PAPER, outline=color, width=max(round(self._size / 7), 2))
        else:
            draw.rectangle(box, fill=color)
        text = _fitted(label, self._font, box[2] - box[0] - self._size * 0.5)
        if text:
            ink = INK if outlined else ink_on(color)
            draw.text(((box[0] + box[2]) / 2, (box[1] + box[3]) / 2), text, fill=ink, font=self._font, anchor="mm")


@cache
def _font(size: int) -> ImageFont.FreeTypeFont:
    """DejaVu Sans, which has Latin, Greek and Cyrillic letters and comes with matplotlib."""
    from matplotlib import get_data_path

    return ImageFont.truetype(str(Path(get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"), size)


def _fitted(text: str, font: ImageFont.FreeTypeFont, pixels: float) -> str:
    """The text, cut with an ellipsis to at most `pixels`; empty when not even two letters fit."""
    if font.getlength(text) <= pixels:
        return text
    kept = len(text)
    while kept > 1 and font.getlength(text[:kept].rstrip() + "…") > pixels:
        kept -= 1
    return text[:kept].rstrip() + "…" if kept > 1 else ""


def _write(
    pictures: Iterator[tuple[float, Picture]], path: str | Path, fps: float, sound: Iterator | None,
    advance: Advance | None,
) -> int:  # fmt: skip
    count = 0
    with open_timed_video(path, fps, sound=sound) as add:
        for time, picture in pictures:
            add(time, picture)
            count += 1
            if advance is not None:
                advance(1)
    return count
