"""What comes next: vocabulary, sequences, prior, measures, Viterbi, the causal network, and `laban anticipate`."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from action_localization.anticipation.anticipator import (
    Anticipator,
    foresee,
    learn_anticipator,
    load_anticipator,
    read_history,
    save_anticipator,
)
from action_localization.anticipation.distances import (
    aued_fixed,
    aued_naive,
    ed_at_z,
    hypothesis_distances,
    prefix_distances,
)
from action_localization.anticipation.evaluate import (
    LongTerm,
    choosing,
    long_term_row,
    next_actions,
    next_row,
    sampling,
    trivial_rows,
    with_label_noise,
)
from action_localization.anticipation.measures import (
    class_mean_recall,
    mean_over_groups,
    multilabel_map,
    plan_spread,
    top_hits,
)
from action_localization.anticipation.movements import read_movements
from action_localization.anticipation.network import ActionModel, ModelConfig, ModelPredictor
from action_localization.anticipation.plan_measures import accuracy, batch_iou, cumulative_iou, sample_iou, success
from action_localization.anticipation.prior import PriorRollout, PriorSettings, learn_prior, mixture_weights
from action_localization.anticipation.rollout import (
    Mixture,
    Search,
    next_probabilities,
    probabilities_along,
    sample_futures,
)
from action_localization.anticipation.sequences import leak_note, read_sequences, together
from action_localization.anticipation.training import ModelTraining, train_model
from action_localization.anticipation.viterbi import best_path, best_paths, left_to_right, posterior
from action_localization.anticipation.vocabulary import OTHER_PAIR, SYNONYM, Vocabulary, merged
from action_localization.data.layouts import read_corpus
from laban.cli import run
from laban.errors import LabanError
from laban.timeline import Segment, Timeline

STEPS = ("take cup", "open tap", "fill cup", "close tap", "drink water")
KITCHEN = Vocabulary(
    ("take cup", "take tap", "open tap", "wash cup", "turn-on tap"),
    (("take", "cup"), ("take", "tap"), ("open", "tap"), ("wash", "cup"), ("turn-on", "tap")),
    {"grab": "take", "switch-on": "turn-on", "cut": "cut"},
    {"mug": "cup", "cup:tea": "cup"},
)


def table(folder: Path, name: str = "scores.csv", videos: int = 24, skip: int = 0) -> Path:
    """Videos that go round `STEPS`, each from another place; every fifth repeats a step."""
    lines = ["timeline,start,end,label"]
    for video in range(videos):
        order = [STEPS[(video + i - (i > 4) * (video % 5 == 0)) % len(STEPS)] for i in range(12)]
        lines += [f"v{video + skip},{2 * i},{2 * i + 1.5},{label}" for i, label in enumerate(order)]
    path = folder / name
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture(scope="module")
def learnt(tmp_path_factory: pytest.TempPathFactory) -> Anticipator:
    return learn_anticipator(read_sequences(table(tmp_path_factory.mktemp("set"))), settings=PriorSettings(order=3))


# ------------------------------------------------------------------------------------------------------ vocabulary


@pytest.mark.parametrize(
    ("text", "name", "confidence"),
    [
        ("take cup", "take cup", 1.0),
        ("TAKE_cup", "take cup", 1.0),
        ("take the cup", "take cup", 1.0),
        ("grab a mug", "take cup", SYNONYM),
        ("take tea cup", "take cup", SYNONYM),
        ("switch on tap", "turn-on tap", SYNONYM),
        ("wash tap", "take tap", OTHER_PAIR),
    ],
)
def test_text_is_parsed_with_a_confidence(text, name, confidence):
    parsed = KITCHEN.parse(text)
    assert parsed is not None and (KITCHEN.names[parsed.action], parsed.confidence) == (name, confidence)


def test_a_label_outside_the_vocabulary_is_refused_with_the_nearest():
    with pytest.raises(LabanError, match="'oepn tp now' is not in the vocabulary of 5 actions; nearest: 'open tap'"):
        KITCHEN.action("oepn tp now")


def test_merged_vocabularies_know_the_same_words_once():
    both = merged([Vocabulary(("pour milk", "stir")), Vocabulary(("POUR_MILK", "serve"))])
    assert both.names == ("pour milk", "stir", "serve") and both.get("pour_milk") == 0
    assert Vocabulary.from_json(json.loads(json.dumps(KITCHEN.to_json())), "x") == KITCHEN


# -------------------------------------------------------------------------------------------------------- sequences


def test_sequences_have_goals_splits_and_one_vocabulary(tmp_path):
    coin = {"x": {"annotation": [[1, 3, 4, "stir"], [0, 1, 2, "pour"]], "duration": 9, "subset": "training",
                  "class": "MakeTea"}}  # fmt: skip
    path = tmp_path / "coin.json"
    path.write_text(json.dumps(coin))
    found = read_sequences(path)
    one = found.sequences[0]
    assert [found.vocabulary.names[a] for a in one.actions] == ["pour", "stir"]
    assert (one.goal, one.split, found.goals) == ("MakeTea", "training", ("MakeTea",))
    other = read_sequences(table(tmp_path))
    first, second = together(found, [other])
    assert first.vocabulary is second.vocabulary and len(first.vocabulary) == 7
    assert other.over(found.vocabulary).sequences[0].actions[0] == -1
    with pytest.raises(LabanError, match="has no split test"):
        found.part("test")


def test_crosstask_numbers_count_over_all_tasks(tmp_path):
    names = {"7": {"task_name": "Tea", "step_name": {"0": "pour", "1": "stir"}},
             "3": {"task_name": "Soup", "step_name": {"0": "stir", "1": "serve"}}}  # fmt: skip
    (tmp_path / "crosstask_cls_step.json").write_text(json.dumps(names))
    records = [{"task": "7", "vid": "x", "steps": [[1, 2, 0], [3, 4, 1]]},
               {"task": "3", "vid": "x", "steps": [[5, 6, 1], [7, 8, 2]]}]  # fmt: skip
    path = tmp_path / "crosstask_train_steps.json"
    path.write_text(json.dumps(records))
    assert [s.label for s in read_corpus(path).videos["x"].timeline.segments] == ["pour", "stir", "stir", "serve"]
    found = read_sequences(path)
    assert [(s.name, s.goal, len(s.actions)) for s in found.sequences] == [("Tea/x", "Tea", 2), ("Soup/x", "Soup", 2)]


def test_epic_tables_give_verbs_nouns_and_synonyms(tmp_path):
    (tmp_path / "EPIC_100_verb_classes.csv").write_text("id,key,instances\n0,take,\"['grab']\"\n1,put,\"['set']\"\n")
    (tmp_path / "EPIC_100_noun_classes_v2.csv").write_text('id,key,instances\n0,cup,"[\'mug\']"\n1,pan:dust,"[]"\n')
    (tmp_path / "rulstm_actions.csv").write_text("id,verb,noun,action\n0,0,0,take cup\n1,1,1,put pan:dust\n")
    (tmp_path / "rulstm_training.csv").write_text("a,P01,30,60,0,0,0\nb,P01,90,120,1,1,1\n")
    found = read_sequences(tmp_path / "rulstm_training.csv")
    assert found.vocabulary.pairs == (("take", "cup"), ("put", "pan:dust"))
    assert found.sequences[0].actions == (0, 1) and found.vocabulary.action("grab the mug") == 0
    assert found.vocabulary.action("set dust pan") == 1


def test_movements_are_read_in_the_detectors_words(tmp_path):
    def clip(name: str, source: str, *labels: str) -> dict[str, object]:
        segments = [{"label": label, "start": i, "end": i + 1} for i, label in enumerate(labels)]
        return {"id": name, "source": source, "split": "train", "segments": segments}

    clips = [clip("a", "x", "stand", "jog", "bends down"), clip("b", "kinect", "walk", "wave"), clip("c", "x", "walk")]
    (tmp_path / "index.json").write_text(json.dumps(clips))
    found = read_movements(tmp_path / "index.json")
    assert [(one.name, [s.label for s in one.timeline.segments]) for one in found.sequences] == [
        ("a", ["run", "bend forward"])
    ]
    assert found.vocabulary.get("clap") is not None  # known to the detector, though no clip here has it


def test_shared_recordings_are_said(tmp_path):
    one, other = read_sequences(table(tmp_path)), read_sequences(table(tmp_path, "b.csv", 4, skip=100))
    assert leak_note(one, other) == [] and "24 of 24 recordings" in leak_note(one, one)[0]


# --------------------------------------------------------------------------------------------------------- measures


def plain_distance(a: list[int], b: list[int]) -> int:
    rows = [[max(i, j) if 0 in (i, j) else 0 for j in range(len(b) + 1)] for i in range(len(a) + 1)]
    for i, j in itertools.product(range(1, len(a) + 1), range(1, len(b) + 1)):
        rows[i][j] = min(rows[i - 1][j] + 1, rows[i][j - 1] + 1, rows[i - 1][j - 1] + (a[i - 1] != b[j - 1]))
    return rows[-1][-1]


def test_distances_equal_the_plain_table_at_every_length():
    rng = np.random.default_rng(0)
    a, b = rng.integers(0, 4, (2, 60, 9))
    found = prefix_distances(a, b)
    pairs = zip(a.tolist(), b.tolist(), strict=True)
    assert found.tolist() == [[plain_distance(x[:z], y[:z]) for z in range(1, 10)] for x, y in pairs]


def test_aued_of_one_hypothesis_is_never_below_the_naive_one():
    rng = np.random.default_rng(1)
    truth, hypotheses = rng.integers(0, 3, (40, 8)), rng.integers(0, 3, (40, 5, 8))
    distances = hypothesis_distances(truth, hypotheses)
    assert (aued_fixed(distances) >= aued_naive(distances) - 1e-12).all()
    assert (aued_fixed(distances) > aued_naive(distances) + 1e-6).any()
    perfect = hypothesis_distances(truth, np.concatenate([hypotheses, truth[:, None]], 1))
    assert not ed_at_z(perfect).any() and not aued_fixed(perfect).any()


def test_class_mean_recall_counts_classes_alike():
    truth = np.array([0, 0, 0, 1])
    scores = np.eye(3)[[0, 0, 2, 0]]
    hits = top_hits(scores, truth, 1)
    assert hits.tolist() == [True, True, False, False]
    assert class_mean_recall(hits, truth).value == pytest.approx((2 / 3 + 0) / 2)
    assert class_mean_recall(hits, truth, classes=[0]).value == pytest.approx(2 / 3)
    assert not top_hits(np.ones((1, 3)), np.array([1]), 2)[0]  # ties count against the truth
    assert not top_hits(scores, np.array([-1, -1, -1, -1]), 3).any()


def test_intervals_hold_the_value_and_shrink():
    rng = np.random.default_rng(2)
    values = rng.random(400)
    few = mean_over_groups(values[:40], np.arange(40) // 4)
    many = mean_over_groups(values, np.arange(400) // 4)
    assert few.low < few.value < few.high and many.high - many.low < few.high - few.low


def test_multilabel_map_parts_classes_by_frequency():
    scores = np.array([[0.9, 0.1, 0.5], [0.1, 0.9, 0.5], [0.5, 0.5, 0.1]])
    positive = np.array([[True, False, False], [False, False, False], [False, True, False]])
    found = multilabel_map(scores, positive, np.array([200, 3, 3]), frequent=100)
    assert found == {"all": pytest.approx(0.75), "frequent": 1.0, "rare": 0.5}


def test_plans_by_every_name():
    truth = np.array([[0, 1, 2], [3, 4, 5], [0, 1, 2], [6, 7, 8]])
    found = np.array([[0, 1, 2], [4, 3, 5], [3, 4, 5], [6, 7, 9]])
    assert success(truth, found).tolist() == [True, False, False, False]
    assert accuracy(truth, found).tolist() == pytest.approx([1, 1 / 3, 0, 2 / 3])
    assert sample_iou(truth, found).tolist() == pytest.approx([1, 1, 0, 0.5])
    assert batch_iou(truth, found, 1) == pytest.approx(sample_iou(truth, found).mean())
    assert cumulative_iou(truth, found) > batch_iou(truth, found, 4) > sample_iou(truth, found).mean()


def test_plan_spread_of_the_truth_itself_and_of_something_else():
    truth = np.array([[0, 1]] * 3 + [[1, 0]])
    own = plan_spread(truth, truth, smoothing=1e-9)
    assert own.kl == pytest.approx(0, abs=1e-6) and (own.precision, own.recall) == (1, 1)
    other = plan_spread(truth, np.array([[0, 1], [2, 2]]))
    assert other.kl > 0 and (other.precision, other.recall) == (0.5, 0.5)
    assert other.nll == pytest.approx(other.kl + 0.75 * np.log(4 / 3) + 0.25 * np.log(4))


# ---------------------------------------------------------------------------------------------------------- Viterbi


def test_viterbi_equals_trying_every_way():
    rng = np.random.default_rng(3)
    emissions, transitions, start = rng.normal(size=(4, 3)), rng.normal(size=(3, 3)), rng.normal(size=3)
    ways = {way: start[way[0]] + sum(emissions[i, s] for i, s in enumerate(way))
            + sum(transitions[a, b] for a, b in itertools.pairwise(way))
            for way in itertools.product(range(3), repeat=4)}  # fmt: skip
    order = sorted(ways, key=lambda way: -ways[way])
    found = best_paths(emissions, transitions, start, count=7)
    assert [tuple(path.states.tolist()) for path in found] == order[:7]
    assert [path.score for path in found] == pytest.approx([ways[way] for way in order[:7]])
    weight = {way: np.exp(score) for way, score in ways.items()}
    soft = [[sum(w for way, w in weight.items() if way[i] == s) for s in range(3)] for i in range(4)]
    np.testing.assert_allclose(posterior(emissions, transitions, start), np.array(soft) / sum(weight.values()))


def test_left_to_right_never_goes_back_and_contradictions_are_said():
    emissions = np.log(np.array([[0.8, 0.1, 0.1], [0.1, 0.1, 0.8], [0.1, 0.8, 0.1], [0.1, 0.1, 0.8]]))
    assert best_path(emissions, left_to_right(3)).states.tolist() == [0, 0, 1, 2]
    with pytest.raises(LabanError, match="no way through"):
        best_path(np.full((2, 2), -1e9), np.zeros((2, 2)))


# ------------------------------------------------------------------------------------------------ prior and rollout


def test_witten_bell_by_hand():
    vocabulary = Vocabulary(("a x", "b y", "c z"))
    prior = learn_prior(vocabulary, [np.array([0, 1, 0, 1, 0, 2])], PriorSettings(order=2))
    base = np.array([3 + 1, 2 + 1, 1 + 1]) / 9
    np.testing.assert_allclose(prior.base, base)
    after = np.array([0, 2, 1]) / 5 + 2 / 5 * base  # after a: b twice, c once, two kinds
    np.testing.assert_allclose(prior.ngram([0]), after)
    np.testing.assert_allclose(prior.transitions().sum(1), 1)


def test_probabilities_sum_to_one_and_memory_raises_what_was(learnt):
    history = np.array([learnt.vocabulary.action(label) for label in STEPS[:2]])
    for past in (np.zeros(0, np.int64), history, np.array([-1, 0])):
        assert next_probabilities(learnt.prior, past).sum() == pytest.approx(1, abs=1e-5)
    assert next_probabilities(learnt.prior, history).argmax() == learnt.vocabulary.action("fill cup")
    parts = learnt.prior.start(history).components(0)
    assert parts[1][history].sum() == pytest.approx(1) and parts[1].sum() == pytest.approx(1)
    assert parts[2][learnt.vocabulary.action("close tap")] > 0  # another thing done with what was at hand


def test_copies_go_their_own_ways(learnt):
    rollout = learnt.prior.start(np.array([0]), copies=2)
    rollout.take(np.array([1, 3]))
    both = rollout.next()
    for row, second in enumerate((1, 3)):
        alone = learnt.prior.start(np.array([0]))
        alone.take(np.array([second]))
        np.testing.assert_allclose(both[row], alone.next()[0], rtol=1e-5)
        np.testing.assert_allclose(both[row], next_probabilities(learnt.prior, np.array([0, second])), rtol=1e-5)


def test_weights_of_a_mixture_find_the_better_part():
    good, bad = np.full(200, 0.5), np.full(200, 0.01)
    weights, likelihood = mixture_weights(np.stack([bad, good], 1))
    assert weights[1] > 0.99 and likelihood == pytest.approx(np.log(0.5), abs=0.02)


def test_chosen_futures_are_nearer_than_plain_samples(tmp_path, learnt):
    protocol, found = LongTerm(4, 6, 2, stride=2), read_sequences(table(tmp_path, videos=10)).over(learnt.vocabulary)
    windows = protocol.windows(found)
    chosen = long_term_row("c", choosing(learnt.prior, protocol, Search(24, 1.0, 0.5, 8)), windows, found.vocabulary)
    drawn = long_term_row("s", sampling(learnt.prior, protocol), windows, found.vocabulary)
    rows = {n: long_term_row(n, f, windows, found.vocabulary) for n, f in trivial_rows(found, protocol).items()}
    ours = chosen.figures["ED@6 action"].value
    assert ours < drawn.figures["ED@6 action"].value and ours < rows["last repeated"].figures["ED@6 action"].value
    assert all(f.low <= f.value <= f.high for row in rows.values() for f in row.figures.values())
    noisy = with_label_noise(windows.observed, 0.4, found)
    assert 0.15 < (noisy != windows.observed).mean() < 0.45


def test_next_action_figures_use_only_the_past(tmp_path, learnt):
    found = read_sequences(table(tmp_path, videos=6)).over(learnt.vocabulary)
    given = next_actions(learnt.prior, found)
    row = next_row("prior", given, k=2, tail=[0])
    assert row.figures["top-1"].value > 0.7 and row.figures["NLL"].value < np.log(5)
    alone = next_probabilities(learnt.prior, found.sequences[0].array[:3])
    np.testing.assert_allclose(given.probabilities[3], alone, rtol=1e-4)


# ---------------------------------------------------------------------------------------------------------- network


def small(vocabulary: Vocabulary, seed: int = 0) -> ActionModel:
    torch.manual_seed(seed)
    return ActionModel(vocabulary, ModelConfig(width=16, layers=2, heads=2, hidden=32, context=12)).eval()


def test_the_network_is_causal_and_its_steps_equal_one_pass():
    network = small(KITCHEN)
    tokens = torch.tensor([[0, 3, 2, 2, 4, 1]])
    with torch.inference_mode():
        whole, _ = network(tokens)
        other, _ = network(torch.tensor([[0, 3, 2, 1, 0, 0]]))
    torch.testing.assert_close(whole[:, :4], other[:, :4])
    assert not torch.allclose(whole[:, 4], other[:, 4])
    rollout = ModelPredictor(network).start(tokens[0, :2].numpy(), copies=3)
    for place in range(2, 6):
        np.testing.assert_allclose(rollout.next()[1], whole[0, place].softmax(-1).numpy(), atol=1e-5)
        rollout.take(np.full(3, int(tokens[0, place])))


def test_a_whole_sequence_at_once_equals_step_by_step(learnt):
    model = ModelPredictor(small(learnt.vocabulary))
    actions = np.array([0, 2, -1, 1, 1, 4])
    mixed = Mixture((learnt.prior, model), (0.25, 0.75))
    given = probabilities_along(mixed, actions)
    for place in range(len(actions)):
        np.testing.assert_allclose(given[place], next_probabilities(mixed, actions[:place]), atol=1e-5)
    rollout = PriorRollout(learnt.prior, actions[:2], 1)
    np.testing.assert_allclose([rollout.components_of(a) for a in range(5)], rollout.components(0).T, rtol=1e-5)


def test_features_are_read_causally():
    torch.manual_seed(0)
    network = ActionModel(KITCHEN, ModelConfig(width=16, layers=1, heads=2, hidden=32, features=6)).eval()
    rows = torch.randn(1, 5, 6)
    changed = torch.cat([rows[:, :3], torch.randn(1, 2, 6)], 1)
    (odds, foreseen), (others, _) = network.from_features(rows), network.from_features(changed)
    assert odds.shape == (1, 5, 5) and foreseen.shape == rows.shape
    torch.testing.assert_close(odds[:, :3], others[:, :3])


def test_training_learns_the_order_and_resumes(tmp_path, learnt):
    sequences = [one.array for one in read_sequences(table(tmp_path)).sequences]
    model = ModelConfig(width=16, layers=1, heads=2, hidden=32, dropout=0.0, context=12)
    job = ModelTraining(tmp_path / "run", steps=60, batch=8, model=model)
    network = train_model(learnt.vocabulary, sequences, job, quiet=True)
    assert network is not None
    again = train_model(learnt.vocabulary, sequences, job, quiet=True)  # done: read back, not trained again
    assert again is not None
    torch.testing.assert_close(network.bias, again.bias)
    history = np.array([learnt.vocabulary.action(label) for label in STEPS[:3]])
    given = next_probabilities(ModelPredictor(network), history)
    assert given.argmax() == learnt.vocabulary.action("close tap") and given.sum() == pytest.approx(1, abs=1e-5)
    mixed = Mixture((learnt.prior, ModelPredictor(network)), (0.5, 0.5))
    expected = (given + next_probabilities(learnt.prior, history)) / 2
    np.testing.assert_allclose(next_probabilities(mixed, history), expected, rtol=1e-4)


# ---------------------------------------------------------------------------------------- anticipator, command line


def test_a_checkpoint_gives_the_same_answers(tmp_path, learnt):
    search = Search(8, 0.9, 0.5, 4)
    whole = Anticipator(learnt.prior, learnt.seconds, learnt.pause, small(learnt.vocabulary), 0.3, search)
    save_anticipator(tmp_path / "c", whole, "# card\n")
    back = load_anticipator(tmp_path / "c")
    assert back.search == whole.search and back.vocabulary == whole.vocabulary
    history = np.array([0, 1, 2])
    given, before = (next_probabilities(one.prior, history) for one in (back, learnt))
    np.testing.assert_allclose(given, before, rtol=1e-6)
    drawn = [sample_futures(a.predictor, history, 3, 5, rng=np.random.default_rng(0)).shape for a in (back, whole)]
    assert drawn == [(3, 5), (3, 5)]
    with pytest.raises(LabanError, match="no anticipator"):
        load_anticipator("goal_policy")


def test_futures_begin_now_and_carry_probabilities(learnt):
    past = Timeline(tuple(Segment(2 * i, 2 * i + 1.5, label) for i, label in enumerate((*STEPS[:2], "juggle"))))
    history = read_history(past, learnt.vocabulary)
    assert history.unknown == ("juggle",) and len(history.actions) == 2
    found = foresee(learnt, history, count=3, length=4)
    first = found.futures[0].segments
    assert first[0].start == found.now == 5.5 and first[0].label == "fill cup" == found.following[0][0]
    assert first[0].score == pytest.approx(found.following[0][1]) and 0 < first[3].score < first[0].score
    assert first[0].seconds == pytest.approx(1.5) and first[1].start - first[0].end == pytest.approx(0.5)
    cut = read_history(past, learnt.vocabulary, until=1.0)
    assert [(s.label, s.end) for s in cut.timeline.segments] == [("take cup", 1.0)]


def command(*arguments: object) -> int:
    return run(["anticipate", *map(str, arguments)])


def test_the_command_draws_writes_and_repeats_itself(tmp_path, capsys):
    learn, score = table(tmp_path), tmp_path / "past.csv"
    score.write_text("start,end,label\n0,1,take cup\n1,2,open tap\n2,3,dance\n")
    files = ("-o", tmp_path / "f.png", "-o", tmp_path / "f.json")
    asked = (score, "--next", 4, "-k", 2, "--learn", learn, "--json", *files)
    assert command(*asked) == 0
    out = capsys.readouterr()
    said = json.loads(out.out)
    assert [row["label"] for row in said["futures"][0]][0] == "fill cup" and len(said["futures"]) == 2
    assert "label 'dance' is not in the vocabulary" in out.err and said["unknown"] == ["dance"]
    assert (tmp_path / "f.png").stat().st_size > 5000
    assert len(json.loads((tmp_path / "f.json").read_text())["results"]["future 1"]) == 4
    assert command(*asked) == 0
    assert json.loads(capsys.readouterr().out)["futures"] == said["futures"]


def test_an_empty_history_gives_the_prior_and_says_so(tmp_path, capsys):
    empty = tmp_path / "none.csv"
    empty.write_text("start,end,label\n")
    assert command(empty, "--learn", table(tmp_path), "--next", 3, "-k", 1, "-o", tmp_path / "e.csv") == 0
    out = capsys.readouterr()
    assert "nothing was observed" in out.err and out.out.startswith("observed: nothing")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("--next", 0), "0 future actions; accepted: 1 to 100"),
        (("-k", 99), "99 futures; accepted: 1 to 20"),
        (("-o", "x.docx"), "format '.docx' is unknown"),
        (("--checkpoint", "judge"), "no anticipator"),
        (("--name", "nobody"), "--name nobody: is not there"),
    ],
)
def test_wrong_options_are_said_in_one_line(tmp_path, capsys, monkeypatch, change, message):
    monkeypatch.chdir(tmp_path)
    score = tmp_path / "past.csv"
    score.write_text("start,end,label\n0,1,take cup\n")
    learn = () if "--checkpoint" in change else ("--learn", table(tmp_path))
    assert command(score, *learn, *change) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1
    assert not list(tmp_path.glob("*.png"))


def test_a_score_of_unknown_labels_alone_is_refused(tmp_path, capsys):
    score = tmp_path / "past.csv"
    score.write_text("start,end,label\n0,1,zzqx\n")
    assert command(score, "--learn", table(tmp_path), "-o", tmp_path / "x.png") == 2
    assert "label 'zzqx' is not in the vocabulary of 5 actions; nearest:" in capsys.readouterr().err


def test_the_evaluation_prints_every_row_with_intervals(tmp_path, capsys):
    training, other = table(tmp_path), table(tmp_path, "held.csv", videos=6, skip=100)
    sizes = ("--observe", "4", "--next", "5", "-k", "2", "--stride", "2", "--noise", "0.4")
    asked = ["eval", "anticipate", str(other), "--training", str(training)]
    assert run([*asked, *sizes, "--balance", "0.5", "--json"]) == 0
    ed, following = json.loads(capsys.readouterr().out)["reports"]
    assert "40% of the past replaced" in ed["about"] and "12 windows of 6 videos" in ed["about"]
    assert list(ed["rows"]) == ["2 most frequent", "last repeated", "past copied", "4-gram, 2 samples",
                                "prior, samples at 0.7", "prior, chosen"]  # fmt: skip
    figure = ed["rows"]["prior, chosen"]["ED@5 noun"]
    assert figure["low"] <= figure["value"] <= figure["high"] and figure["n"] == 12
    assert list(following["rows"]) == ["most frequent", "4-gram", "prior", "prior, balanced 0.5"]
    recall = {name: row["class-mean recall@5"]["value"] for name, row in following["rows"].items()}
    assert set(recall.values()) == {1.0}  # five actions in all
    assert following["rows"]["prior"]["NLL"]["value"] < following["rows"]["most frequent"]["NLL"]["value"]
    assert run([*asked, "--measure", "wer"]) == 2
    assert "--measure wer; accepted: ed, next" in capsys.readouterr().err
