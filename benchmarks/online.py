"""How long a row takes each online detector, features given, beside the bars: 10 ms (p99) and 1,000 steps a second.

    python benchmarks/online.py [--rows 3000] [--threads 2]

Random weights in the sizes that are measured in the table of regimes (time does not depend on the values, but for what
is emitted), and the embedded checkpoint. Rows are pushed one at a time into one lane; its own clock is read. The
scheduler's share is printed too: processor time a row is what a quiet machine would take on one core.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
import torch

from action_localization.online.hat import HAT, OAT, HATConfig
from action_localization.online.lane import Lane, OnlineSystem
from action_localization.online.listening import behind_horizon, load_online
from action_localization.online.matr import MATR, MATRConfig
from action_localization.online.switch import ActionSwitch, ActionSwitchConfig
from action_localization.pose.classes import names
from action_localization.pose.features import WIDTH, entry_grid
from laban.errors import LabanError

BAR, STEPS = 0.010, 1000.0


def systems() -> dict[str, OnlineSystem]:
    """Each detector by name."""
    classes = names()
    found: dict[str, OnlineSystem] = {}
    try:
        found["MATR, embedded checkpoint"] = load_online()[0]
    except LabanError as error:
        print(f"left out: {error}")
    found["MATR"] = MATR(MATRConfig(), WIDTH, classes).eval()
    found["HAT"] = HAT(HATConfig(), WIDTH, classes).eval()
    found["OAT"] = HAT(OAT, WIDTH, classes).eval()
    found["ActionSwitch"] = ActionSwitch(ActionSwitchConfig(), WIDTH, classes).eval()
    found["offline detector behind 2 s"] = behind_horizon("detect", 2.0)[0]
    return found


def main() -> None:
    """Print a row for each detector."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=3000)
    parser.add_argument("--threads", type=int, default=2)
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    rows = np.random.default_rng(0).normal(size=(asked.rows, WIDTH)).astype(np.float32)
    print(f"{asked.rows} rows, {asked.threads} threads; bars: p99 {1e3 * BAR:g} ms, ActionSwitch {STEPS:g} steps/s")
    for name, network in systems().items():
        lane = Lane(network, entry_grid(0))
        lane.push(rows[:50])
        lane.latency.latest.clear()
        begun, used = time.perf_counter(), time.process_time()
        for row in range(50, asked.rows):
            lane.push(rows[row : row + 1])
        passed, used = time.perf_counter() - begun, time.process_time() - used
        count = asked.rows - 50
        p50, p99 = (1e3 * lane.latency.percentile(q) for q in (50, 99))
        print(f"{name:30} p50 {p50:6.2f} ms   p99 {p99:6.2f} ms   {count / passed:8.0f} steps/s   "
              f"{1e3 * used / count:6.2f} ms of processor a row   {len(lane.emitted)} emitted", flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
