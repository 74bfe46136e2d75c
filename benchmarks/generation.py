"""The figures of text-to-motion in one run: judge's rows on every item set, kinematics, and the paraphrases.

    python benchmarks/generation.py --data runs/data/mocap [--checkpoint research --checkpoint open] [--json FILE]

Each half is also a command: `laban eval generation --data …` and `laban eval paraphrases benchmarks/paraphrases.json`.
Takes minutes on two cores: some 1,000 clips are sampled for each checkpoint.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from laban.cli.eval import SETS, print_paraphrases, print_report, read_pairs, sampler
from models.data.dataset import MotionDataset
from models.motion_text.examples import read_examples
from motion.evaluation import evaluate_generation, evaluate_paraphrases
from motion.judge.judge import load_judge

PARAPHRASES = Path(__file__).with_name("paraphrases.json")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path("runs/data/mocap"))
    parser.add_argument("--checkpoint", action="append", help="repeatable; default: research and open")
    parser.add_argument("--set", action="append", choices=SETS, help="repeatable; default: all three")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--guidance", type=float, default=2.5)
    parser.add_argument("--method", default="ddim")
    parser.add_argument("--candidates", type=int, default=4, help="drawn for each clip; the best fit is kept")
    parser.add_argument("--no-cleanup", dest="cleanup", action="store_false", help="as the network made them")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--samples", type=int, default=4, help="samples of each text for multimodality; 0: none")
    parser.add_argument("--json", type=Path, help="also write everything to this file")
    options = parser.parse_args()
    judge, generate = load_judge(), sampler(
        options.steps, options.guidance, options.method, options.candidates, options.cleanup
    )  # fmt: skip
    checkpoints = options.checkpoint or ["research", "open"]
    examples, _ = read_examples(MotionDataset.open(options.data))
    found = [evaluate_paraphrases(read_pairs(PARAPHRASES), judge, generate, examples, checkpoint=name)
             for name in checkpoints]  # fmt: skip
    for one in found:
        print_paraphrases(one)
    report = evaluate_generation(
        options.data, judge, generate, checkpoints=checkpoints, sets=options.set or SETS,
        seeds=range(options.seeds), samples=options.samples,
    )  # fmt: skip
    print_report(report, by_action=True)
    if options.json:
        settings = {name: getattr(options, name) for name in ("steps", "guidance", "method", "candidates", "cleanup")}
        everything = {**settings, **report.to_json(), "paraphrases": [one.to_json() for one in found]}
        options.json.write_text(json.dumps(everything, indent=1) + "\n")


if __name__ == "__main__":
    main()
