"""Datasets: built from every kind of source, whole after an interruption, refused when damaged."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from laban.errors import LabanError
from models.body.model import load_body
from models.body.pose import motion_joints
from models.body.skeleton import NUM_JOINTS, PARENTS
from models.body.vectors import axis_rotation
from models.data.annotations import recording_key
from models.data.build import build_dataset
from models.data.dataset import ClipRecord, MotionDataset
from models.data.sampling import Sampling, is_open, is_research, sampling_weights
from models.formats.amass import write_amass
from models.formats.bvh import write_bvh
from models.motion import Motion


def swaying(frames: int, fps: float = 30.0) -> Motion:
    """A person on the spot who bows and lifts both arms."""
    bow = axis_rotation(np.array([1.0, 0, 0]), 0.4 - 0.4 * np.cos(np.arange(frames) / 10))
    lift = axis_rotation(np.array([0, 0, 1.0]), np.sin(np.arange(frames) / 15))
    rotations = np.broadcast_to(np.eye(3), (1, frames, NUM_JOINTS, 3, 3)).astype(np.float32)
    rotations[0, :, 3], rotations[0, :, 16], rotations[0, :, 17] = bow, lift, lift.swapaxes(-1, -2)
    root = np.tile(np.array([0.1, -float(load_body().v_template[:, 1].min()), 0.2], np.float32), (1, frames, 1))
    return Motion(rotations, root, fps)


def mocap_folder_of(folder: Path, clips: dict[str, int], *, skeletons: int = 1) -> Path:
    """A folder in the layout of the motion set with clips of the given lengths on the body's own skeleton."""
    rest = load_body().joint_template[:22].numpy()
    offsets = [[0.0, 0.0, 0.0], *(rest[j] - rest[PARENTS[j]] for j in range(1, 22))]
    names = [f"joint{j}" for j in range(22)]
    skeleton = {
        "names": names,
        "parents": PARENTS[:22],
        "offsets": np.array(offsets).tolist(),
        "smpl22": np.eye(22).tolist(),
    }
    quaternions, roots, index, start = [], [], [], 0
    for number, (name, frames) in enumerate(clips.items()):
        motion = swaying(frames)
        from models.formats.rotvec import to_vectors  # the vectors are only a way to quaternions here

        vectors = to_vectors(motion.rotations[0, :, :22])
        angle = np.linalg.norm(vectors, axis=-1, keepdims=True)
        axis = vectors / np.maximum(angle, 1e-9)
        quaternions.append(np.concatenate([np.cos(angle / 2), axis * np.sin(angle / 2)], -1))
        roots.append(motion.root[0] + rest[0])
        index.append(
            {
                "id": name,
                "skeleton": f"s{number % skeletons}",
                "start": start,
                "frames": frames,
                "fps": 30,
                "scale": 1.0,
            }
            | {"source": "own", "action": "bow", "label": "Bow", "texts": ["a person bows"], "license": "CC0 1.0"}
            | {"subject": "nobody", "split": "train", "flags": []}
            | {"segments": [{"label": "bow", "start": 0.2, "end": 1.0}]}
            | {"captions": [{"start": 0.0, "end": 1.0, "texts": ["someone bows"]}]}
        )
        start += frames
    (folder / "clips").mkdir(parents=True)
    (folder / "index.json").write_text(json.dumps(index))
    meta = {"skeletons": {f"s{number}": skeleton for number in range(skeletons)}}
    (folder / "skeletons.json").write_text(json.dumps(meta))
    quat = np.round(np.concatenate(quaternions) * 32767).astype(np.int16)
    np.savez(folder / "clips" / "own.npz", quat=quat, root=np.concatenate(roots).astype(np.float32))
    return folder


