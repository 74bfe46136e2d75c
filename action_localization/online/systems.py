"""The online systems as the table of regimes fits and runs them: MATR, OAT, HAT, ActionSwitch, and a horizon."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from action_localization.online.hat import HAT, HATConfig, hat_loss
from action_localization.online.horizon import Horizon, HorizonConfig, Offline
from action_localization.online.learning import THRESHOLDS, choose_threshold, learnt, training_videos
from action_localization.online.matr import MATR, MATRConfig, matr_loss
from action_localization.online.suppressor import Heard, SuppressorBatches, suppressor_loss
from action_localization.online.switch import ActionSwitch, ActionSwitchConfig, switch_loss
from action_localization.regimes.streams import RegimeSet
from action_localization.spine.batches import TrainingVideo
from models.training import fit_whole

_HEARD = 12
"""Training streams that a suppressor learns from."""
_AT_ONCE = 128


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
    if config.rule == "osn":
        streams = [heard(network, video) for video in training_videos(data)[:_HEARD]]
        training = replace(config.suppressor.training, seed=seed)
        batches = SuppressorBatches(streams, config.suppressor, seed)
        network.suppressor.requires_grad_(True).train()
        network.suppressor = fit_whole(network.suppressor, suppressor_loss, batches, training, folder / "suppressor",
                                       deadline=deadline, progress=not quiet)  # fmt: skip
    if choose:
        choose_threshold(network, data.tune, THRESHOLDS)
    return network


@torch.inference_mode()
def heard(network: HAT, video: TrainingVideo) -> Heard:
    """What a trained network says at every row of a stream."""
    rows, count = network.rows, len(video.values)
    padded = F.pad(torch.from_numpy(np.ascontiguousarray(video.values)), (0, 0, rows - 1, 0))
    windows = padded.unfold(0, rows, 1).transpose(1, 2)
    real = torch.arange(rows) >= rows - 1 - torch.arange(count)[:, None]
    found = [network.step(windows[i : i + _AT_ONCE], real[i : i + _AT_ONCE],
                          {"scores": torch.zeros(len(real[i : i + _AT_ONCE]), *network.fresh()["scores"].shape)})[0]
             for i in range(0, count, _AT_ONCE)]  # fmt: skip
    scores, spans = (torch.cat([out[name] for out in found]).numpy().astype(np.float64) for name in ("score", "spans"))
    return Heard(scores, spans + np.arange(count)[:, None, None] + 0.5, video.segments.astype(np.float64), video.labels)


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
