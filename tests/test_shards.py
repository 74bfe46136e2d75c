"""Shards give back what was written, in an order that the seed alone decides; damaged and hostile ones are refused."""

from __future__ import annotations

import io
import json
import tarfile
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch

from laban.cli import run
from laban.errors import LabanError
from laban.timeline import FrameGrid, Segment, Timeline
from models.features import Features
from models.shards import LARGEST_HEADER, Sample, key_of, read_shard, shuffled, write_shards

NAMES = [f"v{n}" for n in range(9)] + ["a name.with dots/and ü", "x" * 150]


def samples() -> list[Sample]:
    rng = np.random.default_rng(0)
    made = []
    for number, name in enumerate(NAMES):
        values = rng.normal(size=(5 + number, 3)).astype(np.float32)
        truth = Timeline((Segment(0.5, 1.5, "clap"), Segment(1, 2, "wave")), 4.0 + number)
        made.append(Sample(name, Features(values, FrameGrid(25, len(values), 4, 16, 0.5), "toy"), truth))
    return made


def test_round_trip(tmp_path: Path) -> None:
    paths = write_shards(samples(), tmp_path, shard_bytes=5000)
    assert len(paths) > 2
    found = [raw.read() for path in paths for raw in read_shard(path)]
    for one, other in zip(found, samples(), strict=True):
        assert (one.name, one.truth, one.features.grid) == (other.name, other.truth, other.features.grid)
        assert one.features.extractor == "toy"
        assert np.array_equal(one.features.values, other.features.values)
    assert [p.read_bytes() for p in write_shards(samples(), tmp_path / "b", shard_bytes=5000)] == [
        p.read_bytes() for p in paths
    ]
    with tarfile.open(paths[0]) as archive:  # webdataset's layout: the key ends at the first dot
        assert archive.getnames()[:3] == ["v0.npy", "v0.json", "v1.npy"]


def test_the_seed_alone_decides_the_order(tmp_path: Path) -> None:
    paths = write_shards(samples(), tmp_path, shard_bytes=5000)

    def names(seed: int, buffer: int = 4, count: int = 22) -> list[str]:
        return [raw.name for raw in islice(shuffled(paths, seed=seed, buffer=buffer), count)]

    assert names(1) == names(1)
    assert names(1) != names(2)
    assert sorted(names(1)[:11]) == sorted(names(1)[11:]) == sorted(NAMES)
    assert names(1)[:11] != names(1)[11:]


def test_shards_are_read_from_addresses(tmp_path: Path) -> None:
    path = write_shards(samples(), tmp_path)[0]

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(tmp_path)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        address = f"http://127.0.0.1:{server.server_port}/{path.name}"
        assert [raw.name for raw in read_shard(address)] == NAMES
        with pytest.raises(LabanError, match="none.tar: cannot be read"):
            list(read_shard(address.replace(path.name, "none.tar")))
    finally:
        server.shutdown()
        server.server_close()


def tar(path: Path, *members: tuple[tarfile.TarInfo, bytes]) -> Path:
    with tarfile.open(path, "w") as archive:
        for info, content in members:
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


