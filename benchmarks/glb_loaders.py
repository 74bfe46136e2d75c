"""The GLB of two people in other software: joints and vertices there against our own skinning.

python benchmarks/glb_loaders.py --three FOLDER --blender PYTHON

FOLDER is one in which `npm install three` was run (node is needed); PYTHON an interpreter with bpy installed.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import tempfile
from pathlib import Path

import numpy as np
import torch

from models.body.model import load_body
from models.body.skeleton import JOINT_NAMES
from models.body.skinning import skin
from models.formats import write_motion
from models.motion import Motion
from models.rotations import axis_angle_to_matrix

LOADERS = Path(__file__).parent / "loaders"
FRAMES = (0, 40, 119)
FPS = 30.0


def duet() -> Motion:
    """Two people of different shape who walk, turn, gesture and close their left hands."""
    t = np.arange(120) / FPS
    vectors = np.zeros((2, 120, 55, 3))
    vectors[:, :, 0, 1] = 0.6 * np.sin(t)
    vectors[:, :, 16, 2], vectors[:, :, 17, 2] = -0.9 + 0.3 * np.sin(3 * t), 0.9 * np.cos(2 * t)
    vectors[:, :, 18, 1], vectors[:, :, 19, 1] = -0.5, 0.8 + 0.6 * np.sin(4 * t)
    vectors[:, :, 1, 0], vectors[:, :, 2, 0] = -0.5 * np.sin(3 * t), 0.5 * np.sin(3 * t)
    vectors[:, :, 4, 0], vectors[:, :, 5, 0] = 0.5 + 0.5 * np.sin(3 * t), 0.5 - 0.5 * np.sin(3 * t)
    vectors[:, :, 25:37, 2] = -0.5 - 0.5 * np.sin(t)[:, None]
    root = np.stack([np.zeros_like(t), 1.0 + 0.03 * np.sin(6 * t), 0.5 * t], axis=-1).astype(np.float32)
    betas = np.zeros((2, 10), np.float32)
    betas[1, :2] = 2.0, -1.5
    rotations = axis_angle_to_matrix(torch.from_numpy(vectors)).numpy().astype(np.float32)
    return Motion(rotations, np.stack([root, root + (1, 0, 0)]).astype(np.float32), FPS, betas, mask=np.ones(55, bool))


def compare(name: str, frames: list[list[dict]], motion: Motion) -> None:
    """Print the largest joint error and the mean and largest vertex error, millimetres."""
    joint, vertex = [], []
    for k, frame in enumerate(FRAMES):
        parts = (motion.rotations[:, frame], motion.root[:, frame], motion.betas)
        ours = skin(load_body(), *(torch.from_numpy(part) for part in parts))
        for actor, found in enumerate(frames[k]):
            theirs = {key.rpartition(f"actor{actor}_")[2]: value for key, value in found["joints"].items()}
            joint.append(np.array([theirs[j] for j in JOINT_NAMES]) - ours.joints[actor].numpy())
            vertex.append(np.array(found["vertices"]) - ours.vertices[actor].numpy())
    far = np.linalg.norm(np.stack(vertex), axis=-1) * 1000
    joints = np.linalg.norm(np.stack(joint), axis=-1).max() * 1000
    print(
        f"{name:10} joints {joints:.4f} mm at most; vertices {far.mean():.3f} mm in the mean, {far.max():.1f} at most"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--three", type=Path, help="folder with node_modules/three")
    parser.add_argument("--blender", type=Path, help="a Python interpreter with bpy")
    options = parser.parse_args()
    motion = duet()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "duet.glb"
        write_motion(motion, path)
        print(f"{path.stat().st_size / 1000:.0f} kB")
        if options.three:
            times = json.dumps([frame / FPS for frame in FRAMES])
            command = ["node", "--input-type=module", "-", str(path), times]
            script = (LOADERS / "three_skins.mjs").read_bytes()  # by standard input, so that it finds three in cwd
            compare("three.js", json.loads(subprocess.check_output(command, cwd=options.three, input=script)), motion)
        if options.blender:
            command = [str(options.blender), str(LOADERS / "blender_skins.py"), str(path), json.dumps(FRAMES)]
            output = subprocess.check_output(command, text=True)
            compare("Blender", json.loads(output.strip().splitlines()[-1]), motion)


if __name__ == "__main__":
    main()
