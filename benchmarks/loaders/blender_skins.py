"""Imports a GLB into Blender and prints, as JSON, joints and vertices of every skin at the given frames (30 fps).

python blender_skins.py FILE.glb '[0, 15]'         (with a Python that has bpy: pip install bpy)
"""

from __future__ import annotations

import json
import sys
from typing import Any

import bpy


def y_up(point: Any) -> list[float]:
    """Blender's Z-up coordinates as glTF's."""
    return [point.x, point.z, -point.y]


def skins(scene: Any) -> list[dict[str, Any]]:
    graph = bpy.context.evaluated_depsgraph_get()
    found = []
    for mesh in (o for o in scene.objects if o.type == "MESH" and o.find_armature()):
        armature, posed = mesh.find_armature(), mesh.evaluated_get(graph).to_mesh()
        joints = {bone.name: y_up(armature.matrix_world @ bone.head) for bone in armature.pose.bones}
        found.append({"joints": joints, "vertices": [y_up(mesh.matrix_world @ v.co) for v in posed.vertices]})
    return found


def main() -> None:
    bpy.ops.wm.read_factory_settings(use_empty=True)
    scene = bpy.context.scene
    scene.render.fps = 30
    bpy.ops.import_scene.gltf(filepath=sys.argv[1])
    frames = []
    for frame in json.loads(sys.argv[2]):
        scene.frame_set(frame)
        frames.append(skins(scene))
    print("\n" + json.dumps(frames))


if __name__ == "__main__":
    main()
