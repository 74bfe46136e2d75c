"""Learned planners on a toy procedure, what they may look at, and goals recognised from traces of a planning domain."""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations
from pathlib import Path

import numpy as np
import pytest
import torch

from action_localization.anticipation.chains import learn_chains, plan_windows
from action_localization.anticipation.goal_training import (
    GoalTraces,
    GoalTraining,
    task_shares,
    task_traces,
    train_recogniser,
)
from action_localization.anticipation.goals import (
    GoalConfig,
    TaskBelief,
    expected_scores,
    facts,
    set_scores,
    task_scores,
)
from action_localization.anticipation.planners.diffusion import (
    MASKED_PDPP,
    MTID,
    PDPP,
    Columns,
    PlanDenoiser,
    denoise_plans,
    legal,
    plan_loss,
    project,
    step_weights,
)
from action_localization.anticipation.planners.given import (
    NOT_GIVEN,
    Given,
    components,
    feature_observations,
    step_vectors,
    text_embeddings,
    text_observations,
)
from action_localization.anticipation.planners.learn import (
    PlanData,
    PlanTraining,
    TaskClassifier,
    one_hot,
    task_steps,
    train_diffusion,
    train_viterbi,
)
from action_localization.anticipation.planners.report import PlanReport, plan_data, plan_table
from action_localization.anticipation.planners.rows import asked, by_viterbi, chain_rows, filler_rows, modal_rows
from action_localization.anticipation.planners.viterbi_net import (
    ViterbiConfig,
    ViterbiPlanner,
    log_partition,
    padded_chains,
    refine,
)
from action_localization.anticipation.sequences import ActionSequence, SequenceSet
from action_localization.anticipation.viterbi import best_batch, best_path, posterior
from action_localization.anticipation.vocabulary import Vocabulary
from laban.errors import LabanError
from laban.timeline import FrameGrid, Segment, Timeline
from models.features import Features

STEPS = tuple(f"step {i}" for i in range(9))
TASKS = {"tea": ((0, 1, 2, 3, 4), (0, 2, 1, 3, 4)), "soup": ((0, 5, 6, 7, 4), (5, 0, 6, 7, 8))}


def toy(videos: int = 12) -> SequenceSet:
    """Two tasks of two orders each, which share steps; a step lasts 2 s and begins every 3 s."""
    made = []
    for goal, orders in TASKS.items():
        for video in range(videos):
            order = orders[video % 3 == 0]
            segments = tuple(Segment(3.0 * i, 3.0 * i + 2, STEPS[step]) for i, step in enumerate(order))
            made.append(ActionSequence(f"{goal}{video}", Timeline(segments), order, goal))
    return SequenceSet("toy", Vocabulary(STEPS), tuple(made))


@pytest.fixture(scope="module")
def data() -> PlanData:
    training = toy()
    vectors = np.random.default_rng(0).standard_normal((len(STEPS), 8)).astype(np.float32)
    return plan_data(training, learn_chains(training), vectors, PlanReport(Path("."), lengths=(3, 4), noise=0.1))


def given(data: PlanData, length: int, ends: bool) -> tuple[np.ndarray, Given]:
    windows = data.windows[length]
    start, goal = data.observed[length].look(slice(None), np.random.default_rng(0))
    known = torch.from_numpy(windows.plans[:, [0, -1]]) if ends else torch.full((len(windows), 2), NOT_GIVEN)
    return windows.plans, Given(length, start, goal, one_hot(data.tasks(length), 2), known)


def network(data: PlanData, config=PDPP) -> PlanDenoiser:
    torch.manual_seed(3)
    config = replace(config, width=32, noise_steps=8)
    made = PlanDenoiser(config, Columns(2, len(STEPS), data.width), task_steps(data.chains)).eval()
    for block in made.blocks:
        torch.nn.init.ones_(block.norms[1].weight)
    return made


def test_projection_keeps_what_is_given_and_leaves_the_rest(data):
    columns = Columns(2, len(STEPS), data.width)
    _, some = given(data, 4, ends=True)
    x = torch.randn(len(some), 4, columns.total)
    once = project(x, some, columns)
    assert torch.equal(project(once, some, columns), once)
    assert torch.equal(once[:, 1:-1, columns.action], x[:, 1:-1, columns.action])
    assert torch.equal(once[:, 0, -data.width :], some.start) and (once[:, 1:-1, -data.width :] == 0).all()
    assert torch.equal(once[:, 2, :2], some.task) and (once[:, -1, columns.action].argmax(1) == some.ends[:, 1]).all()
    free = replace(some, ends=torch.full_like(some.ends, NOT_GIVEN))
    assert torch.equal(project(x, free, columns)[:, 0, columns.action], x[:, 0, columns.action])


