"""Joint positions in `.npy`: HumanML3D joints (T, 22, 3), its 263 features (T, 263), and InterHuman's two people.

None of them says its rate or whose body it is: HumanML3D is 20 fps, InterHuman 30. Rotations come from retargeting the
22 joints.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from laban.errors import LabanError
from models.formats.arrays import need_numbers, read_npy
from models.formats.interhuman import INTERHUMAN_FPS, WIDTHS, interhuman_people
from models.formats.world import Z_UP_TO_Y_UP
from models.motion import Motion
from models.resample import resample

if TYPE_CHECKING:
    from models.body.model import BodyModel

HUMANML_FPS = 20.0
LAYOUTS = ("joints", "263")
_FAR = 1e4  # metres
_ACCEPTED = "HumanML3D joints (T, 22, 3) or features (T, 263), InterHuman (T, 492), (T, 262) or (T, 2, 262)"


def read_npy_motion(
    path: Path, *, fps: float | None = None, up: str | None = None, body: BodyModel | None = None
) -> Motion:
    """Motion of all people in an `.npy` file, told apart by its shape; `fps` and `up` overrule the convention."""
    values = read_npy(path)
    people, rate = _people(path, values)
    if up == "z":
        people = [joints @ Z_UP_TO_Y_UP.T for joints in people]
    from models.body.retarget import retarget_joints
    from models.formats import together

    motions = [retarget_joints(joints.astype(np.float32), fps or rate, body=body) for joints in people]
    return motions[0] if len(motions) == 1 else together(motions, str(path))


def write_humanml(motion: Motion, path: Path, *, layout: str | None = None, body: BodyModel | None = None) -> None:
    """One person at 20 fps as HumanML3D joints (T, 22, 3), or with layout "263" as features (T - 1, 263).

    Features are of the joints on the reference bones and in the canonical place, as in the published set.
    """
    from laban.files import atomic_path
    from models.body.pose import motion_joints
    from models.representation.humanml263 import encode, with_reference_bones

    if motion.actors != 1:
        raise LabanError(f"{path}: an .npy file of joints holds one person; found {motion.actors}")
    if layout not in (None, *LAYOUTS):
        raise LabanError(f"--layout {layout}: accepted for .npy: {', '.join(LAYOUTS)}")
    joints = motion_joints(resample(motion, HUMANML_FPS), body)[0]
    content = joints if layout != "263" else encode(with_reference_bones(joints))
    stream = io.BytesIO()
    np.save(stream, content.astype(np.float32), allow_pickle=False)
    with atomic_path(path) as temporary:
        temporary.write_bytes(stream.getvalue())


def _people(path: Path, values: ndarray) -> tuple[list[Float[ndarray, "frames 22 3"]], float]:
    from models.representation.humanml263 import WIDTH, decode

    shape = values.shape
    if values.ndim < 2 or not shape[0]:
        raise LabanError(f"{path}: has shape {shape}; accepted: {_ACCEPTED}")
    if shape[1:] not in ((22, 3), (WIDTH,), (2, 262), *((width,) for width in WIDTHS)):
        raise LabanError(f"{path}: has shape {shape}; accepted: {_ACCEPTED}")
    numbers = need_numbers(values, str(path), limit=_FAR)
    if shape[1:] == (22, 3):
        return [numbers], HUMANML_FPS
    if shape[1:] == (WIDTH,):
        return [decode(numbers)], HUMANML_FPS
    return interhuman_people(path, numbers), INTERHUMAN_FPS
