"""Named surface points of an SMPL-X-format body: nose, eyes, ears, toes, heels, finger tips and face landmarks."""

from __future__ import annotations

LANDMARK_VERTICES: dict[str, int] = {
    "nose": 9120, "right_eye": 9929, "left_eye": 9448, "right_ear": 616, "left_ear": 6,
    "left_big_toe": 5770, "left_small_toe": 5780, "left_heel": 8846,
    "right_big_toe": 8463, "right_small_toe": 8474, "right_heel": 8635,
    "left_thumb": 5361, "left_index": 4933, "left_middle": 5058, "left_ring": 5169, "left_pinky": 5286,
    "right_thumb": 8079, "right_index": 7669, "right_middle": 7794, "right_ring": 7905, "right_pinky": 8022,
}  # fmt: skip
"""Vertex of each of the 21 extra points, numbered and ordered as SMPL-X tools append them to the joints."""

FACE_LANDMARKS = 51
"""Static face landmarks: the 68 of iBUG 300-W without the 17 of the jaw line, in their order."""
JAW_LANDMARKS = 17
