"""Skinning speed beside `smplx`'s own forward pass, on a body with dense pose correctives.

    python benchmarks/skinning.py [--batch 64] [--repeats 15] [--threads N] [--device cpu]

Both get the same rotation matrices (`pose2rot=False`), shapes and expressions; every joint of every body is turned.
Prints the medians, their ratio and the largest difference between the two results.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np
import torch

from models.body.model import OPEN_BODY, load_body
from models.body.skinning import skin
from models.rotations import axis_angle_to_matrix


def corrected_body(folder: Path) -> Path:
    """The open body with random pose correctives of a millimetre, as an SMPL-X file."""
    with np.load(OPEN_BODY, allow_pickle=False) as file:
        arrays = dict(file)
    rng = np.random.default_rng(0)
    arrays["posedirs"] = rng.normal(0, 1e-3, arrays["posedirs"].shape).astype(np.float32)
    path = folder / "smplx_corrected.npz"
    np.savez(path, **arrays)
    return path


def seconds(run: Callable[[], object], device: str) -> float:
    start = time.perf_counter()
    run()
    if device.startswith("cuda"):
        torch.cuda.synchronize()
    return time.perf_counter() - start


def reference(path: Path, batch: int, device: str):
    import smplx

    with contextlib.redirect_stdout(io.StringIO()):
        model = smplx.SMPLXLayer(str(path), use_pca=False, flat_hand_mean=True, num_betas=10, num_expression_coeffs=10)
    return model.to(device)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    batch, device = options.batch, options.device
    torch.manual_seed(0)
    rotations = axis_angle_to_matrix(0.3 * torch.randn(batch, 55, 3)).to(device)
    betas, expression, root = (torch.randn(batch, k).to(device) for k in (10, 10, 3))
    with tempfile.TemporaryDirectory() as folder, torch.no_grad():
        path = corrected_body(Path(folder))
        body, model = load_body(path).to(device), reference(path, batch, device)
        named = {
            "global_orient": rotations[:, :1], "body_pose": rotations[:, 1:22], "jaw_pose": rotations[:, 22:23],
            "leye_pose": rotations[:, 23:24], "reye_pose": rotations[:, 24:25],
            "left_hand_pose": rotations[:, 25:40], "right_hand_pose": rotations[:, 40:],
            "betas": betas, "expression": expression, "transl": root,
        }  # fmt: skip
        runs = {
            "laban": lambda: skin(body, rotations, root, betas, expression=expression).vertices,
            "smplx": lambda: model(pose2rot=False, **named).vertices,
        }
        difference = (runs["laban"]() - runs["smplx"]()).abs().max().item()
        times: dict[str, list[float]] = {name: [] for name in runs}
        for _ in range(options.repeats):
            for name, run in runs.items():
                times[name].append(seconds(run, device))
    ours, theirs = median(times["laban"]), median(times["smplx"])
    best = min(times["laban"]) / min(times["smplx"])
    print(
        f"batch {batch}, {len(body.v_template)} vertices, fp32, pose correctives, {device}, {options.threads} threads"
    )
    print(f"laban {1e3 * ours:.1f} ms   smplx {1e3 * theirs:.1f} ms   ratio {ours / theirs:.2f} (bar 0.80)")
    print(f"largest difference {difference:.1e} m (bar 1e-5)")
    print(f"medians of {options.repeats}; ratio of the fastest runs {best:.2f}")


if __name__ == "__main__":
    main()
