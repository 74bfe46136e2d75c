"""Pictures of detections: the film with everything drawn on, the figure, and the small pictures in it."""

from __future__ import annotations

import itertools
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from laban.errors import LabanError
from laban.timeline import Segment, Timeline
from models.video.container import Info, Raw
from models.video.pose import read_people, streams
from models.video.reading import Video, open_video
from tests.detect_files import Standing
from tests.video_files import write_video
from viz.detections import detection_rows, detections_figure, draw_detections
from viz.overlay import Detected, _free, annotated, film_size, overlay_video
from viz.palette import CLASS_COLORS, ink_on, label_colors
from viz.sheet import Thumbnails, chosen_segments, segment_row, time_row

SIZE = (96, 72)
WALK = Timeline((Segment(0.0, 1.5, "walk", score=0.9), Segment(0.5, 1.0, "wave", score=0.6)), 2.0)


def seen(path: Path, people: list[tuple[float, float, float]] | None = None) -> Detected:
    with open_video(path) as video:
        found = read_people(video, people=2, networks=Standing(people or [(0.5, 0.55, 0.8)]))
    return Detected(WALK, streams(found, 2), found.size)


def film(path: Path) -> tuple[list[float], list[np.ndarray]]:
    with av.open(str(path)) as box:
        shown = [(float(f.pts * f.time_base), f.to_ndarray(format="rgb24")) for f in box.decode(video=0)]
    return [time for time, _ in shown], [picture for _, picture in shown]


def near(picture: np.ndarray, color: tuple[int, int, int], least: int = 40) -> int:
    """Pixels of about a colour."""
    return int((np.abs(picture.astype(int) - color).max(-1) < least).sum())


def test_a_film_keeps_the_times_of_a_video_of_uneven_rate_and_its_sound(tmp_path: Path):
    times = [0.0, 0.05, 0.2, 0.21, 0.5, 0.8, 1.1, 1.2, 1.6, 1.9]
    source = write_video(tmp_path / "a.mp4", times, size=SIZE, sound=2.0)
    assert overlay_video(source, tmp_path / "b.mp4", seen(source)) == len(times)
    shown, pictures = film(tmp_path / "b.mp4")
    assert shown == pytest.approx(times, abs=2e-3)
    height, width = pictures[0].shape[:2]
    assert width == 640 and height > 480 + 20  # enlarged, and the timeline below
    with av.open(str(tmp_path / "b.mp4")) as box:
        sound = np.concatenate([frame.to_ndarray()[0] for frame in box.decode(audio=0)])
    assert len(sound) / 48000 == pytest.approx(1.93, abs=0.1)
    assert np.abs(sound[4800:48000]).mean() > 0.1


def test_a_turned_video_stands_upright(tmp_path: Path):
    source = write_video(tmp_path / "a.mp4", [k / 30 for k in range(10)], size=SIZE, rotation=90)
    overlay_video(source, tmp_path / "b.mp4", seen(source))
    _, pictures = film(tmp_path / "b.mp4")
    assert pictures[0].shape[1] == 480 and pictures[0].shape[0] > 640


def test_skeleton_box_and_labels_are_where_the_person_is(tmp_path: Path):
    source = write_video(tmp_path / "a.mp4", [k / 20 for k in range(30)], size=SIZE)
    detected = seen(source, [(0.3, 0.55, 0.8)])
    grey = np.full((480, 640, 3), 90, np.uint8)
    colors = label_colors(WALK.labels())
    before, during = (picture[:480] for _, picture in annotated([(0.1, grey), (0.7, grey)], (640, 480), detected))
    changed = np.flatnonzero((before != 90).any((0, 2)))
    assert changed.min() > 80 and changed.max() < 420
    left, right = (58, 124, 190), (214, 98, 72)
    columns = [np.flatnonzero((np.abs(before.astype(int) - color).max(-1) < 12).any(0)) for color in (left, right)]
    assert columns[0].mean() > columns[1].mean()  # the person's left is on our right
    assert near(before, colors["walk"], 8) > 500 and near(before, colors["wave"], 8) == 0
    assert near(during, colors["wave"], 8) > 500


