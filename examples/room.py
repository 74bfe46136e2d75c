"""Furnish a room from a number and write it as a mesh with its side-car, for `laban scene` and `laban navigate`.

python examples/room.py 4 out/room.glb
laban navigate out/room.glb --start -1,1 --goal 1,1 --then "sit on armchair" -o out/room.mp4
"""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path

import trimesh

from laban.files import atomic_path
from models.scene.rooms import make_room
from models.scene.scene import Scene


def main() -> None:
    """Write the room of a seed."""
    seed, path = int(sys.argv[1]), Path(sys.argv[2])
    write_room(make_room(seed), path)
    print(path)


def write_room(scene: Scene, path: Path) -> None:
    """The room as one named mesh an object, and beside it what each of them is."""
    parts = [("shell", *scene.shell())] + [(one.name, *scene.mesh_of(one.name)) for one in scene.objects]
    whole = trimesh.Scene({name: trimesh.Trimesh(vertices, faces, process=False) for name, vertices, faces in parts})
    objects = [
        {"id": one.name, "kind": one.kind, "min": one.low, "max": one.high, "yaw_deg": math.degrees(one.yaw),
         "walkable": one.walkable, "affords": one.affords}
        for one in scene.objects
    ]  # fmt: skip
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(path) as temporary:
        whole.export(temporary, file_type=path.suffix[1:])
    with atomic_path(path.with_suffix(".json")) as temporary:
        temporary.write_text(json.dumps({"objects": objects}, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
