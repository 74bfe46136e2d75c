"""Grounding: measures, set decoder and matching, four systems on planted motifs, the embedded grounder, bad input."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import permutations
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from action_localization.evaluation.grounding import (
    Question,
    prior_spans,
    score_grounding,
    span_iou,
    trivial_answers,
)
from action_localization.grounded.captions import match_captions
from action_localization.grounded.ctrl import CTRL, fit_ctrl, ground_ctrl
from action_localization.grounded.denoise_loc import DenoiseLoc, SpanDenoiser, ground_denoise_loc, noised_spans
from action_localization.grounded.dense import DenseGrounding, fit_dense, ground_dense
from action_localization.grounded.fusion import FusionConfig
from action_localization.grounded.moment_detr import MomentDETR, SetGrounder, fit_moment_detr, ground_moment_detr
from action_localization.grounded.pose import ground_entries, load_grounder
from action_localization.grounded.queries import (
    Learning,
    QueryBatches,
    QueryConfig,
    asking,
    contrary,
    optimisation,
    video_queries,
)
from action_localization.pose.checkpoint import stream_features
from action_localization.pose.features import pose_rows
from action_localization.pose.procedural import procedural_clips
from action_localization.pose.procedural_actions import ACTIONS
from action_localization.pose.streams import Pool, Stream, StreamConfig, make_stream
from action_localization.regimes.streams import RegimeSet, toy_set
from action_localization.spine.matching import SetLoss, centred, edges, generalised_iou, match, set_targets
from action_localization.spine.set_decoder import Memory, SetDecoder, SetDecoderConfig, span_features
from laban.errors import LabanError
from laban.timeline import FrameGrid, Segment, Timeline
from models.diffusion.schedule import cosine_schedule
from models.features import Features, write_features

SMALL = FusionConfig(width=48, heads=4, layers=1)


@pytest.fixture(scope="module")
def toy() -> RegimeSet:
    return toy_set(0, train=24, measured=5)


# ------------------------------------------------------------------------------------------------------------ measures


def test_measures_by_hand_with_edges_that_count() -> None:
    questions = [Question("a", 10.0, [(2.0, 4.0)]), Question("b", 20.0, [(0.0, 10.0), (15.0, 20.0)])]
    answers = [[(3.0, 5.0, 0.9), (2.0, 4.0, 0.1)], [(14.0, 20.0, 0.5)]]
    figures = score_grounding(questions, answers, null="wrong").figures()
    assert figures["R@1, IoU=0.3"] == 100 and figures["R@1, IoU=0.5"] == 50
    assert figures["R@5, IoU=0.7"] == 100
    assert figures["mIoU"] == pytest.approx(100 * (1 / 3 + 5 / 6) / 2)
    assert figures["R@1, TD<=0"] == 0 and figures["R@1, TD<=1"] == 100, "one second off is within one second"
    assert figures["onset within 1 s"] == 100 and figures["onset within 0.25 s"] == 0
    exact = score_grounding(questions[:1], [[(2.0, 4.0, 1.0)]], null="wrong").figures()
    assert exact["R@1, TD<=0"] == 100
    half = score_grounding([Question("a", 9.0, [(0.0, 4.0)])], [[(0.0, 2.0)]], null="wrong").figures()
    assert half["R@1, IoU=0.5"] == 100, "an overlap of exactly one half reaches it"


def test_the_null_rule_has_two_values_and_no_default() -> None:
    questions = [Question("v", 10.0, [(0.0, 10.0)])] * 300
    wrong = score_grounding(questions, [None] * 300, null="wrong")
    drawn = score_grounding(questions, [None] * 300, null="random", seed=1)
    assert wrong.null == drawn.null == 300
    assert set(wrong.figures().values()) == {0.0}
    assert 20 < drawn.figures()["mIoU"] < 45, "the mean length of a random span is a third"
    assert drawn.figures() == score_grounding(questions, [[]] * 300, null="random", seed=1).figures()
    with pytest.raises(LabanError, match="1 answers to 300"):
        score_grounding(questions, [None], null="wrong")


def test_trivial_rows_and_the_best_fixed_span() -> None:
    training = [Question(str(i), 100.0, [(50.0, 100.0)]) for i in range(5)] + [Question("o", 100.0, [(0.0, 10.0)])]
    assert prior_spans(training, 2) == [(0.5, 1.0), (0.0, 0.1)]
    rows = trivial_answers([Question("t", 40.0, [(20.0, 40.0)])], training)
    assert rows["whole video"] == [[(0.0, 40.0, 1.0)]]
    assert rows["best fixed spans of training"][0][0][:2] == (20.0, 40.0)
    assert span_iou(np.array([[1.0, 1.0]]), np.array([[1.0, 1.0], [0.0, 2.0]])).tolist() == [[1.0, 0.0]]


def test_eval_ground_reproduces_published_figures_and_reads_answers(tmp_path: Path, data_folder: Path) -> None:
    from laban.cli.eval import app

    folder = data_folder / "annotations"
    truth = folder / "qvhighlights" / "highlight_val_release.jsonl.gz"
    given = ["ground", str(folder / "qvhighlights" / "sample_val_preds.jsonl.gz"), "--annotations", str(truth)]
    result = CliRunner().invoke(app, [*given, "--bootstraps", "2", "--json"], catch_exceptions=False)
    found = json.loads(result.stdout)
    row = found["qvhighlights"]["sample_val_preds.jsonl.gz"]["full"]
    assert round(row["R1"]["0.5"], 2) == 53.94 and round(row["average"], 2) == 32.2
    assert found["rows"]["whole video"]["sentences"] == 1550
    answers = tmp_path / "answers.jsonl"
    answers.write_text('{"vid": "x", "query": "q", "pred_relevant_windows": [[3, 1]]}\n')
    with pytest.raises(LabanError, match="--null skip; accepted: wrong, random"):
        CliRunner().invoke(app, ["ground", "--annotations", str(truth), "--null", "skip"], catch_exceptions=False)
    with pytest.raises(LabanError, match="jsonl:1: pred_relevant_windows"):
        CliRunner().invoke(app, ["ground", str(answers), "--annotations", str(truth)], catch_exceptions=False)


# --------------------------------------------------------------------------------------------------- sets and matching


def test_matching_equals_the_best_of_all_permutations() -> None:
    generator = torch.Generator().manual_seed(0)
    spans = torch.rand(3, 4, 2, generator=generator) * 0.4 + 0.2
    logits = torch.randn(3, 4, 2, generator=generator)
    truth = [torch.tensor([[0.1, 0.3], [0.4, 0.9], [0.2, 0.4]])] * 2 + [torch.zeros(0, 2)]
    targets = set_targets(truth, [torch.zeros(len(one), dtype=torch.long) for one in truth])
    weights = SetLoss(diou=0.5)
    found = match(logits, spans, targets, weights)

    def cost(sample: int, query: int, target: int) -> float:
        mine, theirs = spans[sample, query], centred(truth[sample][target])
        value = -4 * logits[sample, query].softmax(-1)[0] + 10 * (mine - theirs).abs().sum()
        value -= generalised_iou(edges(mine), edges(theirs))
        return float(value - 0.5 * generalised_iou(edges(mine), edges(theirs), distance=True))

    for sample in (0, 1):
        pairs = {int(t): int(q) for s, q, t in zip(found.sample, found.query, found.target, strict=True) if s == sample}
        best = min(permutations(range(4), 3), key=lambda order: sum(cost(sample, q, t) for t, q in enumerate(order)))
        assert [pairs[target] for target in range(3)] == list(best)
    assert not (found.sample == 2).any()
    apart = generalised_iou(torch.tensor([0.0, 1.0]), torch.tensor([3.0, 4.0]))
    assert float(apart) == pytest.approx(-0.5), "IoU 0 less a gap of half of the hull"


def test_set_decoder_is_blind_to_the_order_of_queries_and_to_padding() -> None:
    torch.manual_seed(0)
    decoder = SetDecoder(SetDecoderConfig(queries=6, init="noise", width=32, layers=2, roi=4)).eval()
    for layer in decoder.layers:
        torch.nn.init.normal_(layer.refine[2].weight, std=0.1)
    values, spans = torch.randn(2, 20, 32), torch.rand(2, 6, 2) * 0.5 + 0.2
    mask = torch.arange(20) < torch.tensor([[20], [13]])
    order = torch.randperm(6)
    plain = decoder({"video": Memory(values, mask)}, spans=spans)
    turned = decoder({"video": Memory(values, mask)}, spans=spans[:, order])
    assert torch.allclose(plain.spans[:, :, order], turned.spans, atol=1e-5)
    assert torch.allclose(plain.content[:, :, order], turned.content, atol=1e-5)
    alone = decoder({"video": Memory(values[1:, :13])}, spans=spans[1:])
    assert torch.allclose(plain.spans[:, 1:], alone.spans, atol=1e-5)
    with pytest.raises(LabanError, match="needs the spans"):
        decoder({"video": Memory(values, mask)})
    with pytest.raises(LabanError, match="needed too: video"):
        decoder({"memory": Memory(values, mask)}, spans=spans)


def test_span_features_of_a_ramp_lie_on_it() -> None:
    ramp = torch.arange(10.0)[None, :, None]
    found = span_features(ramp, torch.ones(1, 10, dtype=torch.bool), torch.tensor([[[0.5, 0.4]]]), 4)
    assert found[0, 0, :, 0].tolist() == pytest.approx([3.0, 4.0, 5.0, 6.0])


# ------------------------------------------------------------------------------------------------------------- queries


def test_a_sentence_is_true_where_another_says_more_and_false_on_the_other_side(toy: RegimeSet) -> None:
    said = ["a person waves the left hand", "a person waves the left hand happily", "a person waves the right hand",
            "a person waves as a greeting"]  # fmt: skip
    segments = tuple(Segment(3.0 * i, 3.0 * i + 2, "wave") for i in range(4))
    sentences = tuple(replace(s, label=text) for s, text in zip(segments, said, strict=True))
    video = replace(toy.train[0], truth=Timeline(segments), sentences=sentences)
    query = video_queries(video)[0]
    assert query.windows == ((0.0, 2.0), (3.0, 5.0)) and query.unsure == ((9.0, 11.0),)
    assert contrary("raises both hands", "raises the left hand") and not contrary("waves", "waves the left hand")


def test_batches_are_a_function_of_seed_and_step(toy: RegimeSet) -> None:
    one, two = (QueryBatches(toy.train, QueryConfig(videos=2, queries=3), 5)(7) for _ in range(2))
    assert torch.equal(one.values, two.values) and torch.equal(one.targets.spans, two.targets.spans)
    assert not torch.equal(one.values, QueryBatches(toy.train, QueryConfig(videos=2, queries=3), 6)(7).values)


# ------------------------------------------------------------------------------------------------------------- systems


def _recall(ground, network, data: RegimeSet) -> tuple[float, float]:
    """R@1, IoU 0.5, and what random spans have."""
    questions, answers = [], []
    for video in data.test:
        queries = video_queries(video)
        questions += [Question(video.name, video.truth.duration, q.windows) for q in queries]
        answers += ground(network, video.features, [q.text for q in queries])
    trivial = score_grounding(questions * 20, trivial_answers(questions * 20)["random spans"], null="wrong")
    name = "R@1, IoU=0.5"
    return score_grounding(questions, answers, null="wrong").figures()[name], trivial.figures()[name]


def _learning(steps: int, lr: float, **batches: object) -> Learning:
    return Learning(QueryConfig(videos=6, queries=3, **batches), replace(optimisation(steps, lr), ema=0.9))  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["ctrl", "dense"])
def test_systems_learn_planted_motifs(toy: RegimeSet, tmp_path: Path, name: str) -> None:
    if name == "ctrl":
        network = fit_ctrl(toy, replace(CTRL(width=48, hidden=64), learning=_learning(40, 6e-3, absent=0.0)), tmp_path,
                           seed=0)  # fmt: skip
        found, random = _recall(ground_ctrl, network, toy)
    else:
        config = DenseGrounding()
        config = replace(config, encoder=replace(config.encoder, width=48, hidden=64, levels=4, embed=1),
                         head=replace(config.head, width=48), learning=_learning(35, 6e-3))  # fmt: skip
        network = fit_dense(toy, config, tmp_path, seed=0)
        found, random = _recall(ground_dense, network, toy)
    assert found >= 60 and found >= 3 * random, (found, random)


def test_moment_detr_learns_a_little_in_little_time(toy: RegimeSet, tmp_path: Path) -> None:
    config = replace(MomentDETR(), fusion=SMALL, decoder=SetDecoderConfig(queries=8, layers=1), saliency=1.0,
                     learning=_learning(30, 4e-3))  # fmt: skip
    network = fit_moment_detr(toy, config, tmp_path, seed=0)
    found, _ = _recall(ground_moment_detr, network, toy)
    again = ground_moment_detr(network, toy.test[0].features, ["a person does hop"])
    assert again == ground_moment_detr(network, toy.test[0].features, ["a person does hop"])
    assert found >= 10


def test_denoising_with_no_noise_starts_at_the_truth(toy: RegimeSet) -> None:
    torch.manual_seed(0)
    config = DenoiseLoc(host=replace(DenoiseLoc().host, fusion=SMALL))
    network = SpanDenoiser(config, toy.width, 384).eval()
    batch = asking(toy.test[0].features, ["a person does hop", "a person does nod"])
    truth = torch.rand(2, 30, 2) * 0.5 + 0.2
    generator = torch.Generator().manual_seed(0)
    clean = noised_spans(truth, torch.full((2,), -1), cosine_schedule(), config.scale, generator)
    assert torch.allclose(clean, truth, atol=1e-6)
    with torch.no_grad():
        out = network(batch, clean, torch.zeros(2, dtype=torch.long))
    assert torch.allclose(out.spans, truth.expand_as(out.spans), atol=1e-5), "untrained layers leave spans alone"
    wild = noised_spans(truth, torch.full((2,), 999), cosine_schedule(), config.scale, generator)
    assert not torch.allclose(wild, truth, atol=0.05) and wild.min() >= 0 and wild.max() <= 1
    one, two = (ground_denoise_loc(network, toy.test[0].features, ["a person does hop"], seed=s) for s in (3, 3))
    assert one == two


def test_order_and_company_of_queries_change_nothing(toy: RegimeSet) -> None:
    torch.manual_seed(0)
    network = SetGrounder(replace(MomentDETR(), fusion=SMALL), toy.width, 384)
    sentences = ["a person does hop", "somebody waves both of the hands at once", "nod"]
    together = ground_moment_detr(network, toy.test[1].features, sentences)
    turned = ground_moment_detr(network, toy.test[1].features, sentences[::-1])[::-1]
    alone = [ground_moment_detr(network, toy.test[1].features, [one])[0] for one in sentences]
    for one, two, three in zip(together, turned, alone, strict=True):
        assert np.allclose(one, two, atol=1e-4) and np.allclose(one, three, atol=1e-4)


def test_bad_input_is_named(toy: RegimeSet) -> None:
    features = toy.test[0].features
    with pytest.raises(LabanError, match="query is empty"):
        asking(features, ["  . "])
    values = features.values.copy()
    values[4, 2] = np.nan
    with pytest.raises(LabanError, match="1 of .* entries hold NaN or infinity, first 4"):
        asking(replace(features, values=values), ["hop"])
    with pytest.raises(LabanError, match="no entries"):
        asking(Features(np.zeros((0, 3), np.float32), FrameGrid(10, 0), ""), ["hop"])
    with pytest.raises(LabanError, match="no video has a sentence"):
        QueryBatches([replace(toy.train[0], sentences=())], QueryConfig(), 0)


def test_captions_are_matched_as_text_and_silence_is_none() -> None:
    said = [(0, 4, "a person walks forward"), (4, 7, "a person waves both hands"), (7, 12, "somebody sits down")]
    captions = Timeline(tuple(Segment(float(a), float(b), text) for a, b, text in said))
    best = match_captions(captions, "the person waves with both hands")
    assert best is not None and abs(best[0][0] - 4) <= 0.5 and abs(best[0][1] - 7) <= 0.5
    assert match_captions(captions, "a red car in the rain") is None
    with pytest.raises(LabanError, match="no captions"):
        match_captions(Timeline((), 4.0), "walks")


# ------------------------------------------------------------------------------------------------- embedded grounder


@pytest.fixture(scope="module")
def stream() -> Stream:
    chosen = {label: ACTIONS[label] for label in ("squat", "jumping jacks", "wave", "plank")}
    pool = Pool(procedural_clips(chosen, 2, 11, 1.0), StreamConfig(seconds=(30.0, 32.0)))
    return make_stream(pool, (4,))


def test_embedded_grounder_finds_what_is_there_and_says_what_is_not(stream: Stream) -> None:
    grounder = load_grounder()
    asked = {"squat": "someone does squats", "jumping jacks": "a person does jumping jacks", "wave": "waving a hand"}
    there = {label: text for label, text in asked.items() if label in stream.truth.labels()}
    nothing = ["a cat sleeps on the sofa", "the chef chops onions"]
    features = stream_features(stream, None)
    found = ground_entries(grounder, features, [*there.values(), *nothing])
    for (label, _), one in zip(there.items(), found, strict=False):
        windows = np.array([(s.start, s.end) for s in stream.truth.segments if s.label == label])
        assert span_iou(np.array([one.spans[0][:2]]), windows).max() >= 0.5, label
        assert one.found, (label, one.spans[0])
    for one in found[len(there) :]:
        assert not one.found, one.spans[0]
    alone = ground_entries(grounder, features, [nothing[0]])[0]
    assert np.allclose(alone.curve, found[len(there)].curve, atol=1e-5), "what else is asked changes nothing"
    assert len(alone.curve) == len(features.values) and 0 <= alone.curve.min() <= alone.curve.max() <= 1


def test_command_writes_spans_and_figure_and_refuses_nonsense(
    stream: Stream, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from laban.cli import run

    monkeypatch.chdir(tmp_path)
    rows = pose_rows(stream.joints[:300], stream.confidence[:300], stream.observed[:300])
    write_features(Features(rows, FrameGrid(20, len(rows)), "pose_confidence"), tmp_path / "some.npz")
    assert run(["ground", "some.npz", "a person does squats", "-k", "2", "--threshold", "0", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["found"] and 1 <= len(said["spans"]) <= 2 and said["seconds"] == pytest.approx(15)
    assert (tmp_path / "some.ground.png").stat().st_size > 5000 and (tmp_path / "some.ground.json").is_file()
    assert run(["ground", "some.npz", "die Frau winkt mit beiden Händen", "--threshold", "1", "-o", "x.csv"]) == 0
    out = capsys.readouterr()
    assert "no English words" in out.err and "not found" in out.out and "nothing reaches 1.00" in out.out
    for bad, word in (
        (["  "], "is empty"),
        (["walks", "-o", "some.npz"], "unknown"),
        (["walks", "--people", "0"], "0"),
    ):
        assert run(["ground", "some.npz", *bad]) == 2
        assert word in capsys.readouterr().err
