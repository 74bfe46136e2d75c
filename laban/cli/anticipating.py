"""What `--lm`, `--goal`, `--captions` and `--examples` ask of `laban anticipate`: who tells the futures, and how."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from laban.errors import LabanError

if TYPE_CHECKING:
    from action_localization.anticipation.anticipator import Anticipator, Foreseen, History
    from action_localization.anticipation.language.backends import TextModel
    from action_localization.anticipation.language.prompts import Pool, Prompt

EMBEDDED = "embedded"
SHOTS = 8
GOALS = 5
"""Inferred goals that are named."""
KEY = "LABAN_LM_KEY"


@dataclass(frozen=True)
class Wording:
    """The options as they were given."""

    lm: str | None = None
    lm_model: str | None = None
    goal: str = ""
    plan: bool = False
    captions: Path | None = None
    examples: Path | None = None
    timeout: float = 60.0

    @property
    def told(self) -> bool:
        """Whether futures come as text, and not by the search of the embedded model."""
        return any((self.lm, self.plan, self.captions, self.examples))


def text_model(wording: Wording, anticipator: Anticipator, name: str) -> TextModel:
    """Who answers: the embedded model, a server by its URL, or a model's file or folder; answers are remembered."""
    from action_localization.anticipation.language.backends import Embedded, Remembered, Served
    from action_localization.anticipation.language.local import Local

    asked = wording.lm or EMBEDDED
    if asked.lower().startswith(("http://", "https://")):
        from models.text.chat import ChatServer

        server = ChatServer(asked, wording.lm_model or "default", os.environ.get(KEY) or None, wording.timeout)
        return Remembered(Served(server))
    if wording.lm_model is not None:
        raise LabanError(f"--lm-model {wording.lm_model}: names what a server serves; accepted with --lm URL")
    if asked == EMBEDDED:
        return Embedded(anticipator, name)
    if not Path(asked).exists():
        raise LabanError(f"--lm {asked}: is not there; accepted: {EMBEDDED}, a URL (http://…), a .gguf file, or a "
                         "transformers folder")  # fmt: skip
    return Remembered(Local(Path(asked)), tries=1)


def read_captions(path: Path | None, until: float) -> tuple[str, ...]:
    """The captions of a score's file (vtt, srt, csv …) that began before now."""
    if path is None:
        return ()
    from action_localization.anticipation.language.prompts import caption_lines
    from laban.scores import read_timelines

    timelines = read_timelines(path)
    if len(timelines) != 1:
        raise LabanError(f"--captions {path}: holds {len(timelines)} timelines; accepted: one")
    return caption_lines(next(iter(timelines.values())), until)


def foresee_by(
    wording: Wording, anticipator: Anticipator, name: str, history: History, *, count: int, length: int, seed: int
) -> tuple[Foreseen, list[str], list[dict[str, Any]]]:
    """(what comes next, what is to be said of it, inferred goals), by the embedded search or by a language model."""
    from action_localization.anticipation.anticipator import foresee
    from action_localization.anticipation.language.antgpt import INFER, Asking, prompt_for, tell
    from action_localization.anticipation.steered import steered

    if not wording.told and wording.goal != INFER:
        predictor = steered(anticipator, wording.goal) if wording.goal else None
        said = [f"goal: {wording.goal} (as asked)"] if wording.goal else []
        return foresee(anticipator, history, count=count, length=length, seed=seed, predictor=predictor), said, []
    if not 1 <= count <= 20 or not 1 <= length <= 100:
        raise LabanError(f"-k {count}, --next {length}; accepted: 1 to 20 futures of 1 to 100 actions")
    model = text_model(wording, anticipator, name)
    pool, goals = _pool(wording.examples, anticipator)
    asking = Asking(SHOTS if pool is not None else 0, wording.goal, wording.plan, goals=goals)
    observed = [anticipator.vocabulary.names[action] for action in history.actions]
    captions = read_captions(wording.captions, history.timeline.duration)
    prompt = prompt_for(model, anticipator, observed, length, asking, pool=pool, captions=captions)
    own = None
    notes: Sequence[str] = ()
    if wording.told:
        told = tell(model, anticipator, prompt, count, temperature=asking.temperature, seed=seed)
        own, notes = told.futures, told.notes
    try:
        predictor = steered(anticipator, prompt.goal)
    except LabanError:
        if not wording.told:
            raise
        predictor = anticipator.predictor  # only the language model knows the words of the goal
    found = foresee(anticipator, history, count=count, length=length, seed=seed, predictor=predictor, told=own)
    said = [f"futures by {model.identity}"] if wording.told else []
    inferred, likeliest = wording.goal == INFER, _goals(model, anticipator, prompt, asking)
    said += [f"goal: {prompt.goal} ({'inferred' if inferred else 'as asked'})"] if prompt.goal else []
    said += [_shown(likeliest)] if likeliest else []
    said += [f"whole procedure: {', '.join(prompt.plan)}"] if prompt.plan else []
    return found, [*said, *notes], likeliest


def _goals(model: TextModel, anticipator: Anticipator, prompt: Prompt, asking: Asking) -> list[dict[str, Any]]:
    """The likeliest goals where the embedded model inferred them; language models name one, without a probability."""
    from action_localization.anticipation.language.antgpt import INFER, goal_options
    from action_localization.anticipation.language.backends import Embedded

    if asking.goal != INFER or not prompt.observed or not isinstance(model, Embedded):
        return []
    found = model.goals(prompt, goal_options(anticipator, asking))[:GOALS]
    return [{"goal": name, "probability": chance, "by": model.recogniser.by} for name, chance in found]


def _shown(goals: Sequence[dict[str, Any]]) -> str:
    """What a person reads of them; what is below half a per cent is left out but for the first."""
    kept = [one for i, one in enumerate(goals) if i == 0 or one["probability"] >= 0.005]
    listed = ", ".join(f"{one['goal']} {100 * one['probability']:.0f} %" for one in kept)
    return f"goals: {listed} ({goals[0]['by']})"


def _pool(path: Path | None, anticipator: Anticipator) -> tuple[Pool | None, tuple[str, ...]]:
    """(examples of a set's training part, its goals)."""
    if path is None:
        return None, ()
    from action_localization.anticipation.language.prompts import pool_of
    from action_localization.anticipation.reports import training_part
    from action_localization.anticipation.sequences import read_sequences

    training = training_part(read_sequences(path)).over(anticipator.vocabulary)
    known = sum(action >= 0 for one in training.sequences for action in one.actions)
    if not known:
        size = len(anticipator.vocabulary)
        raise LabanError(f"--examples {path}: none of its actions is in the vocabulary of {size}")
    return pool_of(training), training.goals
