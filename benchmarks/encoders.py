"""Judge and motion-text encoder on real clips they never trained on; `--write` puts the figures into their cards.

python benchmarks/encoders.py --data runs/data/mocap [--write]
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from laban.weights import EMBEDDED
from models.data.dataset import MotionDataset
from models.motion_text.encoder import MotionTextEncoder, load_motion_text
from models.motion_text.examples import SEQUENCE, Example, read_examples
from motion import metrics
from motion.evaluation import item_sets, middle
from motion.judge.judge import PARTS, Judge, load_judge


def figures(model: MotionTextEncoder, examples: list[Example]) -> dict[str, str]:
    clips = [middle(e.features.numpy()) for e in examples]
    texts, actions = [e.texts[0] for e in examples], [e.action for e in examples]
    found = metrics.r_precision(model.embed_motion(clips), model.embed_text(texts), texts, actions)
    classed = [i for i, action in enumerate(actions) if action != SEQUENCE]
    wanted = [actions[i] for i in classed]
    micro, macro = metrics.accuracy(model.predict([clips[i] for i in classed]), wanted)
    result = {"n (actions)": f"{len(examples)} ({len(set(actions))})", "accuracy micro": str(micro),
              "accuracy macro": str(macro), "R@1 micro": str(found.micro[1]), "R@3 micro": str(found.micro[3]),
              "R@3 macro": str(found.macro[3])}  # fmt: skip
    if isinstance(model, Judge):
        best = model.classify_parts([clips[i] for i in classed]).argmax(-1)
        rows = np.array([model.actions.index(action) for action in wanted])
        result |= {f"{part}, accuracy": f"{(best[:, k] == rows).mean():.3f}" for k, part in enumerate(PARTS)}
    return result


def table(columns: dict[str, dict[str, str]]) -> str:
    names = list(next(iter(columns.values())))
    lines = ["| figure | " + " | ".join(columns) + " |", "| --- |" + " --- |" * len(columns)]
    lines += [f"| {name} | " + " | ".join(column[name] for column in columns.values()) + " |" for name in names]
    return "\n".join(lines)


def write_card(name: str, text: str) -> None:
    path = EMBEDDED / name / "README.md"
    before, _, rest = path.read_text().partition("## Measured\n")
    after = rest[rest.index("## Weaknesses") :]
    path.write_text(f"{before}## Measured\n\n{text}\n\n{after}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path("runs/data/mocap"))
    parser.add_argument("--model", action="append", choices=("judge", "motion_text"), help="repeatable; default: both")
    parser.add_argument("--write", action="store_true", help="put the tables into the model cards")
    options = parser.parse_args()
    examples, _ = read_examples(MotionDataset.open(options.data))
    held = [e for e in examples if e.record.split != "train"]
    sets = {
        "val": [e for e in held if e.record.split == "val"],
        "test": [e for e in held if e.record.split == "test"],
        "test without depth camera": [e for e in held if e.record.split == "test" and "noisy" not in e.record.flags],
    }
    print({items.name: items.about for items in item_sets(examples)})
    for name in options.model or ("judge", "motion_text"):
        model = load_judge(name) if name == "judge" else load_motion_text(name)
        text = table({title: figures(model, chosen) for title, chosen in sets.items()})
        note = ("Real clips never trained on (`python benchmarks/encoders.py`); R-precision in pools of 32, 95 % "
                "interval over clips; macro is the mean over actions.")  # fmt: skip
        print(f"\n{name}\n{text}")
        if options.write:
            write_card(name, f"{note}\n\n{text}")


if __name__ == "__main__":
    main()
