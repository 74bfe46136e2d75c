"""BVH: parity with an independent reader, any hierarchy and channel order, units, errors that name file and line."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pybvh
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from laban.errors import LabanError
from models.body.clip import SkeletonClip, clip_world
from models.body.kinematics import forward_kinematics
from models.body.model import load_body
from models.body.skeleton import JOINT_NAMES, PARENTS
from models.formats import write_motion
from models.formats.bvh import UNITS, euler_angles, frame_rate, guess_unit, read_bvh, read_bvh_clip, write_bvh
from models.motion import Motion
from models.rotations import axis_angle_to_matrix

ORDERS = ["".join(order) for order in itertools.permutations("XYZ")]

SMALL = """HIERARCHY
ROOT Hips
{
  OFFSET 0 0 0
  CHANNELS 6 Xposition Yposition Zposition Zrotation Xrotation Yrotation
  JOINT Spine
  {
    OFFSET 0 50 0
    CHANNELS 3 Zrotation Xrotation Yrotation
    End Site
    {
      OFFSET 0 40 0
    }
  }
}
MOTION
Frames: 2
Frame Time: 0.033333
0 90 0 0 0 0 10 20 30
1 91 2 5 5 5 11 21 31
"""


def random_motion(seed: int = 0, frames: int = 12, joints: int = 55) -> Motion:
    random = np.random.default_rng(seed)
    vectors = np.zeros((1, frames, 55, 3))
    vectors[:, :, :joints] = np.cumsum(random.normal(0, 0.3, (1, frames, joints, 3)), axis=1)
    root = np.cumsum(random.normal(0, 0.05, (1, frames, 3)), axis=1).astype(np.float32)
    rotations = axis_angle_to_matrix(torch.from_numpy(vectors)).numpy().astype(np.float32)
    return Motion(rotations, root, 30.0, random.normal(0, 1, (1, 10)).astype(np.float32), mask=np.arange(55) < joints)


def random_file(seed: int, orders: list[str], *, positions: bool = False, frames: int = 5) -> tuple[str, dict]:
    """Text of a random hierarchy, one joint an order, and what it should say."""
    random = np.random.default_rng(seed)
    parents = [-1] + [int(random.integers(0, j)) for j in range(1, len(orders))]
    offsets = random.normal(0, 10, (len(orders), 3)).round(4)
    channels: list[list[str]] = []
    for joint, order in enumerate(orders):
        names = [f"{axis}rotation" for axis in order]
        if joint == 0 or positions:
            names = ["Xposition", "Yposition", "Zposition", *names]
        channels.append([str(name) for name in random.permutation(names)] if positions else names)
    lines: list[str] = ["HIERARCHY"]
    file_order: list[int] = []

    def emit(joint: int) -> None:
        file_order.append(joint)
        lines.append(f"{'JOINT' if joint else 'ROOT'} bone{joint}\n{{\nOFFSET {' '.join(map(str, offsets[joint]))}")
        lines.append(f"CHANNELS {len(channels[joint])} {' '.join(channels[joint])}")
        children = [j for j, parent in enumerate(parents) if parent == joint]
        for child in children:
            emit(child)
        if not children:
            lines.append("End Site\n{\nOFFSET 0 1 0\n}")
        lines.append("}")

    emit(0)
    width = sum(map(len, channels))
    values = random.uniform(-180, 180, (frames, width)).round(4)
    lines += ["MOTION", f"Frames: {frames}", "Frame Time: 0.0083333"]
    lines += [" ".join(map(str, row)) for row in values]
    expected = {"parents": parents, "offsets": offsets, "channels": channels, "order": file_order, "values": values}
    return "\n".join(lines) + "\n", expected


def reference_positions(expected: dict) -> dict[int, np.ndarray]:
    """World positions by the definition of the format, one joint and one channel at a time."""
    places, turns, column = {}, {}, 0
    for joint in expected["order"]:
        parent, frames = expected["parents"][joint], len(expected["values"])
        local = np.tile(expected["offsets"][joint], (frames, 1))
        turn = Rotation.identity(frames)
        for name in expected["channels"][joint]:
            value = expected["values"][:, column]
            column += 1
            if name.endswith("position"):
                local[:, "XYZ".index(name[0])] = value
            else:
                turn = turn * Rotation.from_euler(name[0], value[:, None], degrees=True)
        places[joint] = local if parent < 0 else places[parent] + turns[parent].apply(local)
        turns[joint] = turn if parent < 0 else turns[parent] * turn
    return places


def write(folder: Path, text: str | bytes, name: str = "a.bvh") -> Path:
    path = folder / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def place_of(clip: SkeletonClip) -> dict[str, np.ndarray]:
    return dict(zip(clip.names, clip_world(clip)[0].swapaxes(0, 1), strict=True))


@pytest.mark.parametrize("joints", [22, 55])
def test_pybvh_finds_the_joints_of_a_written_file_where_our_kinematics_put_them(joints: int, tmp_path: Path) -> None:
    motion = random_motion(joints=joints)
    write_bvh(motion, tmp_path / "a.bvh")
    theirs = pybvh.read_bvh_file(tmp_path / "a.bvh", world_up="+y", warn_on_world_up_disagreement=False)
    rest = load_body().rest_joints(torch.from_numpy(motion.betas))[0]
    ours = forward_kinematics(torch.from_numpy(motion.rotations[0]), rest, torch.from_numpy(motion.root[0]))[0]
    order = [JOINT_NAMES.index(name) for name in theirs.joint_names]
    assert len(order) == joints
    assert np.abs(theirs.joint_positions() / 100 - ours[:, order].numpy()).max() < 1e-5
    assert theirs.fps == pytest.approx(30)


@pytest.mark.parametrize("order", ORDERS)
def test_parity_with_pybvh_for_every_rotation_order(order: str, tmp_path: Path) -> None:
    text, _ = random_file(3, [order] * 6)
    path = write(tmp_path, text)
    theirs = pybvh.read_bvh_file(path, world_up="+y", warn_on_world_up_disagreement=False)
    ours = place_of(read_bvh_clip(path, unit="m", up="y"))
    positions = theirs.joint_positions()
    for k, name in enumerate(theirs.joint_names):
        assert np.abs(positions[:, k] - ours[name]).max() < 2e-3, name
    assert read_bvh_clip(path).fps == pytest.approx(theirs.fps)


@given(seed=st.integers(0, 10_000), orders=st.lists(st.sampled_from([*ORDERS, "ZXZ", "XY", "Y", ""]), max_size=6))
@settings(max_examples=30, deadline=None)
def test_any_hierarchy_and_channel_order_follows_the_definition(
    seed: int, orders: list[str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    text, expected = random_file(seed, ["ZYX", *orders], positions=False)
    clip = read_bvh_clip(write(tmp_path_factory.mktemp("bvh"), text), unit="m", up="y")
    ours = place_of(clip)
    for joint, places in reference_positions(expected).items():
        assert np.abs(ours[f"bone{joint}"] - places).max() < 5e-3


def test_position_channels_of_every_joint_stand_for_its_offset(tmp_path: Path) -> None:
    text, expected = random_file(5, ["XYZ", "ZYX", "YZX", "ZXY"], positions=True)
    column = 0
    for joint in expected["order"]:  # bones keep their length: still position channels below the root
        for name in expected["channels"][joint]:
            if joint and name.endswith("position"):
                expected["values"][:, column] = expected["values"][0, column]
            column += 1
    head, _, _ = text.partition("Frame Time: 0.0083333\n")
    rows = "\n".join(" ".join(map(str, row)) for row in expected["values"])
    clip = read_bvh_clip(write(tmp_path, f"{head}Frame Time: 0.0083333\n{rows}\n"), unit="m", up="y")
    ours = place_of(clip)
    for joint, places in reference_positions(expected).items():
        assert np.abs(ours[f"bone{joint}"] - places).max() < 5e-3


def test_a_still_reference_node_above_the_hips_is_folded_away(tmp_path: Path) -> None:
    text = SMALL.replace("ROOT Hips", "ROOT Reference").replace(
        "CHANNELS 3 Zrotation", "CHANNELS 6 Xposition Yposition Zposition Zrotation"
    )
    rows = "0 10 0 0 0 90 0 90 0 10 20 30\n0 10 0 0 0 90 1 91 2 11 21 31\n"
    head = text[: text.index("0.033333") + len("0.033333\n")]
    clip = read_bvh_clip(write(tmp_path, head + rows), unit="m", up="y")
    assert clip.names == ("Spine", "Spine_end")
    assert clip.root == pytest.approx(np.array([[0, 100, 0], [2, 101, -1]]), abs=1e-4)
    turned = Rotation.from_quat(clip.rotations[:, 0], scalar_first=True)
    expected = Rotation.from_euler("Y", 90, degrees=True) * Rotation.from_euler(
        "ZXY", [[10, 20, 30], [11, 21, 31]], True
    )
    assert (turned.inv() * expected).magnitude().max() < 1e-5


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace("\n", "\r\n"),
        lambda text: text.replace("ROOT Hips\n{", "ROOT Hips {").replace("JOINT Spine\n  {", "JOINT Spine{"),
        lambda text: text.replace("Zrotation", "ZROTATION").replace("Frame Time", "FRAME TIME"),
        lambda text: "\ufeff" + text,
        lambda text: text + "\n\n  \n",
        lambda text: text.replace("\n", "\n\n"),
        lambda text: text.replace(" ", "\t"),
        lambda text: text.rstrip("\n"),
    ],
    ids=["crlf", "braces", "case", "bom", "blank end", "blank lines", "tabs", "no last newline"],
)
def test_ways_of_writing_the_same_file(change, tmp_path: Path) -> None:
    plain = read_bvh_clip(write(tmp_path, SMALL, "plain.bvh"))
    other = read_bvh_clip(write(tmp_path, change(SMALL)))
    assert other.names == plain.names
    assert np.array_equal(other.rotations, plain.rotations)
    assert np.array_equal(other.root, plain.root)
    assert other.fps == plain.fps == 30.0


def test_names_with_spaces_and_twice_the_same(tmp_path: Path) -> None:
    text = SMALL.replace("Hips", "the Hips").replace("Spine", "the Hips")
    assert read_bvh_clip(write(tmp_path, text)).names == ("the Hips", "the Hips_2", "the Hips_end")


@pytest.mark.parametrize(
    ("text", "rate"),
    [("0.033333", 30), ("0.0333", 30), ("0.00833333", 120), ("0.008333", 120), ("0.0416667", 24), ("0.04", 25),
     ("0.041708", 1 / 0.041708), ("0.0166833", 1 / 0.0166833), ("0.05", 20), ("0.01", 100)],
)  # fmt: skip
def test_frame_rates_are_whole_where_the_digits_allow(text: str, rate: float) -> None:
    assert frame_rate(float(text), text) == pytest.approx(rate, rel=1e-9)


@given(unit=st.sampled_from(sorted(UNITS)), height=st.floats(0.85, 1.15))
@settings(max_examples=40, deadline=None)
def test_the_unit_is_guessed_from_an_adults_size(unit: str, height: float) -> None:
    rest = load_body().joint_template.numpy() * height / UNITS[unit]
    offsets = rest - rest[[max(parent, 0) for parent in PARENTS]]
    assert guess_unit(list(PARENTS), offsets) == unit


def test_the_unit_can_be_given(tmp_path: Path) -> None:
    path = write(tmp_path, SMALL)
    assert read_bvh_clip(path, unit="cm").offsets[1] == pytest.approx([0, 0.5, 0])
    assert read_bvh_clip(path, unit="inch").root[0] == pytest.approx([0, 90 * 0.0254, 0])
    with pytest.raises(LabanError, match="--unit furlong: accepted: m, cmu, inch, cm, mm"):
        read_bvh_clip(path, unit="furlong")


def z_up(text: str) -> str:
    """A file of `write_bvh` as a Z-up program writes it: (x, y, z) becomes (x, -z, y), in offsets, places and turns."""
    rows = []
    for row in text.splitlines():
        words = row.split()
        if words[0] == "OFFSET":
            words[1:] = [words[1], str(-float(words[3])), words[2]]
        elif words[0] == "CHANNELS":
            words = [{"Zrotation": "Yrotation", "Yrotation": "Zrotation"}.get(word, word) for word in words]
        elif len(words) == 69:
            numbers = [float(word) for word in words]
            numbers[:3] = [numbers[0], -numbers[2], numbers[1]]
            numbers[3::3] = [-number for number in numbers[3::3]]  # about z before, so about -y now
            words = [repr(number) for number in numbers]
        rows.append(" ".join(words))
    return "\n".join(rows) + "\n"


def test_z_up_files_are_recognised_and_turned(tmp_path: Path) -> None:
    motion = random_motion(joints=22)
    motion.rotations[:, :, 0] = np.eye(3, dtype=np.float32)
    motion.rotations[:, :, [1, 2, 3]] = np.eye(3, dtype=np.float32)
    write_bvh(motion, tmp_path / "y.bvh")
    path = write(tmp_path, z_up((tmp_path / "y.bvh").read_text()), "z.bvh")
    expected = clip_world(read_bvh_clip(tmp_path / "y.bvh"))[0]
    bones = np.arange(22)  # the End Sites follow
    for up in ("z", None):
        turned = read_bvh_clip(path, up=up)
        assert np.abs(clip_world(turned)[0][:, bones] - expected[:, bones]).max() < 1e-5
        assert np.abs(turned.rest_joints()[:22] - read_bvh_clip(tmp_path / "y.bvh").rest_joints()[:22]).max() < 1e-5
    assert np.abs(read_bvh(path).rotations - motion.rotations).max() < 1e-5
    lying = clip_world(read_bvh_clip(path, up="y"))[0]
    assert np.ptp(lying[0, :, 2]) == pytest.approx(np.ptp(expected[0, :, 1]), abs=1e-4)


def test_somebody_who_lies_down_is_not_stood_up(tmp_path: Path) -> None:
    rotations = np.tile(np.eye(3, dtype=np.float32), (1, 5, 55, 1, 1))
    rotations[:, :, 0] = [[1, 0, 0], [0, 0, -1], [0, 1, 0]]
    write_bvh(Motion(rotations, np.zeros((1, 5, 3), np.float32), 30.0), tmp_path / "a.bvh")
    places = clip_world(read_bvh_clip(tmp_path / "a.bvh"))[0]
    assert np.ptp(places[0, :, 1]) < 0.5 < np.ptp(places[0, :, 2])


@given(seed=st.integers(0, 10_000), lock=st.booleans())
@settings(max_examples=50, deadline=None)
def test_euler_angles_give_the_rotation_back_even_at_gimbal_lock(seed: int, lock: bool) -> None:
    random = np.random.default_rng(seed)
    angles = random.uniform(-np.pi, np.pi, (6, 3, 3))
    if lock:
        angles[..., 1] = np.where(random.random((6, 3)) < 0.5, -np.pi / 2, np.pi / 2)
    matrices = Rotation.from_euler("ZXY", angles.reshape(-1, 3)).as_matrix().reshape(6, 3, 3, 3)
    matrices = matrices.astype(np.float32).astype(np.float64)
    again = Rotation.from_euler("ZXY", euler_angles(matrices).reshape(-1, 3)).as_matrix().reshape(6, 3, 3, 3)
    assert np.abs(again - matrices).max() < 1e-6


@pytest.mark.parametrize("axis", ["X", "Y", "Z"])
def test_euler_curves_of_somersaults_have_no_jumps(axis: str) -> None:
    """Three whole turns, the middle axis through both its poles: every step is the step of the rotation."""
    turns = np.linspace(0.01, 6 * np.pi, 400)
    angles = euler_angles(Rotation.from_euler(axis, turns[:, None]).as_matrix()[:, None])
    steps = np.abs(np.diff(angles[:, 0], axis=0)).sum(-1)
    assert steps == pytest.approx(np.diff(turns), abs=1e-6)


BAD = {
    "1: found 'MOTION'": "MOTION\nFrames: 1\nFrame Time: 0.1\n0\n",
    "1: found ''": "",
    "2: root 'Hips' lacks the channels Yrotation": SMALL.replace(
        "CHANNELS 6 Xposition Yposition Zposition Zrotation Xrotation Yrotation",
        "CHANNELS 5 Xposition Yposition Zposition Zrotation Xrotation",
    ),
    "14: joint 'Spine' .line 6. has no CHANNELS": SMALL.replace("    CHANNELS 3 Zrotation Xrotation Yrotation\n", "\n"),
    "14: joint 'Spine' .line 6. has no OFFSET": SMALL.replace("    OFFSET 0 50 0\n", "\n"),
    "9: CHANNELS 3 is followed by 2 names": SMALL.replace("3 Zrotation Xrotation Yrotation", "3 Zrotation Xrotation"),
    "9: CHANNELS 2 is followed by more": SMALL.replace("CHANNELS 3", "CHANNELS 2"),
    "9: unknown channel 'Wrotation'": SMALL.replace("3 Zrotation", "3 Wrotation"),
    "9: CHANNELS many: accepted": SMALL.replace("CHANNELS 3", "CHANNELS many"),
    "9: CHANNELS 999999999: accepted": SMALL.replace("CHANNELS 3", "CHANNELS 999999999"),
    "5: CHANNELS .*twice": SMALL.replace("Xposition Yposition", "Xposition Xposition"),
    "8: OFFSET 0 nan 0: accepted": SMALL.replace("OFFSET 0 50 0", "OFFSET 0 nan 0"),
    "8: OFFSET 0 50: accepted": SMALL.replace("OFFSET 0 50 0", "OFFSET 0 50"),
    "6: unknown word 'BONE'": SMALL.replace("JOINT Spine", "BONE Spine"),
    "7: found 'OFFSET'": SMALL.replace("JOINT Spine\n  {\n", "JOINT Spine\n").replace("}\n}\nMOTION", "}\nMOTION"),
    "15: the hierarchy ends inside joint 'Hips'": SMALL.replace("}\n}\nMOTION", "}\n\nMOTION"),
    "16: found '}'": SMALL.replace("}\n}\nMOTION", "}\n}\n}\nMOTION"),
    "16: a second ROOT 'Other'": SMALL.replace("MOTION", "ROOT Other\n{\n}\nMOTION"),
    "15: the file ends without a MOTION": SMALL[: SMALL.index("MOTION")],
    "16: MOTION is not followed by 'Frames": SMALL.replace("Frames: 2\n", ""),
    "17: MOTION is not followed by 'Frame Time": SMALL.replace("Frame Time: 0.033333\n", ""),
    "17: Frames: two": SMALL.replace("Frames: 2", "Frames: two"),
    "17: Frames: -2": SMALL.replace("Frames: 2", "Frames: -2"),
    "17: Frames: 0;": SMALL.replace("Frames: 2", "Frames: 0"),
    "17: Frames: 99999999999999": SMALL.replace("Frames: 2", "Frames: 99999999999999"),
    "18: Frame Time: 0;": SMALL.replace("0.033333", "0"),
    "18: Frame Time: nan;": SMALL.replace("0.033333", "nan"),
    "19: found 8 values; accepted: 9": SMALL.replace("0 90 0 0", "0 90 0"),
    "20: found 5 values; accepted: 9, one a channel .the file is cut short": SMALL[: SMALL.index("5 11 21 31")],
    "20: found 10 values; accepted: 9": SMALL.replace("11 21 31", "11 21 31 7"),
    "19: found 1 lines of values; 'Frames:' says 2": SMALL[: SMALL.index("1 91")],
    "20: found 2 lines of values; 'Frames:' says 7": SMALL.replace("Frames: 2", "Frames: 7"),
    "20: 'x31' is not a number": SMALL.replace("11 21 31", "11 21 x31"),
    "20: value 9 is nan": SMALL.replace("11 21 31", "11 21 nan"),
    "19: value 2 is 1e[+]30; accepted: numbers up to 1e[+]06": SMALL.replace("0 90 0", "0 1e30 0"),
    "8: OFFSET 0 -1e30 0: accepted": SMALL.replace("OFFSET 0 50 0", "OFFSET 0 -1e30 0"),
    "19: value 2 is inf": SMALL.replace("0 90 0", "0 1e999 0"),
    "6: byte 0xff is not UTF-8": SMALL.encode().replace(b"Spine", b"Spi\xffne"),
    "19: '.*' is not a number": SMALL.encode().replace(b"0 90 0", b"0 \xff\xfe 0"),
}


@pytest.mark.parametrize("message", sorted(BAD))
def test_bad_files_are_told_by_file_and_line(message: str, tmp_path: Path) -> None:
    path = write(tmp_path, BAD[message])
    with pytest.raises(LabanError, match=f"^{path}:{message}") as caught:
        read_bvh_clip(path)
    assert "\n" not in str(caught.value)


@given(data=st.data())
@settings(max_examples=150, deadline=None)
def test_damaged_files_never_crash(data: st.DataObject, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Cut, repeat and overwrite pieces of a good file: it is read, or refused with one line that names it."""
    raw = bytearray(SMALL.encode())
    pieces = st.sampled_from([b"", b"}", b"{", b"\n", b"\xff", b"-", b"9e9 ", b"JOINT a\n", b"nan"])
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(raw)))
        stop = data.draw(st.integers(start, min(start + 30, len(raw))))
        raw[start:stop] = data.draw(pieces)
    path = write(tmp_path_factory.mktemp("fuzz"), bytes(raw))
    outcome = "read"
    try:
        read_bvh_clip(path)
    except LabanError as error:
        outcome = str(error)
    assert outcome == "read" or outcome.startswith((str(path), "skeleton: "))


def test_big_files_are_parsed_whole(tmp_path: Path) -> None:
    motion = random_motion(frames=4000, joints=22)
    write_motion(motion, tmp_path / "long.bvh")
    again = read_bvh(tmp_path / "long.bvh")
    assert np.abs(again.rotations - motion.rotations).max() < 5e-6


def test_joints_file_order_is_depth_first_and_layouts_are_checked(tmp_path: Path) -> None:
    motion = random_motion(joints=22)
    write_motion(motion, tmp_path / "full.bvh", layout="full")
    names = read_bvh_clip(tmp_path / "full.bvh").names
    assert len([name for name in names if not name.endswith("_end")]) == 55
    with pytest.raises(LabanError, match=r"--layout smplx: accepted for .bvh: body, full"):
        write_motion(motion, tmp_path / "a.bvh", layout="smplx")