def test_a_mocap_folder_becomes_a_dataset_with_its_labels(tmp_path: Path) -> None:
    source = mocap_folder_of(tmp_path / "source", {"long": 60, "blink": 10, "longer": 90})
    report = build_dataset([source], tmp_path / "set", quiet=True)
    dataset = MotionDataset.open(tmp_path / "set")
    assert [(skipped.id, skipped.reason) for skipped in report.skipped] == [("blink", "short")]
    assert [(record.id, record.start, record.frames) for record in dataset.records] == [
        ("long", 0, 60),
        ("longer", 60, 90),
    ]
    record = dataset.by_id["longer"]
    assert record.segments[0].label == "bow"
    assert record.captions[0].texts == ("someone bows",)
    assert not (tmp_path / "set" / "pieces").exists()


def test_a_clip_of_the_dataset_is_the_motion_that_went_in(tmp_path: Path) -> None:
    build_dataset([mocap_folder_of(tmp_path / "source", {"one": 80})], tmp_path / "set", quiet=True)
    dataset = MotionDataset.open(tmp_path / "set")
    found = dataset.motion(dataset.by_id["one"])
    assert found.fps == 30
    assert np.abs(motion_joints(found) - motion_joints(swaying(80))).max() < 0.03


def test_a_killed_build_goes_on_and_ends_the_same(tmp_path: Path) -> None:
    source = mocap_folder_of(tmp_path / "source", {f"clip{k}": 60 for k in range(40)}, skeletons=40)
    command = [
        sys.executable,
        "-m",
        "laban.cli",
        "data",
        "build",
        str(source),
        "-o",
        str(tmp_path / "killed"),
        "--json",
    ]
    runner = "from laban.cli import main; main()"
    child = subprocess.Popen([sys.executable, "-c", runner, *command[3:]], stdout=subprocess.DEVNULL)
    pieces = tmp_path / "killed" / "pieces"
    deadline = time.monotonic() + 60
    while len(list(pieces.glob("*-*.json"))) < 3 and child.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    child.send_signal(signal.SIGKILL)
    child.wait()
    if (tmp_path / "killed" / "dataset.json").exists():
        pytest.skip("the build was over before it could be interrupted")
    done = {path: path.stat().st_mtime_ns for path in pieces.glob("*-*.npz")}
    shutil.copytree(pieces, tmp_path / "kept", copy_function=shutil.copy2)
    with pytest.raises(LabanError, match="dataset.json"):
        MotionDataset.open(tmp_path / "killed")
    build_dataset([source], tmp_path / "killed", quiet=True)
    build_dataset([source], tmp_path / "straight", quiet=True)
    first, second = MotionDataset.open(tmp_path / "killed"), MotionDataset.open(tmp_path / "straight")
    assert done
    assert first.records == second.records
    assert np.array_equal(first.rotations, second.rotations)
    assert np.array_equal(first.root, second.root)


def test_pieces_of_another_source_are_not_taken_over(tmp_path: Path) -> None:
    source = mocap_folder_of(tmp_path / "source", {"one": 40})
    pieces = tmp_path / "set" / "pieces"
    pieces.mkdir(parents=True)
    (pieces / "state.json").write_text("{}")
    (pieces / "own-s0-00000.json").write_text(json.dumps({"records": [], "quality": [], "skipped": []}))
    build_dataset([source], tmp_path / "set", quiet=True)
    assert len(MotionDataset.open(tmp_path / "set").records) == 1


def amass_folder_of(folder: Path) -> Path:
    """A folder of AMASS recordings: one of 4 s at 60 fps, one damaged, and a shape file."""
    (folder / "KIT" / "3").mkdir(parents=True)
    write_amass(swaying(240, 60.0), folder / "KIT" / "3" / "bow_low02_poses.npz")
    (folder / "KIT" / "3" / "broken_poses.npz").write_bytes(b"PK\x03\x04 nothing")
    np.savez(folder / "KIT" / "3" / "shape.npz", betas=np.zeros(10))
    return folder