def test_the_mask_comes_from_the_condition_alone(data):
    _, some = given(data, 3, ends=False)
    tea = data.chains.task("tea")
    steps = task_steps(data.chains)
    mask = legal(some, steps)
    assert torch.equal(mask[some.task.argmax(1) == tea][0], steps[tea]) and not mask.all()
    strange = replace(some, ends=torch.tensor([[8, 0]]).expand(len(some), 2))
    assert legal(strange, steps)[:, 8].all()
    net = network(data, MASKED_PDPP)
    for seed in range(2):  # whatever the noise, nothing outside the mask has a chance
        found = denoise_plans(net, some, torch.Generator().manual_seed(seed))
        assert found[~mask[:, None].expand_as(found)].max() < 1e-6


def test_masking_every_action_is_pdpp(data):
    plans, some = given(data, 4, ends=True)
    plain, masked = network(data, PDPP), network(data, MASKED_PDPP)
    masked.load_state_dict(plain.state_dict())
    masked.steps = torch.ones_like(masked.steps)
    both = [denoise_plans(one, some, torch.Generator().manual_seed(5)) for one in (plain, masked)]
    assert torch.equal(both[0], both[1])
    losses = [
        plan_loss(one, torch.from_numpy(plans), some, torch.Generator().manual_seed(5)) for one in (plain, masked)
    ]
    assert torch.equal(losses[0], losses[1])


def test_a_plan_does_not_depend_on_its_batch(data):
    _, some = given(data, 4, ends=False)
    net = network(data, MTID)
    assert net.path is not None
    whole = net.path(some.start, some.goal)
    alone = torch.cat([net.path(some.start[i : i + 1], some.goal[i : i + 1]) for i in range(5)])
    torch.testing.assert_close(whole[:5], alone)
    assert whole.shape == (len(some), MTID.blocks, 32) and not torch.allclose(whole[:, 0], whole[:, -1])
    full = denoise_plans(net, some, torch.Generator(), spread=0.0)
    torch.testing.assert_close(full[3:4], denoise_plans(net, some.rows(slice(3, 4)), torch.Generator(), spread=0.0))
    torch.testing.assert_close(full, denoise_plans(net, some, torch.Generator(), spread=0.0))  # DDIM: no other noise


def test_what_the_ends_count():
    assert step_weights(5, replace(PDPP, ends=10.0)).tolist() == [10, 1, 1, 1, 10]
    assert step_weights(5, replace(MTID, ends=6.0)).tolist() == [6, 3.5, 1, 3.5, 6]


def test_soft_viterbi_is_smooth_and_its_gradient_the_marginals():
    rng = np.random.default_rng(0)
    emissions, transitions = rng.standard_normal((2, 4, 3)), rng.standard_normal((2, 3, 3))
    soft = torch.from_numpy(emissions).requires_grad_()
    total = log_partition(soft, torch.from_numpy(transitions))
    total.sum().backward()
    assert soft.grad is not None
    for row in range(2):
        np.testing.assert_allclose(soft.grad[row].numpy(), posterior(emissions[row], transitions[row]), atol=1e-9)
    hard = best_batch(emissions, transitions)
    assert [one.tolist() for one in hard] == [best_path(e, t).states.tolist() for e, t in zip(emissions, transitions,
                                                                                              strict=True)]  # fmt: skip


def test_probabilities_of_all_plans_of_a_task_sum_to_one(data):
    _, some = given(data, 3, ends=False)
    net = ViterbiPlanner(ViterbiConfig(width=16), data.chains, data.width).eval()
    tea = data.chains.task("tea")
    own = data.chains.steps[tea].tolist()
    every = torch.tensor([(a, b, c) for a in own for b in own for c in own])
    row = int((some.task.argmax(1) == tea).nonzero()[0])
    one = some.rows(torch.full((len(every),), row))
    with torch.no_grad():
        assert net.log_probability(one, every).exp().sum().item() == pytest.approx(1, abs=1e-4)
        outside = torch.tensor([[own[0], 8, own[1]]])
        assert net.log_probability(one.rows(slice(0, 1)), outside).item() < -1e8