def test_nobody_seen_then_no_box_and_labels_go_to_the_corner():
    grey = np.full((480, 640, 3), 90, np.uint8)
    ((_, picture),) = annotated([(0.2, grey)], (640, 480), Detected(WALK))
    changed = (picture[:480] != 90).any(-1)
    assert changed[:60, :200].any() and not changed[60:].any() and not changed[:, 250:].any()


def test_the_playhead_moves_and_pages_turn():
    grey = np.full((480, 640, 3), 90, np.uint8)
    long = Timeline((Segment(10, 20, "run", score=0.8), Segment(65, 90, "jump", score=0.7)), 150.0)
    colors = label_colors(long.labels())
    strips = [
        picture[480:] for _, picture in annotated(((t, grey) for t in (1.0, 30.0, 61.0)), (640, 480), Detected(long))
    ]
    heads = [np.flatnonzero((strip < 90).all(-1)[-12:-6].all(0)) for strip in strips]
    assert heads[0].mean() < heads[1].mean() > heads[2].mean()
    assert near(strips[0], colors["run"], 8) and not near(strips[0], colors["jump"], 8)
    assert near(strips[2], colors["jump"], 8) and not near(strips[2], colors["run"], 8)
    truth = Detected(long, truth=Timeline((Segment(1, 30, "walk"),), 150))
    ((_, picture),) = annotated([(1.0, grey)], (640, 480), truth)
    assert len(picture) > 480 + len(strips[0])


def test_chips_never_cover_one_another_and_stay_in_the_picture():
    rng = np.random.default_rng(0)
    taken: list[tuple[float, float, float, float]] = []
    for _ in range(8):
        x, y = rng.uniform(-50, 300, 2)
        taken.append(_free((x, y, x + 80, y + 20), (320, 240), taken))
    for one, other in itertools.combinations(taken, 2):
        assert one[2] <= other[0] or other[2] <= one[0] or one[3] <= other[1] or other[3] <= one[1]
    assert all(place[0] >= 0 and place[2] <= 320 and place[1] >= 0 and place[3] <= 240 for place in taken)


@pytest.mark.parametrize(
    ("size", "wanted"), [((320, 240), (640, 480)), ((1080, 1920), (1080, 1920)), ((3840, 2160), (1920, 1080)),
                         ((853, 479), (854, 480)), ((640, 480), (640, 480))],
)  # fmt: skip
def test_films_are_large_enough_to_read_and_even(size, wanted):
    assert film_size(size) == wanted


def test_a_film_is_never_too_wide_to_be_written():
    assert film_size((4000, 40)) == (4096, 40)
    assert film_size((16, 2000))[1] == 4096


def test_a_camera_cannot_be_read_twice(tmp_path: Path):
    with pytest.raises(LabanError, match="can be read only once"):
        overlay_video("rtsp://nowhere.invalid/live", tmp_path / "a.mp4", Detected(WALK))


# --- colours ----------------------------------------------------------------------------------------------------------


def test_colours_differ_and_depend_on_the_labels_alone():
    labels = [f"action {k}" for k in range(9)]
    colors = label_colors(labels)
    assert len(set(colors.values())) == 9
    assert label_colors(reversed(labels)) == colors
    assert set(label_colors([*labels, "one more"]).values()) == set(CLASS_COLORS)
    assert all(max(abs(a - b) for a, b in zip(ink_on(c), c, strict=True)) > 90 for c in CLASS_COLORS)


# --- small pictures ---------------------------------------------------------------------------------------------------


def ramp(frames: int, fps: float = 10.0) -> Video:
    def draw(level: int):
        return lambda size: np.full((size[1], size[0], 3), level, np.uint8)

    return Video(Info("ramp", 64, 48, fps), (Raw(k / fps, draw(k % 250)) for k in range(frames)))


def watched(frames: int, **options: float) -> Thumbnails:
    kept, video = Thumbnails(**options), ramp(frames)
    assert sum(1 for _ in kept.watch(video.raw, video.size())) == frames
    return kept


def test_small_pictures_are_kept_in_bounded_number_and_found_by_time():
    kept = watched(400, spacing=0.2, most=16)
    assert 8 <= len(kept.times) <= 16 and kept.spacing >= 1.6
    assert np.diff(kept.times).min() >= kept.spacing - 1e-6 or len(kept.times) < 3
    time, picture = watched(100).at([5.0])[0]
    assert time == pytest.approx(5.0) and picture.shape == (160, 213, 3)
    assert abs(int(picture.mean()) - 50) <= 2
    assert Thumbnails().at([1.0]) == []


