"""The text student beside its teacher: paraphrase pairs, contrasts, known actions, speed, size.

`python benchmarks/text_student.py [--encoder embedded --encoder minilm] [--json FILE]`. All sentences here were written
before the student was trained and were never trained on. Contrast: an anchor must be nearer to another wording of the
same thing than to the same wording with the opposite direction, side, count or speed. (The teacher fails most.)
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

import torch
from paraphrases import FILE, load_paraphrases

from laban.errors import LabanError
from models.text.encoder import CachedEncoder, load_text_encoder
from models.text.known import known_actions
from models.text.phrases import PHRASES

HERE = Path(__file__).parent
"""(kind, anchor, another wording of it, the contrast)."""
CONTRASTS = (
    ("direction", "a soldier marches forward", "the trooper is marching ahead", "a soldier marches backward"),
    ("direction", "someone strides backwards", "a person is striding in reverse", "someone strides forwards"),
    ("direction", "a child shuffles forward", "the kid moves ahead, shuffling", "a child shuffles backward"),
    ("direction", "he staggers backward", "the man stumbles backwards", "he staggers forward"),
    ("direction", "a goalkeeper dives sideways", "the goalie plunges to the side", "a goalkeeper dives forward"),
    ("direction", "she skates ahead", "a woman is skating forwards", "she skates backwards"),
    (
        "direction",
        "a tennis player lunges forward",
        "the player thrusts himself ahead",
        "a tennis player lunges backward",
    ),
    ("direction", "the hiker treads backward", "a hiker goes in reverse", "the hiker treads forward"),
    ("side", "a waiter extends his left palm", "the server holds out his left hand", "a waiter extends his right palm"),
    ("side", "she scratches her right ear", "a lady is scratching the ear on the right", "she scratches her left ear"),
    ("side", "the cyclist veers to the left", "a biker is swerving left", "the cyclist veers to the right"),
    ("side", "he points to the right", "the man indicates something on the right", "he points to the left"),
    (
        "side",
        "a fencer lunges with the right foot",
        "the fencer steps out on the right leg",
        "a fencer lunges with the left foot",
    ),
    ("side", "someone peeks to the left", "a person glances left", "someone peeks to the right"),
    (
        "side",
        "the player catches with the left hand",
        "a player grabs it left-handed",
        "the player catches with the right hand",
    ),
    (
        "side",
        "a man salutes with the right hand",
        "the man is saluting, using the right arm",
        "a man salutes with the left hand",
    ),
    ("count", "the drummer taps twice", "a drummer is tapping two times", "the drummer taps three times"),
    ("count", "a girl blinks three times", "the girl is blinking thrice", "a girl blinks twice"),
    ("count", "he rings the bell once", "a man rings the bell one time", "he rings the bell twice"),
    ("count", "she bounces four times", "a woman bounces 4 times", "she bounces two times"),
    ("count", "a man takes two strides", "the man goes 2 strides", "a man takes four strides"),
    ("count", "the athlete does three squats", "an athlete squats 3 times", "the athlete does five squats"),
    ("count", "a boy salutes one time", "the boy salutes once", "a boy salutes three times"),
    ("count", "they stomp twice", "they are stomping 2 times", "they stomp four times"),
    ("speed", "an old man chews slowly", "the old man is chewing at a slow pace", "an old man chews quickly"),
    ("speed", "she types rapidly", "a woman is typing very fast", "she types slowly"),
    (
        "speed",
        "a painter strokes the wall slowly",
        "the painter gradually strokes a wall",
        "a painter strokes the wall fast",
    ),
    ("speed", "the child climbs quickly", "a kid is climbing rapidly", "the child climbs slowly"),
    ("speed", "he rows fast", "a man is rowing swiftly", "he rows slowly"),
    (
        "speed",
        "a nurse pours the water slowly",
        "the nurse is pouring water unhurriedly",
        "a nurse pours the water quickly",
    ),
    ("speed", "someone paddles at full speed", "a person paddles very fast", "someone paddles at a slow pace"),
    ("speed", "the dancer rotates slowly", "a dancer is turning slowly", "the dancer rotates quickly"),
)


def pair_ranks(encoder: CachedEncoder) -> tuple[int, int, int]:
    """(first, among the first three, pairs): where each second half of a pair ranks for its first half, of all 30."""
    content = json.loads((HERE / "text_pairs.json").read_text(encoding="utf-8"))
    texts = [text for pair in content["pairs"] for text in pair] + content["singles"]
    vectors = encoder.encode(texts).sentence
    similar = vectors @ vectors.T
    similar.fill_diagonal_(-2)
    pairs = len(content["pairs"])
    ranks = [int((similar[2 * i] > similar[2 * i, 2 * i + 1]).sum()) for i in range(pairs)]
    return sum(rank == 0 for rank in ranks), sum(rank < 3 for rank in ranks), pairs


def contrast_accuracy(encoder: CachedEncoder) -> dict[str, str]:
    """Right answers of each kind of contrast, as "7/8"."""
    found: dict[str, list[bool]] = {}
    for kind, *texts in CONTRASTS:
        anchor, same, other = encoder.encode(texts).sentence
        found.setdefault(kind, []).append(bool(anchor @ same > anchor @ other))
    found["all"] = [right for rights in list(found.values()) for right in rights]
    return {kind: f"{sum(rights)}/{len(rights)}" for kind, rights in found.items()}


def paraphrase_ranks(encoder: CachedEncoder, file: Path = FILE) -> tuple[int, int, int]:
    """(first, among the first three, all): the known action of each paraphrase among all known actions."""
    known = known_actions(PHRASES, encoder)
    items = load_paraphrases(file)
    leans = [[action for action, _ in known.lean_on(item["text"])] for item in items]
    first = sum(item["action"] == lean[0] for item, lean in zip(items, leans, strict=True))
    return first, sum(item["action"] in lean for item, lean in zip(items, leans, strict=True)), len(items)


def milliseconds(name: str) -> tuple[float, float]:
    """Processor time of a sentence alone, and in batches of 64, on one thread (nothing cached)."""
    texts = [f"a person walks forward and waves {number} times" for number in range(200)]
    encoder = load_text_encoder(name)
    encoder.encode(["warm up"])
    begun = time.process_time()
    for text in texts[:72]:
        encoder.encode([text])
    alone = (time.process_time() - begun) / 72
    begun = time.process_time()
    encoder.encode(texts[72:])
    return 1000 * alone, 1000 * (time.process_time() - begun) / 128


def report(name: str) -> dict[str, object]:
    """All figures of one encoder."""
    encoder = load_text_encoder(name)
    first, third, pairs = pair_ranks(encoder)
    known, known3, items = paraphrase_ranks(encoder)
    developed, developed3, written = paraphrase_ranks(encoder, FILE.with_name("paraphrases_dev.json"))
    alone, batch = milliseconds(name)
    return {
        "encoder": name,
        "pairs top-1": f"{first}/{pairs}",
        "pairs top-3": f"{third}/{pairs}",
        **{f"contrast {kind}": value for kind, value in contrast_accuracy(encoder).items()},
        "paraphrase -> action top-1": f"{known}/{items}",
        "paraphrase -> action top-3": f"{known3}/{items}",
        "the same, development list, top-1": f"{developed}/{written}",
        "the same, development list, top-3": f"{developed3}/{written}",
        "ms alone": round(alone, 2),
        "ms in a batch": round(batch, 2),
        "MB": round(_size(name) / 1e6, 2),
    }


def _size(name: str) -> int:
    from laban.weights import find_weights
    from models.text.minilm import teacher_folder

    folder = teacher_folder() if name == "minilm" else find_weights("text_student" if name == "embedded" else name)
    return sum(path.stat().st_size for path in folder.iterdir() if path.suffix in (".safetensors", ".json", ".txt"))


def main() -> int:
    """Print the encoders' figures side by side."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--encoder", action="append", help="may be repeated; default: embedded and minilm")
    parser.add_argument("--json", type=Path, help="also write the figures here")
    options = parser.parse_args()
    rows = []
    for name in options.encoder or ["embedded", "minilm"]:
        try:
            rows.append(report(name))
        except LabanError as error:
            print(f"left out: {error}")
    for key in rows[0] if rows else ():
        print(f"{key:36s}" + "".join(f"{row[key]!s:>28s}" for row in rows))
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    return 0 if rows else 1


if __name__ == "__main__":
    torch.set_num_threads(1)
    sys.exit(main())