def test_learners_solve_the_toy_procedure(data, tmp_path):
    diffusion = train_diffusion(data, replace(MTID, width=32, noise_steps=20), PlanTraining(tmp_path / "d", 100))
    viterbi = train_viterbi(data, ViterbiConfig(width=32), PlanTraining(tmp_path / "v", 50))
    again = train_viterbi(data, ViterbiConfig(width=32), PlanTraining(tmp_path / "v", 50))  # found, not trained
    plans, some = given(data, 4, ends=True)
    modal = modal_rows(data.chains, data.tasks(4), 4)
    lookup = filler_rows(data.chains, data.tasks(4), plans[:, [0, -1]], 4)
    best = float((lookup == plans).all(1).mean())
    found = denoise_plans(diffusion, some, torch.Generator(), spread=0.0).argmax(2).numpy()
    assert (found == plans).all(1).mean() >= best > (modal == plans).all(1).mean() + 0.2
    assert (viterbi.plan(some) == plans).all(1).mean() >= best
    np.testing.assert_array_equal(viterbi.plan(some), again.plan(some))
    both = chain_rows(data.chains, data.tasks(4), plans[:, [0, -1]], 4, by_viterbi(viterbi, some), 5.0)
    assert (both == plans).all(1).mean() >= best
    _, unseen = given(data, 4, ends=False)
    found = denoise_plans(diffusion, unseen, torch.Generator(), spread=0.0).argmax(2).numpy()
    assert (found == plans).all(1).mean() > (modal == plans).all(1).mean()


def test_refining_follows_the_chain_where_rows_are_unsure(data):
    tea = data.chains.task("tea")
    odds = np.full((1, 3, len(STEPS)), -3.0)
    odds[0, 0, 0] = odds[0, 2, 2] = 0.0
    assert refine(odds, np.array([tea]), padded_chains(data.chains), 1.0).tolist() == [[0, 1, 2]]
    odds[0, 1, 8] = 5.0  # sure of something that the task has not
    assert refine(odds, np.array([tea]), padded_chains(data.chains), 1.0)[0, 1] == 8


def test_the_table_has_every_row_and_resumes(tmp_path):
    training = toy()
    vectors = step_vectors(training.vocabulary, {name: np.eye(9, dtype=np.float32)[i] for i, name in enumerate(STEPS)})
    report = PlanReport(tmp_path, lengths=(3,), seeds=1, steps=12, noise=0.5, planners=("PDPP", "ViterbiPlanNet-like"))
    rows = list(plan_table(training, toy(5), vectors, report))
    names = [row.name for row in rows if row.inputs == "ends"]
    assert [name.partition(" (")[0] for name in names] == [
        "modal plan of the task", "filler lookup", "n-gram chain + Viterbi", "counts and chain", "PDPP",
        "PDPP + Viterbi", "counts, chain and PDPP", "ViterbiPlanNet-like",
        "counts, chain and ViterbiPlanNet-like"]  # fmt: skip
    assert all(0 <= row.figures["SR"].low <= row.figures["SR"].high <= 100 for row in rows)
    assert list(plan_table(training, toy(5), vectors, report)) == rows


def test_an_unknown_task_gets_the_likeliest_known_one(data):
    strange = replace(toy(3), sequences=tuple(replace(one, goal="knit") for one in toy(3).sequences))
    windows = {3: plan_windows(strange, 3)}
    assert data.vectors is not None
    other = PlanData(data.chains, windows, {3: text_observations(windows[3], data.vectors)}, data.vectors)
    assert (other.tasks(3) == -1).all()
    classifier = TaskClassifier(data.width, 2).eval()
    with torch.no_grad():
        classifier.net[-1].bias[1] = 100.0
    found = asked(other, 3, "ends", classifier)
    assert (found.tasks == 1).all() and (found.nearest[found.back] == windows[3].plans[:, [0, -1]]).all()
    with pytest.raises(LabanError, match="training windows without a task"):
        train_viterbi(other, ViterbiConfig(), PlanTraining(Path("nowhere"), 1))