def test_a_row_shows_what_lies_within_a_segment():
    kept = watched(100)
    row, places = segment_row(kept, 4.0, 6.0, (800, 100))
    assert row.shape == (100, 800, 3) and len(places) == 6
    assert all(4.0 <= time < 6.0 for time, _ in places)
    assert abs(int(row[50, 60, 0]) - 10 * places[0][0]) <= 3
    assert segment_row(kept, 50.0, 51.0, (800, 100))[1] == []
    strip = time_row(kept, 20.0, (800, 60))
    assert (strip[:, 500:] == 255).all()  # the video ends halfway along the axis
    assert abs(int(strip[30, 200, 0]) - 50) <= 12


def test_every_label_is_on_the_sheet_before_one_comes_twice():
    timeline = Timeline(tuple(Segment(k, k + 1, "ab"[k == 7], score=0.9 - 0.1 * k) for k in range(8)), 8)
    chosen = chosen_segments(timeline, 3)
    assert [(s.label, s.start) for s in chosen] == [("a", 0), ("a", 1), ("b", 7)]


# --- the figure -------------------------------------------------------------------------------------------------------


def test_rows_are_classes_of_people_and_truth_joins_its_class():
    found = Timeline((Segment(0, 1, "a", score=0.5), Segment(2, 3, "a", score=0.6, actor=1), Segment(1, 2, "b")), 9)
    rows = detection_rows(found, Timeline((Segment(0, 2, "a"), Segment(4, 5, "c")), 9))
    assert [(row.actor, row.label, len(row.found), len(row.truth)) for row in rows] == [
        (0, "a", 1, 1), (0, "b", 1, 0), (0, "c", 0, 1), (1, "a", 1, 0)]  # fmt: skip
    many = Timeline(tuple(Segment(k, k + 1, f"label {k}", score=k / 100) for k in range(60)), 60)
    assert [row.label for row in detection_rows(many)] == [f"label {k}" for k in range(20, 60)]


def test_scores_stand_in_bars_or_behind_them_and_never_on_the_next():
    rows = [(0, 30, 0.91), (40, 40.2, 0.42), (50, 50.1, 0.3), (50.2, 60, 0.8)]
    found = Timeline(tuple(Segment(start, end, "a", score=score) for start, end, score in rows), 60)
    figure = detections_figure(found)
    figure.canvas.draw()
    texts = {text.get_text(): text.get_window_extent() for text in figure.axes[0].texts}
    assert {"0.91", "0.42", "0.80"} <= set(texts) and "0.30" not in texts
    bars = [patch.get_window_extent() for patch in figure.axes[0].patches if patch.get_height() < 0.7]
    assert not any(texts["0.42"].overlaps(bar) for bar in bars)


@pytest.mark.parametrize("suffix", ["png", "svg", "pdf"])
def test_the_figure_is_written_the_same_each_time(tmp_path: Path, suffix: str):
    kept = watched(40)
    for name in "ab":
        draw_detections(WALK, tmp_path / f"{name}.{suffix}", title="$5 & <b>", truth=WALK, thumbnails=kept)
    if suffix != "pdf":
        assert (tmp_path / f"a.{suffix}").read_bytes() == (tmp_path / f"b.{suffix}").read_bytes()
    if suffix == "png":
        with Image.open(tmp_path / "a.png") as picture:
            assert picture.width == 1600


def test_an_empty_result_is_drawn_too(tmp_path: Path):
    draw_detections(Timeline((), 3.0), tmp_path / "a.png", title="nobody", thumbnails=watched(30))
    draw_detections(Timeline(), tmp_path / "b.png")
    assert (tmp_path / "b.png").stat().st_size > 2000


def test_a_long_title_stays_beside_the_legend():
    score = Timeline((Segment(0.0, 1.0, "walk"),), 2.0)
    figure = detections_figure(score, title="n$" * 200, truth=score)
    title, legend = (text.get_window_extent() for text in figure.texts[:2])
    assert title.x1 < legend.x0