def npy(values: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.save(stream, values, allow_pickle=False)
    return stream.getvalue()


GRID = {"fps": 1, "frames": 2, "stride": 1, "window": 1, "offset": 0}
NOTE = json.dumps({"grid": GRID, "extractor": "toy", "duration": 2, "segments": []}).encode()


def test_damage_is_named_with_shard_and_member(tmp_path: Path) -> None:
    whole = write_shards(samples(), tmp_path)[0].read_bytes()
    for size in (700, 1300, 9000):
        (tmp_path / "cut.tar").write_bytes(whole[:size])
        with pytest.raises(LabanError, match=r"cut.tar: .*(cut short|has no \.json|no whole tar file)"):
            list(read_shard(tmp_path / "cut.tar"))
    with tarfile.open(fileobj=io.BytesIO(whole)) as archive:
        between = archive.getmembers()[2].offset  # behind a whole video
    (tmp_path / "cut.tar").write_bytes(whole[:between])
    with pytest.raises(LabanError, match="is cut short: it has no end mark"):
        list(read_shard(tmp_path / "cut.tar"))
    flipped = bytearray(whole)
    flipped[3] ^= 1
    (tmp_path / "bad.tar").write_bytes(flipped)
    with pytest.raises(LabanError, match=r"bad.tar: is no whole tar file"):
        list(read_shard(tmp_path / "bad.tar"))
    half = tar(tmp_path / "half.tar", (tarfile.TarInfo("a.npy"), npy(np.zeros((2, 2)))))
    with pytest.raises(LabanError, match=r"half.tar: a has no \.json"):
        list(read_shard(half))
    for array, note, message in (
        (npy(np.full((2, 2), np.nan)), NOTE, "accepted: finite numbers"),
        (b"\x93NUMPY nonsense", NOTE, "a.npy: is not a whole .npy file|NumPy format"),
        (npy(np.zeros((2, 2))), b"{}", "a.json: does not say what it should"),
        (npy(np.zeros((3, 2), np.float32)), NOTE, r"one.tar: a: has 3 rows; its .json says 2"),
        (npy(np.full((2, 2), 1e300)), NOTE, "accepted: finite numbers"),
        (npy(np.zeros((2, 2))), NOTE.replace(b'"duration": 2', b'"duration": ' + b"9" * 400), "does not say"),
        (npy(np.zeros((2, 2))), b"[" * 100_000, "a.json: does not say what it should"),
    ):
        bad = tar(tmp_path / "one.tar", (tarfile.TarInfo("a.npy"), array), (tarfile.TarInfo("a.json"), note))
        with pytest.raises(LabanError, match=message):
            [raw.read() for raw in read_shard(bad)]
    with pytest.raises(LabanError, match="hold no sample"):
        next(shuffled([tar(tmp_path / "empty.tar")], seed=0))


def test_the_long_name_of_a_folder_is_not_the_next_file_s(tmp_path: Path) -> None:
    folder = tarfile.TarInfo("f" * 120)
    folder.type = tarfile.DIRTYPE
    members = ((tarfile.TarInfo("a.npy"), npy(np.zeros((2, 2)))), (tarfile.TarInfo("a.json"), NOTE))
    with tarfile.open(tmp_path / "long.tar", "w", format=tarfile.GNU_FORMAT) as archive:
        archive.addfile(folder)
        for info, content in members:
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    assert [raw.name for raw in read_shard(tmp_path / "long.tar")] == ["a"]


def test_hostile_members_lead_nowhere(tmp_path: Path) -> None:
    good = (tarfile.TarInfo("../../a.npy"), npy(np.zeros((2, 2)))), (tarfile.TarInfo("/etc/a.json"), NOTE)
    found = list(read_shard(tar(tmp_path / "up.tar", *good)))
    assert [raw.name for raw in found] == ["a"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["up.tar"]
    link = tarfile.TarInfo("a.npy")
    link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
    with pytest.raises(LabanError, match="is no plain file"):
        list(read_shard(tar(tmp_path / "link.tar", (link, b""))))
    huge = tarfile.TarInfo("pax")
    huge.type = tarfile.XHDTYPE
    with pytest.raises(LabanError, match=f"accepted: up to {LARGEST_HEADER}"):
        list(read_shard(tar(tmp_path / "pax.tar", (huge, b"x" * (LARGEST_HEADER + 1)))))
    giant = tarfile.TarInfo("a.npy")
    giant.size = 1 << 40
    (tmp_path / "giant.tar").write_bytes(giant.tobuf(tarfile.GNU_FORMAT))
    with pytest.raises(LabanError, match="declares 1099511627776 bytes"):
        list(read_shard(tmp_path / "giant.tar"))
    assert key_of("../x.y") == "..%2Fx%2Ey".replace("..", "%2E%2E")
    with pytest.raises(LabanError, match="comes twice"):
        write_shards([samples()[0]] * 2, tmp_path / "twice")


def test_batches_from_shards_are_a_function_of_seed_and_step(tmp_path: Path) -> None:
    from action_localization.spine.batches import BatchConfig, StreamBatches, training_video

    paths = write_shards(samples(), tmp_path, shard_bytes=5000)

    def stream():
        for raw in shuffled(paths, seed=3, buffer=4):
            yield lambda raw=raw: training_video(raw.read().features, raw.read().truth, ("clap", "wave"))

    config = BatchConfig(size=2, frames=64)
    one, other = StreamBatches(stream, config), StreamBatches(stream, config)
    for step in (0, 1, 2, 7, 3, 3):
        a, b = one(step), StreamBatches(stream, config)(step)
        assert torch.equal(a.features, b.features)
        assert torch.equal(a.labels, b.labels)
    assert torch.equal(other(5).features, one(5).features)


def test_a_smaller_set_leaves_nothing_of_a_larger_one(tmp_path: Path) -> None:
    before = write_shards(samples(), tmp_path, shard_bytes=5000)
    with pytest.raises(LabanError, match=f"holds {len(before)} shards already"):
        write_shards(samples()[:1], tmp_path)
    assert sorted(tmp_path.iterdir()) == before and len(before) > 1
    assert write_shards(samples()[:1], tmp_path, overwrite=True) == sorted(tmp_path.iterdir()) == before[:1]


def test_pack_then_train(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "features").mkdir()
    database = {}
    for sample in samples()[:4]:
        np.save(tmp_path / "features" / f"{sample.name}.npy", sample.features.values, allow_pickle=False)
        database[sample.name] = {"subset": "training", "duration": 4.0,
                                 "annotations": [{"label": "clap", "segment": [0.5, 1.5]}]}  # fmt: skip
    (tmp_path / "features" / "features.json").write_text(json.dumps({"fps": 2, "extractor": "toy"}))
    (tmp_path / "truth.json").write_text(json.dumps({"database": database}))
    truth = ["--annotations", str(tmp_path / "truth.json")]
    packed = ["data", "shards", "--features", str(tmp_path / "features"), *truth, "-o", str(tmp_path / "shards")]
    assert run([*packed, "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    shards = said["shards"]
    assert (said["packed"], said["videos"]) == (4, 4)
    asked = ["train", "detect", *truth, "--system", "temporalmaxer", "--layout", "activitynet", "--steps", "2",
             "--batch", "2", "--precision", "32-true", "-o", str(tmp_path / "ck"),
             "--run", str(tmp_path / "run")]  # fmt: skip
    assert run([*asked, *(word for shard in shards for word in ("--shards", shard))]) == 0
    assert "4 of 4 videos have features" in capsys.readouterr().out
    assert (tmp_path / "ck" / "model.safetensors").is_file()
    (tmp_path / "features" / "features.json").unlink()
    assert run([*packed, "--grid", "4,1,1", "--json"]) == 2
    assert "holds 1 shards already" in capsys.readouterr().err
    assert run([*packed, "--grid", "4,1,1", "--json", "--overwrite"]) == 0
    assert next(read_shard(shards[0])).read().features.grid.fps == 4
    (tmp_path / "bare").mkdir()
    assert run([*packed[:2], "--features", str(tmp_path / "bare"), *packed[4:]]) == 2
    assert "has features of none of 4 videos" in capsys.readouterr().err
    assert run(asked) == 2
    assert "--features FOLDER, or --shards" in capsys.readouterr().err
