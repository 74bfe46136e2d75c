"""Two actions at once: is each half seen on its own body parts? And does SINC's synthetic data help?

    python benchmarks/two_actions.py --data runs/data/mocap [--checkpoint research] [--repeats 1] [--json FILE]
    python benchmarks/two_actions.py --data runs/data/mocap --fine-tune 0.3 --steps 300 --output DIR

The first measures on `two_actions.json`, by the part heads of the judge. Rows: real clips composited (what the judge
itself makes of two actions at once) and shuffled (chance); one sentence for both actions, for every checkpoint; and
two prompts composed afterwards (SINC) or in every step (STMC) by the first checkpoint. One candidate everywhere, no
clean-up. With several checkpoints the gain of each over the one before it is paired: same sentences, same noise.
The second fine-tunes a checkpoint with a share of composites among the training items; `--stop` ends all runs of a
comparison at the same step of one schedule.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from dataclasses import asdict
from pathlib import Path

import numpy as np

from laban.files import atomic_path
from laban.timeline import Timeline
from models.data.dataset import MotionDataset
from models.motion import Motion
from models.motion_text.examples import Example, read_examples
from models.representation import joints as joint_features
from models.training import TrainConfig
from motion.compose import Control, generate_timelines
from motion.evaluation_timelines import recognition
from motion.generate import GenerateConfig, generate
from motion.judge.judge import Judge, load_judge
from motion.metrics import Estimate
from motion.timeline_cache import Features, Source, TimelineFunction, performances
from motion.timeline_items import Benchmark, Item, read_benchmark
from motion.timeline_metrics import Values, estimate
from motion.timeline_real import RealClips, draw_cuts, splice
from motion.train import GeneratorTraining, train_generator
from motion.training_data import Mixture

FILE = Path(__file__).with_name("two_actions.json")
SENTENCE = "one sentence"
FIGURES = ("legs top-1", "arm top-1", "arm top-3", "both top-1", "both top-3", "right side")
FINE_TUNING = TrainConfig(steps=300, lr=3e-4, muon_lr=6e-3, warmup=20, log_every=5)

Measured = dict[str, Values]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path("runs/data/mocap"))
    parser.add_argument("--checkpoint", action="append", help="repeatable; default: research")
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--sampling-steps", type=int, default=20)
    parser.add_argument("--limit", type=int, help="every so-many-th pair alone, to try it out")
    parser.add_argument("--cache", type=Path, default=Path("runs/two_actions"))
    parser.add_argument("--json", type=Path)
    parser.add_argument("--fine-tune", type=float, metavar="SHARE", help="train with this share of composites")
    parser.add_argument("--steps", type=int, default=FINE_TUNING.steps, help="of the schedule")
    parser.add_argument("--stop", type=int, help="the step at which the training ends")
    parser.add_argument("--output", type=Path, default=Path("runs/two_actions_tuned"))
    options = parser.parse_args()
    fine_tune(options) if options.fine_tune is not None else measure(options)


def fine_tune(options: argparse.Namespace) -> None:
    """Warm start, one schedule and one seed for every share; the run can be interrupted and goes on."""
    optimisation = TrainConfig(**{**asdict(FINE_TUNING), "steps": options.steps})
    first = (options.checkpoint or ["research"])[0]
    job = GeneratorTraining(options.data, options.output, options.output / "run", init=first, stop=options.stop,
                            optimisation=optimisation, mixture=Mixture(composite=options.fine_tune))  # fmt: skip
    print(train_generator(job))


# ------------------------------------------------------------------------------------------------------- measurement


def measure(options: argparse.Namespace) -> None:
    """All rows, each printed as soon as it is there."""
    benchmark, texts = read_benchmark(FILE), sentences(FILE)
    items = benchmark.items[:: options.limit or 1]
    judge = load_judge()
    examples, _ = read_examples(MotionDataset.open(options.data))
    checkpoints = options.checkpoint or ["research"]
    rows: dict[str, list[Measured]] = {}
    print(f"{benchmark.name}: {len(items)} pairs, {options.repeats} time(s), judge {judge.config['sha256'][:12]}")
    print("".join([f"{'':38s}", *(f"{name:>23s}" for name in FIGURES)]))
    for repeat in range(options.repeats):
        real = real_composites(items, examples, repeat)
        order = np.random.default_rng(repeat).permutation(len(real))
        rows.setdefault("real clips, composited", []).append(seen(items, real, judge))
        rows.setdefault("real clips, shuffled", []).append(seen(items, [real[i] for i in order], judge))
    for name, values in rows.items():
        show(name, values)
    settings = {"steps": options.sampling_steps, "sentences": digest(texts)}
    perform = performer(benchmark, texts, options.sampling_steps)
    named = {f"{SENTENCE}, {c}": Source(SENTENCE, c, settings) for c in checkpoints}
    named |= {f"{m}, {checkpoints[0]}": Source(m, checkpoints[0], settings) for m in ("sinc", "stmc")}
    for name, source in named.items():
        rows[name] = [seen(items, performances(items, source, perform, repeat=r, cache=options.cache), judge)
                      for r in range(options.repeats)]  # fmt: skip
        show(name, rows[name])
    for one, other in zip(checkpoints[1:], checkpoints, strict=False):
        name = f"gain of {Path(one).name} over {Path(other).name}"
        rows[name] = [differences(a, b) for a, b in zip(rows[f"{SENTENCE}, {one}"], rows[f"{SENTENCE}, {other}"],
                                                        strict=True)]  # fmt: skip
        show(name, rows[name])
    if options.json:
        found = {name: {key: asdict(value) for key, value in figures(row).items()} for name, row in rows.items()}
        with atomic_path(options.json) as temporary:
            temporary.write_text(json.dumps({"pairs": len(items), "repeats": options.repeats, "rows": found}, indent=1))


def sentences(path: Path) -> dict[tuple[str, ...], str]:
    """The two texts of a pair -> the sentence that says both."""
    rows = json.loads(path.read_text(encoding="utf-8"))["timelines"]
    return {tuple(interval["text"] for interval in row["intervals"]): row["text"] for row in rows}


def digest(texts: dict[tuple[str, ...], str]) -> str:
    return hashlib.sha256("\n".join(texts.values()).encode()).hexdigest()[:12]


def performer(benchmark: Benchmark, texts: dict[tuple[str, ...], str], steps: int) -> TimelineFunction:
    """One sentence, or two prompts by a method of `generate_timelines`; the noise of pair i is the same for all."""
    seconds = benchmark.items[0].timeline.duration

    def perform(timelines: list[Timeline], method: str, checkpoint: str, seed: int) -> list[Motion]:
        config = GenerateConfig(steps=steps, seed=seed, candidates=1, cleanup=False)
        if method != SENTENCE:
            control = Control(method="sinc" if method == "sinc" else "stmc")
            return generate_timelines(timelines, checkpoint=checkpoint, config=config, control=control)
        said = [texts[tuple(segment.label for segment in timeline.segments)] for timeline in timelines]
        return generate(said, seconds, checkpoint=checkpoint, config=config)

    return perform


def real_composites(items: tuple[Item, ...], examples: list[Example], seed: int) -> list[Features]:
    """Arms of one real clip on the body of another, by SINC's rule in joint positions."""
    clips, rng = RealClips(examples), np.random.default_rng(seed)
    return [joint_features.encode(splice(item, draw_cuts(item, clips, rng))) for item in items]