def test_features_of_a_users_own_are_observations():
    training = toy(1)
    windows = plan_windows(training, 4)
    grid = FrameGrid(1.0, 20)
    rows = {one.name: Features(np.arange(20, dtype=np.float32)[:, None], grid, "toy") for one in training.sequences}
    start, goal = feature_observations(windows, training, rows)
    assert start[0].tolist() == [0, 1, 2] and start[1].tolist() == [3, 4, 5]
    assert goal[0].tolist() == [9, 10, 11]  # the fourth step ends at 11: from two seconds before
    short = plan_windows(training, 7)  # padded by the first step: the padding looks like it
    assert feature_observations(short, training, rows)[0][0].tolist() == [0, 1, 2]
    with pytest.raises(LabanError, match="has no features"):
        feature_observations(windows, training, {})


def test_components_have_unit_mean_square():
    rows = np.random.default_rng(0).standard_normal((50, 6)) * np.array([9, 5, 3, 1, 1, 1e-12])
    found = components(rows.astype(np.float64))(rows)
    assert found.shape == (50, 5) and (found**2).mean() == pytest.approx(1, rel=1e-3)


def test_steps_without_an_embedding_are_named(tmp_path):
    with pytest.raises(LabanError, match="1 steps have no text embedding, such as 'step 8'"):
        step_vectors(Vocabulary(STEPS), {name: np.zeros(4, np.float32) for name in STEPS[:8]})
    np.savez(tmp_path / "e.npz", niv_vec=np.zeros((2, 4), np.float32), niv_ids=np.arange(2), coin_text="{}")
    with pytest.raises(LabanError, match="has no steps of coin; accepted: niv"):
        text_embeddings(tmp_path / "e.npz", "coin")
    with pytest.raises(LabanError, match=r"niv.json: cannot be read"):
        text_embeddings(tmp_path / "e.npz", "niv")


def logistics(packages: int = 3, places: int = 3) -> tuple[list[np.ndarray], np.ndarray]:
    """Plans of a small STRIPS domain: bring every package to its place. Actions are load p / drive to q / unload p at
    q; propositions are at(p, q)."""
    traces, truths = [], []
    rng = np.random.default_rng(0)
    for goal in np.ndindex(*(places,) * packages):
        for order in permutations(range(packages)):
            if rng.random() < 0.7:
                trace, truth = [], np.zeros(packages * places, np.float32)
                for p in order:
                    trace += [p, packages + goal[p], packages + places + p * places + goal[p]]
                    truth[p * places + goal[p]] = 1
                traces.append(np.array(trace, np.int64))
                truths.append(truth)
    return traces, np.stack(truths)


def test_goals_of_a_planning_domain(tmp_path):
    traces, truths = logistics()
    train = np.arange(len(traces)) % 4 != 0
    data = GoalTraces(15, tuple(t for t, chosen in zip(traces, train, strict=True) if chosen), truths[train])
    net = train_recogniser(data, GoalTraining(tmp_path, 160, 24), GoalConfig(32, 48, 0.0))
    held = [traces[i] for i in np.flatnonzero(~train)]
    candidates = np.unique(truths, axis=0)  # every combination of places, none of them a class of the network
    truth = np.array([int((candidates == row).all(1).argmax()) for row in truths[~train]])
    scores = [set_scores(facts(net, [t[:seen] for t in held]), candidates) for seen in (3, 8, 9)]
    right = [float((one.argmax(1) == truth).mean()) for one in scores]
    assert right[0] < 0.3 < 0.6 < right[1] and right[2] > 0.9  # from the third drive on nothing is left to guess
    both = facts(net, held[:4])
    np.testing.assert_allclose(both[1:2], facts(net, held[1:2]), atol=1e-5)
    with pytest.raises(LabanError, match="an empty one"):
        train_recogniser(replace(data, traces=(np.zeros(0, np.int64),)), GoalTraining(tmp_path / "x", 1))


def test_goals_of_tasks(tmp_path):
    training = toy()
    chains = learn_chains(training)
    data = task_traces(training, chains)
    shares = task_shares(data, 2)
    assert shares[chains.task("soup")][6] == 1 and shares[chains.task("tea")][6] == 0
    net = train_recogniser(data, GoalTraining(tmp_path, 60, 16))
    posterior = np.stack([chains.posterior(t) for t in data.traces])
    truth = data.truths[:, data.actions :].argmax(1)
    for belief in (TaskBelief(), TaskBelief(0, 1, 0), TaskBelief(1, 0.3, 1)):
        assert (task_scores(facts(net, list(data.traces)), shares, posterior, belief).argmax(1) == truth).all()
    even = expected_scores(np.zeros((1, 2)), np.array([[1.0, 0.0], [0.5, 0.5]]))
    np.testing.assert_allclose(even, 2 * np.log(0.5))