def test_amass_recordings_are_read_and_damaged_ones_reported(tmp_path: Path) -> None:
    report = build_dataset([amass_folder_of(tmp_path / "AMASS")], tmp_path / "set", quiet=True)
    dataset = MotionDataset.open(tmp_path / "set")
    assert [record.id for record in dataset.records] == ["KIT/3/bow_low02_poses"]
    assert dataset.records[0].frames == 120
    assert [skipped.reason.split(":")[0] for skipped in report.skipped] == ["unreadable"]
    motion = dataset.motion(dataset.records[0])
    assert np.abs(motion_joints(motion) - motion_joints(swaying(240, 60.0))[:, ::2]).max() < 2e-3


def test_humanml3d_windows_cut_amass_recordings(tmp_path: Path) -> None:
    notes = tmp_path / "HumanML3D"
    (notes / "texts").mkdir(parents=True)
    (notes / "index.csv").write_text(
        "source_path,start_frame,end_frame,new_name\n./pose_data/KIT/3/bow_low02_poses.npy,20,60,000007.npy\n"
    )
    (notes / "texts" / "000007.txt").write_text(
        "a person bows low.#a/DET person/NOUN bow/VERB#0.0#0.0\nhe lifts his arms#he/PRON lift/VERB#0.5#1.5\n"
    )
    (notes / "val.txt").write_text("000007\n")
    build_dataset([amass_folder_of(tmp_path / "AMASS"), notes], tmp_path / "set", quiet=True)
    (record,) = MotionDataset.open(tmp_path / "set").records
    assert (record.frames, record.split) == (60, "val")
    assert record.texts == ("a person bows low.",)
    assert [(c.start, c.end, c.texts) for c in record.captions][1] == (0.5, 1.5, ("he lifts his arms",))


def test_babel_gives_segments_and_actions(tmp_path: Path) -> None:
    notes = tmp_path / "babel"
    notes.mkdir()
    labels = [
        {"proc_label": "bow", "act_cat": ["bend"], "start_t": 0.0, "end_t": 1.5},
        {"proc_label": "lift arms", "act_cat": ["raise arms"], "start_t": 1.5, "end_t": 9.0},
    ]
    sequence = {"labels": [{"raw_label": "bowing and lifting", "act_cat": ["bend"]}]}
    entry = {
        "feat_p": "KIT/KIT/3/bow_low02_poses.npz",
        "dur": 4.0,
        "seq_ann": sequence,
        "frame_ann": {"labels": labels},
    }
    (notes / "train.json").write_text(json.dumps({"5": entry}))
    build_dataset([amass_folder_of(tmp_path / "AMASS"), notes], tmp_path / "set", quiet=True)
    (record,) = MotionDataset.open(tmp_path / "set").records
    assert (record.action, record.split, record.texts) == ("sequence", "train", ("bowing and lifting",))
    assert [(s.start, s.end, s.label) for s in record.segments] == [(0.0, 1.5, "bow"), (1.5, 4.0, "lift arms")]


def test_a_folder_of_bvh_files_is_a_source(tmp_path: Path) -> None:
    (tmp_path / "clips").mkdir()
    write_bvh(swaying(60), tmp_path / "clips" / "slow_bow_01.bvh")
    build_dataset([tmp_path / "clips"], tmp_path / "set", quiet=True)
    (record,) = MotionDataset.open(tmp_path / "set").records
    assert (record.id, record.texts, record.frames) == ("slow_bow_01", ("slow bow",), 60)


@pytest.mark.parametrize(
    ("path", "key"),
    [
        ("./pose_data/KIT/3/kick_high_left02_poses.npy", "3/kick_high_left02"),
        ("KIT/KIT/3/kick_high_left02_poses.npz", "3/kick_high_left02"),
        ("KIT/3/kick_high_left02_stageii.npz", "3/kick_high_left02"),
        ("Eyes_Japan_Dataset/aita/walk 04-fast.npz", "aita/walk_04-fast"),
    ],
)
def test_one_recording_has_one_key_in_all_releases(path: str, key: str) -> None:
    assert recording_key(path) == key


