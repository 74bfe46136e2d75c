"""What `--constraints`, `--from` and `--to` ask of `laban generate`, and what is said of how they were met."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from models.motion import Motion
    from motion.constraints import Constraints

METRES, DEGREES = 0.01, 2.0
"""Within which a constraint counts as met."""


def asked(path: Path | None, start: str | None, end: str | None, seconds: float) -> Constraints | None:
    """The constraints of a file, of the pose to start from and of the pose to end in; None where nothing is asked."""
    if path is None and start is None and end is None:
        return None
    from motion.constraint_files import pose_of_file, read_constraints
    from motion.constraints import Constraints

    total = Constraints() if path is None else read_constraints(path)
    if start is not None:
        total = total + Constraints(poses=(pose_of_file(start, "--from", None, 0.0),))
    if end is not None:
        alone = not len(total)
        total = total + Constraints(poses=(pose_of_file(end, "--to", 0.0, seconds),), anchored=not alone)
    return total


def met(motion: Motion, constraints: Constraints) -> tuple[dict[str, Any], str]:
    """How near a motion came, for JSON and as a line; a constraint that was missed is named in both."""
    from motion.constraints import misses

    found = misses(motion, constraints)
    worst, turned = max(miss.metres for miss in found), max(miss.degrees for miss in found)
    late = [miss for miss in found if miss.metres > METRES or miss.degrees > DEGREES]
    plain = {"constraints": len(found), "metres": round(worst, 5), "degrees": round(turned, 4),
             "missed": [vars(miss) for miss in late]}  # fmt: skip
    line = f"{len(found)} constraints met within {100 * worst:.2f} cm and {turned:.2f} degrees"
    if late:
        names = ", ".join(f"{m.what} at {m.time:g} s by {100 * m.metres:.1f} cm, {m.degrees:.1f} degrees" for m in late)
        line = f"{len(late)} of {len(found)} constraints missed: {names}"
    return plain, line
