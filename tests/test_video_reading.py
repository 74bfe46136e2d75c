"""Reading video: true times, rotation, sound, damage, folders of images; every bad input is one clear line."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from laban.errors import LabanError
from models.video.container import Info, Raw, is_live, read_sound
from models.video.reading import MAX_GAP, nearest, open_video, tidy_times
from tests.video_files import SIZE, numbers, picture, write_video

INFO = Info("x", 8, 8, 30.0)


def read(source, **options):
    """All of a video: times, pictures, notes."""
    rate = options.pop("rate", None)
    with open_video(source, rate=rate) as video:
        chunks = list(video.chunks(**options))
    return np.concatenate([c.times for c in chunks]), np.concatenate([c.frames for c in chunks]), video.notes


def raw(times):
    return (Raw(time, lambda size: np.zeros((1, 1, 3), np.uint8)) for time in times)


def test_every_picture_comes_once_with_its_time_and_chunks_are_bounded(tmp_path):
    path = write_video(tmp_path / "a.mp4", np.arange(25) / 30)
    with open_video(path) as video:
        chunks = list(video.chunks(length=8))
    assert [len(chunk.times) for chunk in chunks] == [8, 8, 8, 1]
    assert video.info.fps == 30 and (video.info.width, video.info.height) == SIZE
    assert np.concatenate([chunk.times for chunk in chunks]) == pytest.approx(np.arange(25) / 30, abs=1e-3)
    assert numbers(np.concatenate([chunk.frames for chunk in chunks])) == list(range(25))
    assert video.notes == []


def test_variable_frame_rate_keeps_true_times_and_is_sampled_by_time(tmp_path):
    times = [0.0, 0.1, 0.12, 0.5, 0.9, 1.0, 1.05]
    path = write_video(tmp_path / "v.mkv", times)
    found, frames, _ = read(path)
    assert found == pytest.approx(times, abs=2e-3) and numbers(frames) == list(range(7))
    found, frames, _ = read(path, fps=10)
    wanted = [int(np.abs(np.array(times) - k / 10).argmin()) for k in range(len(frames))]
    assert numbers(frames) == wanted
    assert found == pytest.approx([times[k] for k in wanted], abs=2e-3)
    assert len(frames) == 11  # the last picture begins at 1.05 s


@given(st.lists(st.floats(0.01, 0.7), min_size=1, max_size=30), st.sampled_from([1.0, 5.0, 20.0, 30.0]))
def test_sampling_takes_the_nearest_picture_at_every_moment(steps, fps):
    times = [0.0, *itertools.accumulate(steps)]
    chosen = [item.time for item in nearest(raw(times), fps, 0.1)]
    assert (len(chosen) - 1) / fps < times[-1] + 0.1 <= len(chosen) / fps + 1e-5
    for k, time in enumerate(chosen):
        assert abs(time - k / fps) <= min(abs(t - k / fps) for t in times) + 1e-9


def test_times_that_go_back_or_jump_are_put_right_and_said():
    notes: list[str] = []
    times = [item.time for item in tidy_times(raw([0.0, 0.1, 0.1, 0.2, 1e6, 1e6 + 0.1, 0.3]), INFO, notes)]
    assert times == pytest.approx([0.0, 0.1, 0.2, 0.2 + 1 / 30, 0.3 + 1 / 30])
    assert len(notes) == 2 and f"{MAX_GAP:g} s" in notes[1]


def test_avi_with_pictures_between_pictures_comes_in_order(tmp_path):
    path = write_video(tmp_path / "b.avi", np.arange(30) / 30, codec="mpeg4", max_b_frames=2)
    times, frames, notes = read(path)
    assert len(times) == 30 and (np.diff(times) > 0).all() and notes == []
    assert numbers(frames) == list(range(30))


@pytest.mark.parametrize(("rotation", "corner"), [(90, "lower left"), (-90, "upper right"), (180, "lower right")])
def test_a_rotation_tag_sets_the_picture_upright(tmp_path, rotation, corner):
    path = write_video(tmp_path / "r.mp4", np.arange(4) / 30, rotation=rotation)
    _, frames, _ = read(path)
    height, width = frames.shape[1:3]
    assert (width, height) == (SIZE if rotation == 180 else SIZE[::-1])
    places = {"lower left": (-4, 3), "upper right": (3, -4), "lower right": (-4, -4)}
    for name, (row, column) in places.items():
        pixel = frames[0, row, column].astype(int)
        assert (pixel[0] > pixel[1] + 80) == (name == corner), name


def test_odd_pixels_are_made_square(tmp_path):
    from fractions import Fraction

    path = write_video(tmp_path / "s.mkv", np.arange(3) / 30, sample_aspect_ratio=Fraction(4, 3))
    _, frames, _ = read(path)
    assert frames.shape[1:3] == (48, 85)


def test_pictures_are_shrunk_but_never_grown(tmp_path):
    path = write_video(tmp_path / "a.mp4", np.arange(3) / 30)
    assert read(path, short_side=24)[1].shape == (3, 24, 32, 3)
    assert read(path, short_side=500)[1].shape == (3, 48, 64, 3)


def test_sound_is_read_in_pieces_with_times(tmp_path):
    path = write_video(tmp_path / "a.mp4", np.arange(60) / 30, sound=2.0)
    pieces = list(read_sound(path, 8000))
    samples = np.concatenate([piece.samples for piece in pieces])
    assert abs(len(samples) / 8000 - 2.0) < 0.1 and max(len(piece.samples) for piece in pieces) <= 8000
    assert [piece.start for piece in pieces] == pytest.approx(np.arange(len(pieces)), abs=0.06)
    peak = np.abs(np.fft.rfft(samples[:8000])).argmax()
    assert abs(peak - 440) <= 2
    with open_video(path) as video:
        assert video.info.sound


@pytest.mark.parametrize("name", ["t.mkv", "t.mp4", "t.avi"])
def test_a_truncated_file_gives_what_decodes_and_says_so(tmp_path, name):
    codec = "mpeg4" if name.endswith("avi") else "libx264"
    options = {"movflags": "+faststart"} if name.endswith("mp4") else {}
    whole = write_video(tmp_path / name, np.arange(90) / 30, codec=codec, options=options, size=(128, 96))
    data = whole.read_bytes()
    whole.write_bytes(data[: len(data) * 6 // 10])
    times, frames, notes = read(whole)
    assert 5 < len(frames) < 85 and (np.diff(times) > 0).all()
    assert any("cut short" in note or "cannot be read further" in note for note in notes), notes


def test_damage_in_the_middle_is_survived(tmp_path):
    path = write_video(tmp_path / "d.mkv", np.arange(90) / 30, size=(128, 96))
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 300] = np.random.default_rng(0).bytes(300)
    path.write_bytes(bytes(data))
    times, frames, _ = read(path)
    assert len(frames) > 30 and (np.diff(times) > 0).all()


def test_metadata_need_not_be_utf8(tmp_path):
    path = write_video(tmp_path / "m.avi", np.arange(5) / 30, codec="mpeg4")
    data = path.read_bytes()
    assert b"Lavf" in data
    path.write_bytes(data.replace(b"Lavf", b"\xff\xfe\xe4\xf6"))
    assert len(read(path)[0]) == 5


def sound_alone(folder):
    from fractions import Fraction

    import av

    path = folder / "sound.mp4"
    with av.open(str(path), "w") as box:
        track = box.add_stream("aac", rate=44100)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = 44100, 0, Fraction(1, 44100)
        box.mux(track.encode(frame))
        box.mux(track.encode(None))
    return path


def without_end(folder):
    path = write_video(folder / "w.mp4", np.arange(60) / 30)
    path.write_bytes(path.read_bytes()[:2000])
    return path


def empty_folder(folder):
    (folder / "empty").mkdir()
    return folder / "empty"


def text(folder):
    (folder / "text.mp4").write_text("this is no video\n" * 50)
    return folder / "text.mp4"


def empty(folder):
    (folder / "empty.mp4").write_bytes(b"")
    return folder / "empty.mp4"


def playlist(folder):
    target = write_video(folder / "target.ts", np.arange(30) / 30, options={})
    path = folder / "list.m3u8"
    path.write_text(f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nhttp://127.0.0.1:9/{target.name}\n#EXT-X-ENDLIST\n")
    return path


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda folder: folder / "none.mp4", "does not exist"),
        (text, "is not a readable video"),
        (empty, "is empty"),
        (sound_alone, "has no video stream (found audio)"),
        (without_end, "video"),
        (empty_folder, "holds no image"),
        (playlist, "list.m3u8"),
    ],
)
def test_what_is_no_video_is_one_clear_line(tmp_path, make, said):
    path = make(tmp_path)
    with pytest.raises(LabanError) as caught, open_video(path):
        pass
    assert said in str(caught.value) and path.name in str(caught.value) and "\n" not in str(caught.value)


def test_a_video_without_sound_says_so(tmp_path):
    path = write_video(tmp_path / "a.mp4", np.arange(3) / 30)
    with pytest.raises(LabanError, match="has no sound track"):
        list(read_sound(path))


def test_a_folder_of_images_is_a_video_in_natural_order(tmp_path):
    for index in range(12):
        Image.fromarray(picture(index)).save(tmp_path / f"frame{index}.png")
    (tmp_path / "frame3.png").write_bytes(b"no image")
    Image.fromarray(picture(12)).save(tmp_path / "frame12.png")
    whole = (tmp_path / "frame12.png").read_bytes()
    (tmp_path / "frame12.png").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "notes.txt").write_text("not an image")
    times, frames, notes = read(tmp_path)
    assert numbers(frames) == [0, 1, 2, *range(4, 12)]
    assert times == pytest.approx(np.array([0, 1, 2, *range(4, 12)]) / 30)
    assert any("30 frames a second were assumed" in note for note in notes)
    assert any("2 images cannot be read and were left out, first frame3.png" in note for note in notes)
    times, _, notes = read(tmp_path, rate=10.0)
    assert times[-1] == pytest.approx(1.1) and len(notes) == 1


def test_a_given_rate_replaces_wrong_time_stamps(tmp_path):
    path = write_video(tmp_path / "v.mkv", [0.0, 0.1, 0.12, 0.5])
    assert read(path, rate=4.0)[0] == pytest.approx([0, 0.25, 0.5, 0.75])
    for rate in (0.0, -1.0, float("nan")):
        with pytest.raises(LabanError, match="frame rate"), open_video(path, rate=rate):
            pass


@pytest.mark.parametrize(
    ("source", "live"),
    [("clip.mp4", False), ("rtsp://camera/1", True), ("/dev/video0", True), ("http://x/a.mp4", True), ("C:a", False)],
)
def test_only_cameras_and_addresses_are_live(source, live):
    assert is_live(source) is live


@pytest.mark.data
def test_every_real_video_is_read_to_its_last_picture(data_folder):
    import json

    folder = data_folder / "video"
    entries = json.loads((folder / "index.json").read_text())["videos"]
    for entry in entries[::8]:
        with open_video(folder / entry["file"]) as video:
            chunks = [chunk.times for chunk in video.chunks(short_side=64)]
        assert sum(map(len, chunks)) == entry["frames"], entry["file"]
        assert chunks[-1][-1] == pytest.approx(entry["last_frame_time"], abs=0.05), entry["file"]
