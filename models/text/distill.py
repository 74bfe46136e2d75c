"""Distil the text student from MiniLM: `python -m models.text.distill --annotations DIR --mocap DIR --words FILE`.

Targets are the teacher's token features, moved along fixed directions of little variance for what a sentence says
about direction, side, turn, count and speed (`models.text.slots`), because the teacher's vectors hardly show those.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional as F

from models.text.corpus import corpus, plain_words
from models.text.known import write_table
from models.text.minilm import load_teacher, mean_pool, minilm_tokens, pad_ids, teacher_folder
from models.text.slots import Slots, parse_slots
from models.text.student import SPECIAL, StudentConfig, TextStudent, WordPiece

WIDTH = 384
AXES = {"both": 0, "turn": 1, "speed": 2, "count": 3, "direction": 5, "sideways": 6, "side": 7}
SHIFT = 0.55
COUNT_SHIFT = 0.7
TEACHER_LAYERS = (0, 2, 5)


@dataclass(frozen=True)
class Targets:
    """Teacher outputs of all sentences end to end: float16 token rows, where each sentence starts, and its ids."""

    tokens: np.ndarray
    starts: np.ndarray
    ids: list[list[int]]
    aligned: np.ndarray


def prune_vocabulary(texts: Sequence[str], size: int, words: Sequence[str] = ()) -> list[str]:
    """Single characters, the teacher's pieces that are English words, those the texts use most, then by lower id."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(teacher_folder() / "tokenizer.json"))
    tokenizer.no_padding()
    pieces = sorted(tokenizer.get_vocab().items(), key=lambda item: item[1])
    counts: dict[int, int] = defaultdict(int)
    for start in range(0, len(texts), 4096):
        for encoding in tokenizer.encode_batch(list(texts[start : start + 4096])):
            for index in encoding.ids:
                counts[index] += 1
    plain = [(piece, index) for piece, index in pieces if piece.isascii() and not piece.startswith("[")]
    single = {piece for piece, _ in plain if len(piece.removeprefix("##")) == 1}
    kept = single | set(words)
    ranked = sorted(plain, key=lambda item: (item[0] not in kept, -min(counts[item[1]], 3), item[1]))
    return [*SPECIAL, *sorted(piece for piece, _ in ranked[: size - len(SPECIAL)])]


def slot_shift(slots: Slots, axes: Float[Tensor, "8 384"]) -> Float[Tensor, " 384"]:
    """The unit-scale move of a sentence's target: opposites are opposite, counts lie on a circle."""
    move = torch.zeros(WIDTH)
    signs = {"forward": 1, "backward": -1, "left": 1, "right": -1, "clockwise": 1, "counterclockwise": -1}
    signs |= {"fast": 1, "slow": -1}
    for kind in ("direction", "side", "turn", "speed"):
        for value in getattr(slots, kind):
            if value in ("sideways", "both"):
                move += SHIFT * axes[AXES[value]]
            elif value in signs:
                move += SHIFT * signs[value] * axes[AXES[kind]]
    if slots.count:
        angle = 2 * math.pi / 5 * (min(slots.count, 5) - 1)
        move += COUNT_SHIFT * (math.cos(angle) * axes[AXES["count"]] + math.sin(angle) * axes[AXES["count"] + 1])
    return move


def quiet_axes(vectors: Float[Tensor, "n 384"]) -> Float[Tensor, "8 384"]:
    """Eight directions in which the teacher's sentence vectors vary little.

    The three least are left out: the last layer's normalisation holds them constant, so that no student of the same
    form can move along them.
    """
    _, directions = torch.linalg.eigh(torch.cov(vectors.T))
    return directions[:, 3:11].T.contiguous()


