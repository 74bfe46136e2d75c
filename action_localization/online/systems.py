"""The online systems as the table of regimes fits and runs them: MATR, OAT, HAT, ActionSwitch, and a horizon."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from action_localization.online.hat import HAT, HATConfig, hat_loss
from action_localization.online.horizon import Horizon, HorizonConfig, Offline
from action_localization.online.learning import THRESHOLDS, choose_threshold, learnt, recorded, training_videos
from action_localization.online.matr import MATR, MATRConfig, matr_loss
from action_localization.online.suppressor import Heard, SuppressorBatches, suppressor_loss
from action_localization.online.switch import ActionSwitch, ActionSwitchConfig, switch_loss
from action_localization.regimes.streams import RegimeSet
from action_localization.spine.batches import TrainingVideo
from models.training import fit_whole

_HEARD = 12
"""Training streams that a suppressor learns from."""


def fit_matr(
    data: RegimeSet, config: MATRConfig, folder: Path, *, seed: int, quiet: bool = True, choose: bool = True,
    deadline: float | None = None,
) -> MATR:  # fmt: skip
    """Learn MATR, and choose the score from which it speaks on the tuning streams."""
    config = replace(config, moments=replace(config.moments, past=config.memory * config.window, block=config.window,
                                             ahead=config.ahead, back=config.back))  # fmt: skip
    torch.manual_seed(seed)
    network = MATR(config, data.width, data.classes)
    network = learnt(network, matr_loss, data, config, folder, seed=seed, quiet=quiet, deadline=deadline)
    if choose:
        choose_threshold(network, data.tune, THRESHOLDS)
    return network


def fit_hat(
    data: RegimeSet, config: HATConfig, folder: Path, *, seed: int, quiet: bool = True, choose: bool = True,
    deadline: float | None = None,
) -> HAT:  # fmt: skip
    """Learn HAT (or OAT), then its suppressor on what it says of training streams, then its threshold."""
    config = replace(config, moments=replace(config.moments, past=config.rows))
    torch.manual_seed(seed)
    network = HAT(config, data.width, data.classes)
    network = learnt(network, hat_loss, data, config, folder, seed=seed, quiet=quiet, deadline=deadline)
    said = recorded(network, data.train[:_HEARD])
    streams = [heard(one, video) for one, video in zip(said.values(), training_videos(data), strict=False)]
    batches = SuppressorBatches(streams, config.suppressor, seed)
    network.suppressor.requires_grad_(True).train()
    network.suppressor = fit_whole(network.suppressor, suppressor_loss, batches,
                                   replace(config.suppressor.training, seed=seed), folder / "suppressor",
                                   deadline=deadline, progress=not quiet)  # fmt: skip
    if choose:
        choose_threshold(network, data.tune, THRESHOLDS)
    return network


def heard(said: Sequence[dict[str, Tensor]], video: TrainingVideo) -> Heard:
    """What a trained network said at every row of a stream (and at its end, which does not count), beside the truth."""
    scores, spans = (torch.stack([out[name] for out in said[:-1]]).double().numpy() for name in ("score", "spans"))
    at = np.arange(len(scores))[:, None, None] + 0.5
    return Heard(scores, spans + at, video.segments.astype(np.float64), video.labels)


def fit_switch(
    data: RegimeSet, config: ActionSwitchConfig, folder: Path, *, seed: int, quiet: bool = True, choose: bool = True,
    deadline: float | None = None,
) -> ActionSwitch:  # fmt: skip
    """Learn ActionSwitch: stretches of one block each; the threshold of the class is chosen on the tuning streams."""
    torch.manual_seed(seed)
    network = ActionSwitch(config, data.width, data.classes)
    network = learnt(network, switch_loss, data, config, folder, seed=seed, quiet=quiet, deadline=deadline)
    if choose:
        choose_threshold(network, data.tune, (0.0, *THRESHOLDS))
    return network


def fit_horizon(data: RegimeSet, offline: Offline, config: HorizonConfig, *, choose: bool = True) -> Horizon:
    """An offline detector behind a horizon, with the threshold chosen on the tuning streams."""
    network = Horizon(offline, data.width, data.classes, config)
    if choose:
        choose_threshold(network, data.tune, THRESHOLDS)
    return network