def seen(items: tuple[Item, ...], motions: list[Features], judge: Judge) -> Measured:
    """Whether the heads of the parts that a half needs see its action, for each half and for both."""
    crops = [rows for item, rows in zip(items, motions, strict=True) for _ in item.intervals]
    found = recognition(items, crops, judge, np.zeros(len(crops), bool))
    track = np.array([interval.track for item in items for interval in item.intervals])
    made = {"legs top-1": found["top-1"].where(track == 0), "arm top-1": found["top-1"].where(track == 1),
            "arm top-3": found["top-3"].where(track == 1), "right side": found["right side"]}  # fmt: skip
    for top in ("top-1", "top-3"):
        halves = [found[top].where(track == k) for k in (0, 1)]
        made[f"both {top}"] = Values(np.minimum(halves[0].value, halves[1].value), halves[0].timeline)
    return made


def differences(ours: Measured, theirs: Measured) -> Measured:
    """Pair by pair."""
    return {key: Values(ours[key].value - theirs[key].value, ours[key].timeline) for key in FIGURES}


def figures(repeats: list[Measured]) -> dict[str, Estimate]:
    """Means over pairs with 95 % bootstrap intervals that resample pairs."""
    return {key: estimate(Values.joined([Values(r[key].value, r[key].timeline) for r in repeats])) for key in FIGURES}


def show(name: str, repeats: list[Measured]) -> None:
    cells: list[Estimate] = list(figures(repeats).values())
    print("".join([f"{name[-38:]:38s}", *(f"{cell!s:>23s}" for cell in cells)]), flush=True)


if __name__ == "__main__":
    main()
