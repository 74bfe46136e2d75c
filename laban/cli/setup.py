"""`laban setup`."""

from __future__ import annotations

from typing import Annotated

import typer

from laban.cli.options import Json, emit
from laban.installer import RESOURCES, Resource, install, missing


def command(
    check: Annotated[bool, typer.Option("--check", help="Only list what is there and what is missing.")] = False,
    json: Json = False,
) -> None:
    """Fetch what cannot be a plain dependency (hash-checked, into the cache) and warm the caches."""
    if not check:
        _warm_up()
        for resource in RESOURCES:
            install(resource)
    states = [_state(resource) for resource in RESOURCES]
    emit(
        {"resources": states}, json, ["{name}: {state} ({purpose}; {license}) in {folder}".format(**s) for s in states]
    )


def _state(resource: Resource) -> dict[str, str]:
    return {
        "name": resource.name,
        "state": "missing" if missing(resource) else "installed",
        "purpose": resource.purpose,
        "license": resource.license,
        "from": f"{resource.package} {resource.version}",
        "folder": str(resource.folder),
    }


def _warm_up() -> None:
    """Compile the drawing kernels, which takes seconds once, so that the first `generate` does not wait for it."""
    import numpy as np

    from models.body.skeleton import NUM_JOINTS
    from models.motion import Motion
    from viz.movie import Look, shots

    standing = np.broadcast_to(np.eye(3, dtype=np.float32), (1, 1, NUM_JOINTS, 3, 3)).copy()
    motion = Motion(standing, np.zeros((1, 1, 3), np.float32), fps=30.0)
    for _ in shots(motion, Look(size=(64, 64))):
        pass