@torch.no_grad()
def teacher_targets(texts: Sequence[str], pieces: WordPiece, cache: Path, length: int) -> Targets:
    """Run the teacher over all texts (cached as files), longest batches of equal length first."""
    weights, encode = load_teacher()
    rows = encode(texts)
    names = json.loads((teacher_folder() / "tokenizer.json").read_text(encoding="utf-8"))["model"]["vocab"]
    names = {index: piece for piece, index in names.items()}
    ids = [pieces.encode(text, length)[0] for text in texts]
    aligned = [
        [names[i] for i in row] == [pieces.vocabulary[i] for i in own] for row, own in zip(rows, ids, strict=True)
    ]
    starts = np.concatenate([[0], np.cumsum([len(row) for row in rows])])
    if not cache.is_file() or np.load(cache, mmap_mode="r").shape[0] != starts[-1]:
        store = np.lib.format.open_memmap(cache, "w+", np.float16, (int(starts[-1]), WIDTH))
        order = sorted(range(len(rows)), key=lambda index: len(rows[index]))
        for begin in range(0, len(order), 256):
            chosen = order[begin : begin + 256]
            batch, mask = pad_ids([rows[index] for index in chosen])
            with torch.autocast("cpu", torch.bfloat16):
                hidden = minilm_tokens(weights, batch, mask).float().numpy()
            for row, index in zip(hidden, chosen, strict=True):
                store[starts[index] : starts[index + 1]] = row[: len(rows[index])]
        store.flush()
    return Targets(np.load(cache, mmap_mode="r"), starts, ids, np.array(aligned))


@torch.no_grad()
def initial_student(vocabulary: Sequence[str], config: StudentConfig) -> TextStudent:
    """Layers copied from the teacher; the table is the best approximation of its rank (SVD)."""
    weights, _ = load_teacher()
    names = json.loads((teacher_folder() / "tokenizer.json").read_text(encoding="utf-8"))["model"]["vocab"]
    table = weights["embeddings.word_embeddings.weight"][[names[piece] for piece in vocabulary]]
    left, scale, right = torch.linalg.svd(table - table.mean(0), full_matrices=False)
    rank = config.rank
    model = TextStudent(config)
    model.table.weight.copy_(left[:, :rank] * scale[:rank].sqrt())
    model.widen.weight.copy_((right[:rank] * scale[:rank].sqrt()[:, None]).T)
    model.widen.bias.copy_(table.mean(0) + weights["embeddings.token_type_embeddings.weight"][0])
    model.positions.copy_(weights["embeddings.position_embeddings.weight"][: config.length])
    _copy(model.norm, weights, "embeddings.LayerNorm")
    for layer, source in zip(model.layers, TEACHER_LAYERS, strict=True):
        prefix = f"encoder.layer.{source}."
        for part in ("weight", "bias"):
            names_qkv = [f"{prefix}attention.self.{name}.{part}" for name in ("query", "key", "value")]
            getattr(layer.qkv, part).copy_(torch.cat([weights[name] for name in names_qkv]))
        _copy(layer.get_submodule("out"), weights, prefix + "attention.output.dense")
        _copy(layer.get_submodule("norm1"), weights, prefix + "attention.output.LayerNorm")
        _copy(layer.get_submodule("up"), weights, prefix + "intermediate.dense")
        _copy(layer.get_submodule("down"), weights, prefix + "output.dense")
        _copy(layer.get_submodule("norm2"), weights, prefix + "output.LayerNorm")
    return model


def _copy(module: torch.nn.Module, weights: dict[str, Tensor], name: str) -> None:
    module.get_parameter("weight").copy_(weights[name + ".weight"])
    module.get_parameter("bias").copy_(weights[name + ".bias"])