@pytest.mark.parametrize(("key", "value"), [("license", None), ("skeleton", "unknown")])
def test_an_index_that_does_not_fit_is_refused(tmp_path: Path, key: str, value: str | None) -> None:
    source = mocap_folder_of(tmp_path / "source", {"one": 40})
    index = json.loads((source / "index.json").read_text())
    index[0] = {name: old for name, old in index[0].items() if name != key} | ({key: value} if value else {})
    (source / "index.json").write_text(json.dumps(index))
    with pytest.raises(LabanError, match=f"entry 0 .*{value or key}"):
        build_dataset([source], tmp_path / "set", quiet=True)
    assert not (tmp_path / "set").exists()


def test_a_folder_without_motion_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LabanError, match="found no motion"):
        build_dataset([tmp_path], tmp_path / "set", quiet=True)


@pytest.mark.parametrize("name", ["dataset.json", "records.jsonl", "rotations.npy", "root.npy"])
def test_a_damaged_dataset_is_refused(tmp_path: Path, name: str) -> None:
    build_dataset([mocap_folder_of(tmp_path / "source", {"one": 40})], tmp_path / "set", quiet=True)
    path = tmp_path / "set" / name
    path.write_bytes(path.read_bytes()[:50])
    with pytest.raises(LabanError, match=str(tmp_path / "set")):
        MotionDataset.open(tmp_path / "set")


def record(name: str, action: str, *flags: str, license: str = "MIT", source: str = "own") -> ClipRecord:
    return ClipRecord(name, source, action, action, (action,), license, "train", frames=60, flags=flags)


def test_rare_actions_are_drawn_more_often_than_their_share() -> None:
    records = [record(f"w{k}", "walk") for k in range(100)] + [record("flip", "flip")]
    weights = sampling_weights(records)
    assert weights.sum() == pytest.approx(1)
    assert weights[-1] == pytest.approx(10 * weights[0])
    assert sampling_weights(records, Sampling(balance=1.0))[-1] == pytest.approx(1 / 101)


def test_captured_clips_are_trusted_more_than_drawn_ones_and_spikes_not_at_all() -> None:
    kinds = ["", "hand_animated", "noisy", "spikes"]
    weights = sampling_weights([record(kind, "walk", *([kind] if kind else [])) for kind in kinds])
    assert weights[0] > weights[1] > weights[2] > weights[3] == 0


def test_filters_keep_to_licences() -> None:
    records = [record("a", "walk", license="CC BY-NC 4.0"), record("b", "walk"), record("c", "walk", source="kinect")]
    assert [is_open(r) for r in records] == [False, True, True]
    assert [is_research(replace(r)) for r in records] == [True, True, False]


@pytest.mark.data
def test_the_real_set_keeps_bones_and_contacts(mocap_folder: Path) -> None:
    from dataclasses import asdict

    from models.body.retarget import global_rotations, retarget_tracks
    from models.body.retarget_body import target_body
    from models.body.retarget_quality import measure
    from models.data.mocap import MocapFolder

    mocap, target = MocapFolder(mocap_folder), target_body()
    figures = []
    for skeleton in ("bandai", "cmu_daz", "cmu_cc", "deepmimic", "ual", "kaykit", "points16_2"):
        entries = [plain for plain in mocap.index if plain["skeleton"] == skeleton and not plain["flags"]] or [
            plain for plain in mocap.index if plain["skeleton"] == skeleton
        ]
        calibration = mocap.calibration(skeleton, target)
        for plain in entries[:: max(1, len(entries) // 4)][:4]:
            tracks = mocap.tracks(plain)
            motion = retarget_tracks(tracks, calibration=calibration)
            world = global_rotations(motion.rotations[0, :, :22])
            figures.append(asdict(measure(tracks, world, motion_joints(motion)[0])))
    middle = {name: np.nanmedian([row[name] for row in figures]) for name in figures[0]}
    assert middle["bone"] <= 5
    assert middle["toe"] <= 0.01
    assert middle["slide"] <= middle["source_slide"] + 0.02
    assert np.nanmax([row["flip"] for row in figures]) <= 1.5
