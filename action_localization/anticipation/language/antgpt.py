"""AntGPT and LALM: from a history by a prompt to futures; goals are inferred or said, the procedure may be planned."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Int64
from numpy import ndarray

from action_localization.anticipation.anticipator import Anticipator
from action_localization.anticipation.language.answers import legal_actions
from action_localization.anticipation.language.backends import TextModel
from action_localization.anticipation.language.prompts import Pool, Prompt
from action_localization.anticipation.rollout import sample_futures
from action_localization.anticipation.steered import steered
from laban.errors import LabanError

INFER = "infer"
QUESTION = "What is this person's goal?"


@dataclass(frozen=True)
class Asking:
    """How a language model is asked. `shots` examples from a pool (LALM: 8; AntGPT's zero-shot form: none); `goal` is
    said (also a counterfactual one), `INFER`red from the history, or "" for none; `plan` asks for the whole procedure
    before the future (a chain of thought)."""

    shots: int = 0
    goal: str = ""
    plan: bool = False
    temperature: float = 0.7
    goals: tuple[str, ...] = ()
    """What an inferred goal is chosen from."""


@dataclass(frozen=True)
class Told:
    """Futures as a model told them, most of them its own (`answered`), with what it took for the goal and the plan."""

    futures: Int64[ndarray, "count length"]
    answered: int
    goal: str
    plan: tuple[str, ...]
    notes: tuple[str, ...]


def prompt_for(
    model: TextModel, anticipator: Anticipator, observed: Sequence[str], length: int, asking: Asking, *,
    pool: Pool | None = None, captions: Sequence[str] = (),
) -> Prompt:  # fmt: skip
    """The prompt of a history: goal inferred bottom-up where that is asked, examples chosen, the procedure planned."""
    prompt = Prompt(anticipator.vocabulary, tuple(observed), length, captions=tuple(captions))
    goal = asking.goal
    if goal == INFER:
        options = goal_options(anticipator, asking)
        goal = model.choose(prompt, QUESTION, options) if observed else ""
    prompt = replace(prompt, goal=goal)
    if pool is not None and asking.shots:
        prompt = replace(prompt, examples=pool.nearest(prompt.observed, asking.shots, goal=goal))
    if asking.plan:
        whole = legal_actions(model.write(prompt, 0, 0.1), anticipator.vocabulary, model.identity)
        prompt = replace(prompt, plan=tuple(anticipator.vocabulary.names[a] for a in whole[:length]))
    return prompt


def goal_options(anticipator: Anticipator, asking: Asking) -> tuple[str, ...]:
    """What an inferred goal is one of; LabanError where no goals are known."""
    options = asking.goals or (anticipator.chains.tasks if anticipator.chains is not None else ())
    if not options:
        raise LabanError("--goal infer: no goals are known to choose from; accepted: a checkpoint or --examples "
                         "with tasks, or a goal in words")  # fmt: skip
    return options


def tell(
    model: TextModel, anticipator: Anticipator, prompt: Prompt, count: int, *, temperature: float = 0.7, seed: int = 0
) -> Told:
    """`count` different futures. Answers are read as legal actions; what is missing of one, or of `count` after twice
    as many draws, the embedded action model goes on with, and a note says so.

    A failure after the first answer keeps what was answered; LabanError where there was none at all.
    """
    found: list[tuple[int, ...]] = []
    notes: list[str] = []
    short = 0
    for draw in range(2 * count):
        if len(found) == count:
            break
        try:
            answer = model.write(prompt, seed * 1000 + draw, temperature)
            actions = legal_actions(answer, prompt.vocabulary, model.identity)[: prompt.length]
        except LabanError as error:
            if not found:
                raise
            notes.append(f"{error}; {len(found)} of {count} futures were answered and are kept")
            break
        if actions not in found:
            found.append(actions)
            short += len(actions) < prompt.length
    answered = len(found)
    if short:
        notes.append(f"{short} answers were shorter than {prompt.length} actions: the embedded model goes on with them")
    if answered < count:
        notes.append(f"{count - answered} of {count} futures are the embedded model's")
    found += [()] * (count - answered)
    rng = np.random.default_rng(seed)
    filled = [_filled(anticipator, prompt, actions, rng) for actions in found]
    return Told(np.stack(filled), answered, prompt.goal, prompt.plan, tuple(notes))


def _filled(anticipator: Anticipator, prompt: Prompt, actions: tuple[int, ...],
            rng: np.random.Generator) -> Int64[ndarray, " length"]:  # fmt: skip
    begun = np.array(actions, np.int64)
    missing = prompt.length - len(begun)
    if not missing:
        return begun
    try:
        predictor = steered(anticipator, prompt.goal)
    except LabanError:  # a goal in words that only the language model knows
        predictor = anticipator.predictor
    past = np.concatenate([prompt.history, begun])
    return np.concatenate([begun, sample_futures(predictor, past, 1, missing, rng=rng, temperature=0.7)[0]])