def distillation_loss(
    tokens: Float[Tensor, "batch length 384"],
    target: Float[Tensor, "batch length 384"],
    sentence: Float[Tensor, "batch 384"],
    mask: Bool[Tensor, "batch length"],
    *,
    aligned: Bool[Tensor, " batch"],
) -> Tensor:
    """Relative token error of aligned sentences, cosine distance of sentence vectors, and of their Gram matrices."""
    real = (mask & aligned[:, None]).unsqueeze(-1)
    scale = target.square().mean(-1, keepdim=True).clamp(min=1e-6)
    token_error = ((tokens - target).square() / scale * real).sum() / (real.sum() * WIDTH).clamp(min=1)
    own = mean_pool(tokens, mask)
    cosine = (1 - (own * sentence).sum(-1)).mean()
    gram = (own @ own.T - sentence @ sentence.T).square().mean()
    return token_error + 4 * cosine + 10 * gram


def batches(targets: Targets, size: int, rng: random.Random) -> Iterator[list[int]]:
    """Endless shuffled batches of sentences of nearly equal length."""
    while True:
        order = list(range(len(targets.ids)))
        rng.shuffle(order)
        pool = size * 64
        ready = []
        for begin in range(0, len(order), pool):
            part = sorted(order[begin : begin + pool], key=lambda index: len(targets.ids[index]))
            ready += [part[at : at + size] for at in range(0, len(part), size)]
        rng.shuffle(ready)
        yield from ready


def make_batch(
    targets: Targets, shifts: Float[Tensor, "n 384"], chosen: Sequence[int]
) -> tuple[
    Int[Tensor, "batch length"],
    Bool[Tensor, "batch length"],
    Float[Tensor, "batch length 384"],
    Float[Tensor, "batch 384"],
    Bool[Tensor, " batch"],
]:
    """Ids, mask, moved token targets, moved sentence targets, and which sentences have the teacher's own pieces."""
    ids, mask = pad_ids([targets.ids[index] for index in chosen])
    tokens = torch.zeros(*ids.shape, WIDTH)
    sentences = torch.zeros(len(chosen), WIDTH)
    for place, index in enumerate(chosen):
        rows = torch.from_numpy(targets.tokens[targets.starts[index] : targets.starts[index + 1]].astype(np.float32))
        rows = rows + rows.mean(0).norm() * shifts[index]
        sentences[place] = F.normalize(rows.mean(0), dim=0)
        if targets.aligned[index]:
            tokens[place, : len(rows)] = rows
    return ids, mask, tokens, sentences, torch.from_numpy(targets.aligned[list(chosen)])


def train(model: TextStudent, targets: Targets, shifts: Tensor, options: argparse.Namespace) -> TextStudent:
    """Distil for `options.minutes` of wall time, resuming from and saving to `options.run`."""
    state_file = options.run / "last.pt"
    optimizer = torch.optim.AdamW(model.parameters(), lr=options.rate, betas=(0.9, 0.98), weight_decay=0.01)
    step, spent = 0, 0.0
    if state_file.is_file() and options.resume:
        state = torch.load(state_file, weights_only=True)
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        step, spent = state["step"], state["spent"]
    budget, begun, saved, mean = 60 * options.minutes, time.monotonic() - spent, time.monotonic(), 0.0
    for chosen in batches(targets, options.batch, random.Random(step)):
        spent = time.monotonic() - begun
        if spent > budget:
            break
        for group in optimizer.param_groups:
            group["lr"] = options.rate * min(1, step / 100) * max(0.02, 0.5 + 0.5 * math.cos(math.pi * spent / budget))
        ids, mask, tokens, sentences, aligned = make_batch(targets, shifts, chosen)
        with torch.autocast("cpu", torch.bfloat16):
            hidden = model(ids, mask)
        loss = distillation_loss(hidden.float(), tokens, sentences, mask, aligned=aligned)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        step, mean = step + 1, 0.98 * mean + 0.02 * loss.item() if mean else loss.item()
        if step % 50 == 0:
            print(f"step {step} {spent / 60:.1f} min loss {mean:.4f}", flush=True)
        if time.monotonic() - saved > 120:
            _save(
                state_file,
                {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "step": step, "spent": spent},
            )
            saved = time.monotonic()
    print(f"finished: {step} steps, loss {mean:.4f}", flush=True)
    return model.eval()


