"""The JSON messages of the frames server: what it sends, and what it takes."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from numpy import ndarray

from laban.errors import LabanError
from models.body.kinematics import forward_kinematics
from models.body.skeleton import JOINT_NAMES, NUM_BODY, PARENTS
from models.rotations import matrix_to_quaternion
from motion.primitives.frames import FPS, Frame
from motion.streaming.session import Heard

VERSION = 1
"""Of the format; it counts up when a client would have to change."""
DIGITS = 5
"""Decimals of numbers: 0.01 mm, 0.001 degrees."""
ACCEPTED = '{"say": "words"}'


def hello(rest: Float[torch.Tensor, "22 3"], *, positions: bool) -> str:
    """The first message: what the numbers of the frames are. `rest` are the rest joints, in metres."""
    return _text(
        {
            "type": "hello", "format": "laban-stream", "version": VERSION, "fps": FPS, "up": "y", "unit": "m",
            "joints": JOINT_NAMES[:NUM_BODY], "parents": PARENTS[:NUM_BODY], "rest_joints": _rounded(rest.numpy()),
            "quaternions": "w x y z, local", "root": "pelvis = root + rest_joints[0]", "positions": positions,
            "accepts": ACCEPTED,
        }
    )  # fmt: skip


def frame_message(frame: Frame, rest: Float[torch.Tensor, "22 3"], *, positions: bool) -> str:
    """One frame, with joint positions in the world where they are wanted."""
    rotations = torch.from_numpy(np.asarray(frame.rotations, np.float32))
    message = {
        "type": "frame", "index": frame.index, "seconds": round(frame.seconds, DIGITS), "text": frame.text,
        "quaternions": _rounded(matrix_to_quaternion(rotations).numpy()), "root": _rounded(frame.root),
    }  # fmt: skip
    if positions:
        root = torch.from_numpy(np.asarray(frame.root, np.float32))
        message["positions"] = _rounded(forward_kinematics(rotations, rest, root)[0].numpy())
    return _text(message)


def said_message(heard: Heard) -> str:
    """What somebody said and how it was understood, for everybody."""
    said = heard.said
    return _text({"type": "said", "by": heard.by, "text": said.text, "leaning": said.leaning, "sure": said.sure,
                  "seconds": said.seconds})  # fmt: skip


def dropped_message(frames: int) -> str:
    """How many frames a slow client has missed since the last one that it was sent."""
    return _text({"type": "dropped", "frames": frames})


def error_message(error: str) -> str:
    """What was wrong with what the client sent."""
    return _text({"type": "error", "error": error})


def end_message(frames: int) -> str:
    """The last message: so many frames there were."""
    return _text({"type": "end", "frames": frames})


def words_of(message: str | bytes) -> str:
    """What a client's message says; LabanError, for the client to read, when it is none."""
    if isinstance(message, bytes):
        raise LabanError(f"found {len(message)} bytes of binary data; accepted: text, {ACCEPTED}")
    try:
        content = json.loads(message)
    except (ValueError, RecursionError) as error:
        reason = str(error) if isinstance(error, ValueError) else "too deeply nested"
        raise LabanError(f"found {message[:40]!r}, which is no JSON ({reason}); accepted: {ACCEPTED}") from None
    if not isinstance(content, dict) or set(content) != {"say"} or not isinstance(content["say"], str):
        raise LabanError(f"found {message[:80]!r}; accepted: {ACCEPTED}")
    return content["say"]


def _rounded(values: Float[ndarray, "..."]) -> list[Any]:
    return (np.round(values.astype(np.float64), DIGITS) + 0.0).tolist()  # + 0.0: no -0.0


def _text(message: dict[str, Any]) -> str:
    return json.dumps(message, separators=(",", ":"), allow_nan=False)
