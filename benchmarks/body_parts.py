"""Body parts from text beside trivial rows: exact sets and F1 of each part.

`python benchmarks/body_parts.py [--mtt FILE] [--split dev|held] [--show]`. The texts are `body_parts.json`, which says
how far they are blind; FILE is `mtt_timelines.json`, the 60 prompts of STMC's benchmark with the parts that its authors
gave them: only looked at, never tuned on.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

from laban.timeline import PARTS
from models.text.part_words import clauses, part_phrases
from models.text.parts import EmbeddedLabeller, body_parts, nearest_phrases

FILE = Path(__file__).with_name("body_parts.json")
MTT = Path(__file__).resolve().parents[2] / "shared" / "data" / "mocap" / "annotations" / "mtt_timelines.json"
Parts = tuple[str, ...]
Rows = list[tuple[str, Parts]]


def load_texts(path: Path = FILE) -> dict[str, Rows]:
    """Split -> (text, parts)."""
    content = json.loads(path.read_text(encoding="utf-8"))
    return {name: [(row["text"], ordered(row["parts"])) for row in content[name]] for name in ("dev", "held")}


def load_mtt(path: Path) -> Rows:
    """The distinct prompts of the timelines; a prompt's parts are those given to it most often."""
    votes: dict[str, Counter[Parts]] = {}
    for timeline in json.loads(path.read_text(encoding="utf-8")):
        for row in timeline:
            votes.setdefault(row["text"], Counter())[ordered(row["parts"])] += 1
    return [(text, count.most_common(1)[0][0]) for text, count in sorted(votes.items())]


def ordered(parts: Sequence[str]) -> Parts:
    return tuple(part for part in PARTS if part in parts)


def nearest_alone(texts: Sequence[str]) -> list[Parts]:
    """The parts of the phrase nearest to the whole text, without any rule but that of the right arm."""
    slots = [part_phrases()[phrase] for phrase, _ in nearest_phrases(texts)]
    arms = {"arm": ("right arm",), "arms": ("left arm", "right arm")}
    return [ordered([part for slot in row for part in arms.get(slot, (slot,))]) for row in slots]


def wilson(hits: int, n: int) -> tuple[float, float]:
    """95 % interval of a share."""
    z, p = 1.96, hits / n
    centre, half = p + z * z / (2 * n), z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return max(0.0, (centre - half) / (1 + z * z / n)), (centre + half) / (1 + z * z / n)


def f1(part: str, truth: Sequence[Parts], found: Sequence[Parts]) -> float:
    both = sum(part in a and part in b for a, b in zip(truth, found, strict=True))
    return 2 * both / max(1, sum(part in a for a in truth) + sum(part in b for b in found))


def table(title: str, rows: Rows, common: Parts) -> str:
    texts, truth = [text for text, _ in rows], [parts for _, parts in rows]
    methods: dict[str, Callable[[], list[Parts]]] = {
        "all five, always": lambda: [PARTS] * len(rows),
        "the most frequent set of dev": lambda: [common] * len(rows),
        "nearest phrase, no rules": lambda: nearest_alone(texts),
        "rules, no nearest phrase": lambda: body_parts(texts, EmbeddedLabeller(like=2)),
        "embedded labeller": lambda: body_parts(texts),
    }
    lines = [f"{title} (n = {len(rows)})", f"{'':30}exact   95 %         F1: " + "  ".join(f"{p:>9}" for p in PARTS)]
    for name, method in methods.items():
        found = method()
        hits = sum(a == b for a, b in zip(truth, found, strict=True))
        low, high = wilson(hits, len(rows))
        scores = "  ".join(f"{f1(part, truth, found):9.2f}" for part in PARTS)
        lines.append(f"{name:30}{hits / len(rows):.3f}   {low:.2f}-{high:.2f}        {scores}")
    return "\n".join(lines)


def seconds(count: int) -> float:
    """Processor time of new texts that all need the nearest phrase, encoder and phrases being loaded."""
    texts = [f"performs a guitar solo of {number} bars" for number in range(count)]
    start = time.process_time()
    body_parts(texts)
    return time.process_time() - start


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mtt", type=Path, default=MTT, help="mtt_timelines.json; left out where it is absent")
    parser.add_argument("--split", choices=("dev", "held"), help="this split alone, without the prompts of STMC")
    parser.add_argument("--show", action="store_true", help="list every text of the split whose set is wrong")
    options = parser.parse_args(arguments)
    splits = load_texts()
    common = Counter(parts for _, parts in splits["dev"]).most_common(1)[0][0]
    for name in [options.split] if options.split else ["dev", "held"]:
        print(table(name, splits[name], common), end="\n\n")
        if options.show:
            texts = [text for text, _ in splits[name]]
            for (text, parts), reading in zip(splits[name], EmbeddedLabeller().read(texts), strict=True):
                if parts != reading.parts:
                    print(f"  {text}: {', '.join(parts)} | found {', '.join(reading.parts)} ({reading.because})")
    if not options.split:
        strange = [row for row in splits["held"] if not any(c.phrases or c.moved for c in clauses(row[0]))]
        print(table("held, no phrase of the table in it", strange, common), end="\n\n")
        if options.mtt.is_file():
            print(table("prompts of STMC's benchmark", load_mtt(options.mtt), common), end="\n\n")
        print(f"100 texts without a known phrase: {seconds(100):.2f} s of processor time")
    return 0


if __name__ == "__main__":
    sys.exit(main())