def _save(path: Path, state: dict[str, object]) -> None:
    from laban.files import atomic_path

    with atomic_path(path) as temporary:
        torch.save(state, temporary)


def held_out(folder: Path) -> list[str]:
    """Sentences kept for measurement in the benchmarks folder: never trained on."""
    texts: list[str] = []
    for name in ("text_pairs.json", "paraphrases.json"):
        if (folder / name).is_file():
            content = json.loads((folder / name).read_text(encoding="utf-8"))
            texts += [text for pair in content.get("pairs", ()) for text in pair] + list(content.get("singles", ()))
            texts += [item["text"] for item in content.get("paraphrases", ())]
    return texts


def main(arguments: list[str] | None = None) -> None:
    """Build the corpus, run the teacher, train, and write the checkpoint folder."""
    options = parse_options(arguments)
    options.run.mkdir(parents=True, exist_ok=True)
    kept_apart = held_out(options.benchmarks)
    texts = corpus(options.annotations, options.mocap, options.words, options.dictionary, held_out=kept_apart)
    vocabulary = prune_vocabulary(texts, options.vocabulary, plain_words(options.words))
    pieces = WordPiece(vocabulary)
    config = StudentConfig(vocabulary=len(vocabulary), rank=options.rank)
    targets = teacher_targets(texts, pieces, options.run / "teacher.npy", config.length)
    print(f"{len(texts)} sentences, {targets.aligned.mean():.1%} with the teacher's own pieces", flush=True)
    starts = targets.starts
    some = random.Random(0).sample(range(len(texts)), min(20_000, len(texts)))
    means = [targets.tokens[starts[i] : starts[i + 1]].astype(np.float32).mean(0) for i in some]
    axes = quiet_axes(F.normalize(torch.from_numpy(np.stack(means)), dim=-1))
    shifts = torch.stack([slot_shift(parse_slots(text), axes) for text in texts])
    model = train(initial_student(vocabulary, config), targets, shifts, options)
    write_checkpoint(model, vocabulary, options.out)
    write_table(options.out)


def write_checkpoint(model: TextStudent, vocabulary: Sequence[str], folder: Path) -> str:
    """Weights, vocabulary and sizes as a checkpoint folder, keeping a model card that is already there."""
    from laban.weights import save_weights
    from models.text.student import student_config, student_tensors

    card = folder / "README.md"
    text = (
        card.read_text(encoding="utf-8")
        if card.is_file()
        else "# text_student\n\nDistilled by `models.text.distill`.\n"
    )
    return save_weights(folder, student_tensors(model, vocabulary), student_config(model), text)


def parse_options(arguments: list[str] | None) -> argparse.Namespace:
    """Command-line options of the distillation."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--annotations", type=Path, required=True, help="folder with activitynet/ and procedure/")
    parser.add_argument("--mocap", type=Path, required=True, help="folder of the motion set")
    parser.add_argument("--words", type=Path, default=Path("/usr/share/dict/words"), help="English word list")
    parser.add_argument("--dictionary", type=Path, default=Path("/usr/share/wordnet"), help="WordNet database folder")
    parser.add_argument("--benchmarks", type=Path, default=Path("benchmarks"), help="folder of held-out sentences")
    parser.add_argument("--run", type=Path, default=Path("runs/text_student"), help="caches and resumable state")
    parser.add_argument("--out", type=Path, default=Path("checkpoints/text_student"), help="checkpoint folder to write")
    parser.add_argument("--minutes", type=float, default=25, help="training time")
    parser.add_argument("--vocabulary", type=int, default=17_500, help="word pieces kept")
    parser.add_argument("--rank", type=int, default=112, help="rank of the word table")
    parser.add_argument("--batch", type=int, default=192, help="sentences a step")
    parser.add_argument("--rate", type=float, default=7e-4, help="peak learning rate")
    parser.add_argument("--resume", action="store_true", help="go on from the last saved state")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
