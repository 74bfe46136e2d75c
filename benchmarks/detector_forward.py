"""The ActionFormer preset beside a plain implementation of the same network, with the same weights in the same run.

    python benchmarks/detector_forward.py [--frames 2304] [--features 2048] [--classes 20] [--threads 2] [--repeats 7]

The plain one is written as the paper draws it: (batch, channels, time), `conv1d`, and `scaled_dot_product_attention`
over all entries under a band mask. Runs alternate, and medians are compared; `--cpu-time` counts processor seconds, for
a machine that has other work (use one thread). Decoding and suppression are timed on scores
spread as a trained detector's are, beside suppression written as a loop. What bf16 does to mAP is measured on trained
detectors and real features by `benchmarks/gym_streams.py`.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from action_localization.spine.bench import alternate, trained_scores
from action_localization.spine.decode import best_of_levels, level_candidates
from action_localization.spine.detect import in_bf16
from action_localization.spine.network import Detector
from action_localization.spine.nms import Candidates, SoftNMS, suppress
from action_localization.spine.systems import ActionFormer


def plain_forward(weights: dict[str, Tensor], x: Tensor, host: ActionFormer) -> tuple[Tensor, Tensor]:
    """(logits, offsets) of features (1, time, features), from the network's own weights by name."""

    def norm(x: Tensor, name: str) -> Tensor:
        scale, shift = weights[f"{name}.weight"], weights[f"{name}.bias"]
        return F.layer_norm(x.transpose(1, 2), scale.shape, scale, shift).transpose(1, 2)

    def linear(x: Tensor, name: str) -> Tensor:
        return F.conv1d(x, weights[f"{name}.weight"][..., None], weights[f"{name}.bias"])

    def attention(x: Tensor, name: str, stride: int) -> Tensor:
        streams = []
        for part in ("query", "key", "value"):
            y = F.conv1d(x, weights[f"{name}.{part}_conv.weight"], stride=stride, padding=1, groups=x.shape[1])
            y = linear(norm(y, f"{name}.{part}_norm"), f"{name}.{part}")
            streams.append(y.unflatten(1, (host.encoder.heads, -1)).transpose(2, 3))
        at = torch.arange(streams[0].shape[2])
        band = (at[:, None] - at).abs() <= host.encoder.window // 2
        y = F.scaled_dot_product_attention(*streams, attn_mask=band)
        return linear(y.transpose(2, 3).flatten(1, 2), f"{name}.out")

    def block(x: Tensor, name: str, stride: int) -> Tensor:
        inner = attention(norm(x, f"{name}.attention_norm"), f"{name}.attention", stride)
        x = x if stride == 1 else F.max_pool1d(x, 3, 2, 1)
        x = x + inner * weights[f"{name}.attention_scale.scale"][:, None]
        inner = F.gelu(linear(norm(x, f"{name}.mlp_norm"), f"{name}.mlp.0"))
        return x + linear(inner, f"{name}.mlp.2") * weights[f"{name}.mlp_scale.scale"][:, None]

    def head(x: Tensor, name: str) -> Tensor:
        for n in range(host.head.layers):
            x = F.conv1d(x, weights[f"{name}.trunk.convs.{n}.weight"], padding=1)
            x = F.relu(norm(x, f"{name}.trunk.norms.{n}"))
        return F.conv1d(x, weights[f"{name}.out.weight"], weights[f"{name}.out.bias"], padding=1)

    x = x.transpose(1, 2)
    for n in range(host.encoder.embed):
        x = F.conv1d(x, weights[f"encoder.embed_convs.{n}.weight"], padding=1)
        x = F.relu(norm(x, f"encoder.embed_norms.{n}"))
    for n in range(host.encoder.stem):
        x = block(x, f"encoder.stem.{n}", 1)
    levels = [x]
    for n in range(host.encoder.levels - 1):
        levels.append(block(levels[-1], f"encoder.branch.{n}", 2))
    levels = [norm(x, f"encoder.norms.{n}") for n, x in enumerate(levels)]
    scales = weights["boundary_head.scales"]
    logits = [head(x, "class_head").transpose(1, 2) for x in levels]
    offsets = [F.relu(s * head(x, "boundary_head.head")).transpose(1, 2) for s, x in zip(scales, levels, strict=True)]
    return torch.cat(logits, 1), torch.cat(offsets, 1)


def loop_nms(candidates: Candidates, config: SoftNMS) -> list[tuple[float, float, float, int]]:
    """Gaussian soft-NMS per class as it is usually written: take the best, lower the rest one by one."""
    result = []
    for label in np.unique(candidates.label):
        mine = candidates.take(candidates.label == label)
        rest = [list(row) for row in zip(mine.start, mine.end, mine.score, strict=True)]
        while rest:
            best = max(rest, key=lambda row: row[2])
            if best[2] < config.min_score:
                break
            rest.remove(best)
            result.append((*best, int(label)))
            for row in rest:
                both = min(best[1], row[1]) - max(best[0], row[0])
                if both > 0:
                    iou = both / ((best[1] - best[0]) + (row[1] - row[0]) - both)
                    row[2] *= math.exp(-iou * iou / config.sigma)
    return sorted(result, key=lambda row: -row[2])[: config.keep]


def build(options: argparse.Namespace) -> tuple[Detector, Tensor]:
    """A network whose every path carries weight: fresh residual scales of 1e-4 would hide the blocks."""
    torch.manual_seed(0)
    network = Detector(ActionFormer(), options.features, [f"class {n}" for n in range(options.classes)]).eval()
    with torch.no_grad():
        for name, value in network.named_parameters():
            if name.endswith("_scale.scale"):
                value.fill_(0.5)
    return network, torch.randn(1, options.frames, options.features)


def compare(options: argparse.Namespace) -> dict[str, object]:
    network, x = build(options)
    clock = time.process_time if options.cpu_time else time.perf_counter
    host, weights, small = ActionFormer(), dict(network.state_dict()), in_bf16(network)
    half = x.bfloat16()
    with torch.inference_mode():
        out, (logits, offsets) = network(x), plain_forward(weights, x, host)
        gap = max((out.logits - logits).abs().max().item(), (out.offsets[:, :, 0] - offsets).abs().max().item())
        low = small(half)
        seconds = alternate({"plain fp32 (conv1d, masked SDPA)": lambda: plain_forward(weights, x, host),
                             "ours fp32": lambda: network(x), "ours bf16": lambda: small(half)},
                            options.repeats, clock=clock)  # fmt: skip
    size = sum(p.numel() for p in network.parameters())
    print(f"ActionFormer preset, {size / 1e6:.1f} M parameters, {options.frames} x {options.features}, "
          f"{options.threads} threads, median of {options.repeats}{' (processor time)' if options.cpu_time else ''}, "
          f"largest difference {gap:.1e}")  # fmt: skip
    base = median(seconds["plain fp32 (conv1d, masked SDPA)"])
    for name, values in seconds.items():
        print(f"{name:<34} {median(values):7.3f} s   {median(values) / base:5.2f} x   "
              f"({min(values):.3f} to {max(values):.3f})")  # fmt: skip
    drift = (low.logits - out.logits).abs().mean().item()
    print(f"bf16 logits differ by {drift:.1e} on average")
    post = postprocess(options, network, median(seconds["ours fp32"]), clock)
    return {"parameters": size, "difference": gap, "bf16 drift": drift, "seconds": seconds, **post}


def postprocess(
    options: argparse.Namespace, network: Detector, forward: float, clock: Callable[[], float]
) -> dict[str, object]:
    host, points = ActionFormer(), network.points(options.frames)
    logits, offsets = trained_scores(options.frames, network)
    config = host.decoding

    def decode() -> Candidates:
        return best_of_levels([level_candidates(logits, offsets, points, config)], config)

    candidates = decode()
    kept, plain = suppress(candidates, config.nms), loop_nms(candidates, config.nms)
    assert np.allclose(kept.score, [row[2] for row in plain])
    everything = SoftNMS(keep=len(candidates))
    runs = {"decode": decode, "soft-NMS": lambda: suppress(candidates, config.nms),
            "soft-NMS, all kept": lambda: suppress(candidates, everything)}  # fmt: skip
    seconds = alternate(runs, options.repeats, clock=clock)
    start = clock()
    loop_nms(candidates, config.nms)
    seconds["reference loop"] = [clock() - start]
    print(f"{len(candidates)} candidates, {len(kept)} kept, equal to the reference loop")
    for name, values in seconds.items():
        print(
            f"{name:<34} {1000 * median(values):7.1f} ms  {100 * median(values) / forward:5.1f} % of the forward pass"
        )
    share = (median(seconds["decode"]) + median(seconds["soft-NMS"])) / forward
    print(f"decode and soft-NMS together: {100 * share:.1f} % of the forward pass (fp32)")
    return {"candidates": len(candidates), "post": seconds, "post share": share}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, default=2304)
    parser.add_argument("--features", type=int, default=2048)
    parser.add_argument("--classes", type=int, default=20)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--cpu-time", action="store_true")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    results = compare(options)
    if options.json:
        options.json.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
