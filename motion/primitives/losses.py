"""What primitive networks are trained on: reconstruction, denoising and distillation, each with geometric terms."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from models.body.skeleton import JOINT, JOINT_NAMES, NUM_BODY
from models.diffusion.denoiser import Condition
from models.diffusion.schedule import add_noise
from models.representation import primitive
from models.representation.primitive import FUTURE, HISTORY
from models.rotations import axis_angle_to_matrix
from motion.primitives.data import Sequences, windows_of
from motion.primitives.network import PrimitiveModel

Truth = tuple[Tensor, Tensor, Tensor]
"""History, future (normalised, of the data) and history to go on from, which may be predicted."""


@dataclass(frozen=True)
class PrimitiveWeights:
    """Weights of the terms of the reconstruction; decimetres, so that all are of order one."""

    frames: float = 1.0
    """Huber loss of normalised features."""
    joints: float = 4.0
    """Squared error, dm2, of the joints by forward kinematics, which is what one sees."""
    agreement: float = 1.0
    """The same between the joints by forward kinematics and those that the columns state."""
    velocity: float = 40.0
    """Squared error, (dm / frame)2, of the change of joints per frame, from the last history frame on."""
    skate: float = 0.6
    """Speed, dm / frame, of feet that rest in the data."""
    kl: float = 1e-4
    rest_speed: float = 0.005
    """Metres a frame below which a foot rests."""


WEIGHTS = PrimitiveWeights()
HISTORY_NOISE, HISTORY_DRIFT = 0.02, 0.1
"""Deviations of noise on the normalised history that networks learn from: of each frame's own, and of what both frames
share, as in a roll-out that has drifted (a row's share of it is a random number from 0 to 1, squared)."""
HEIGHT_DRIFT = 0.5
"""The same of what both frames share in the height of the pelvis, which roll-outs lose first: some 8 cm."""
POSTURE_DRIFT = {
    "pelvis": 9.0, "spine1": 5.0, "spine2": 4.0, "spine3": 5.0, "neck": 7.0, "head": 7.0, "hip": 5.0, "knee": 5.0,
    "ankle": 5.0, "foot": 2.0, "collar": 3.0, "shoulder": 8.0, "elbow": 8.0, "wrist": 5.0,
}  # fmt: skip
"""Degrees (deviation, about each axis) that both frames share in how joints are turned: postures that roll-outs come to
in minutes, such as leaning back, from which the way back has to be learnt."""
_U = torch.arange(1, FUTURE + 1) / FUTURE
RETURN = 1 - _U * _U * (3 - 2 * _U)
"""Share of the history's deviation from the data that is wanted of each future frame: a gentle way back, not a jump."""
HIPS = [JOINT["left_hip"], JOINT["right_hip"]]
OWN_NOISE = (0.7, 0.3)
"""Noise, as shares of the schedule, from which predicted histories are made: the data as the network would do it. From
pure noise, as in DART, it does something else, after which the rest of the data is no sensible way to go on."""


def vae_loss(network: PrimitiveModel, batch: Sequences, generator: torch.Generator) -> dict[str, Tensor]:
    """Reconstruction of every primitive of a sequence, some from the network's own frames (DART 3.2 and 3.4)."""
    totals: dict[str, Tensor] = {}
    for truth in _unrolled(network, batch, generator, own=_reconstructed):
        _, future, history = truth
        mean, log_variance = network.vae.encode(history, future)
        noise = torch.randn(mean.shape, generator=generator, device=mean.device)
        predicted = network.vae.decode(mean + noise * (0.5 * log_variance).exp(), history)
        with torch.autocast(mean.device.type, enabled=False):
            terms = _frame_terms(network, predicted.float(), future, history)
            terms["kl"] = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).mean()
        _add(totals, terms, batch.second.shape[1])
    return weighted(totals)


def denoiser_loss(
    network: PrimitiveModel, batch: Sequences, generator: torch.Generator, *, drop: float = 0.1
) -> dict[str, Tensor]:
    """Latent regression (x0) with the terms of the frames it decodes to (DART 3.3); the VAE is held fixed."""
    totals: dict[str, Tensor] = {}
    for k, (_, future, history) in enumerate(_unrolled(network, batch, generator, own=_denoise_own(generator))):
        with torch.no_grad():
            latent = network.latent_of(history, future)
        rows = len(latent)
        t = torch.randint(0, network.config.steps, (rows,), generator=generator, device=latent.device)
        noise = torch.randn(latent.shape, generator=generator, device=latent.device)
        dropped = torch.rand(rows, generator=generator, device=latent.device) < drop
        condition = network.seen(text_rows(batch, k).without_text(dropped), history)
        predicted = network.denoiser(add_noise(network.schedule, latent, t, noise), t, condition)
        _add(totals, latent_terms(network, predicted, latent, future, history), batch.second.shape[1])
    return weighted(totals)


def latent_terms(
    network: PrimitiveModel, predicted: Tensor, latent: Tensor, future: Tensor, history: Tensor
) -> dict[str, Tensor]:
    """Squared error of a latent and the terms of the frames it means."""
    decoded = network.future_of(predicted, history)
    with torch.autocast(latent.device.type, enabled=False):
        terms = _frame_terms(network, decoded.float(), future, history)
        terms["latent"] = F.mse_loss(predicted.float(), latent.float())
    return terms


def text_rows(batch: Sequences, k: int) -> Condition:
    """The texts of primitive `k`."""
    rows = batch.texts_of(k)
    condition = batch.condition
    return Condition(condition.tokens[rows], condition.mask[rows], condition.sentence[rows])


def _unrolled(
    network: PrimitiveModel, batch: Sequences, generator: torch.Generator,
    own: Callable[[PrimitiveModel, Sequences, int, Tensor, Tensor], Tensor],
) -> Iterator[Truth]:  # fmt: skip
    """Each primitive of the sequences in turn; from the second on, some rows go on from what `own` made before."""
    previous: Tensor | None = None
    count = batch.second.shape[1]
    for k in range(count):
        rotations, pelvis = windows_of(batch, k)
        kept = torch.zeros(len(pelvis), dtype=torch.bool, device=pelvis.device)
        if previous is not None:
            kept = torch.rand(len(pelvis), generator=generator, device=pelvis.device) < batch.own
        drifted = torch.where(kept[:, None, None, None, None], rotations[:, :HISTORY],
                              drifted_posture(rotations[:, :HISTORY], generator))  # fmt: skip
        place = primitive.placement(drifted, pelvis[:, :HISTORY])
        frames = network.normalise(primitive.encode(*place.into(rotations, pelvis), network.rest))
        given, future = frames[:, :HISTORY], frames[:, HISTORY:]
        history = network.normalise(primitive.encode(*place.into(drifted, pelvis[:, :HISTORY]), network.rest))
        history = history + disturbance(given, generator)
        if previous is not None:
            history = torch.where(kept[:, None, None], previous, history)
        future = future + RETURN.to(future)[:, None] * (history - given)[:, -1:]
        yield given, future, history
        previous = None
        if k + 1 < count and float(batch.own) > 0:
            with torch.no_grad():
                previous = carried_on(network, own(network, batch, k, history, future))


def drifted_posture(
    rotations: Float[Tensor, "batch frames 22 3 3"], generator: torch.Generator
) -> Float[Tensor, "batch frames 22 3 3"]:
    """The same frames by somebody who leans, whose feet stay as they were; `POSTURE_DRIFT` says how much."""
    names = [name.removeprefix("left_").removeprefix("right_") for name in JOINT_NAMES[:NUM_BODY]]
    degrees = torch.tensor([POSTURE_DRIFT[name] for name in names], device=rotations.device)
    shape = (len(rotations), 1, NUM_BODY, 3)
    angle = torch.randn(shape, generator=generator, device=rotations.device) * torch.deg2rad(degrees)[:, None]
    angle[:, :, 0, 1] = 0  # where the pelvis is headed, is forward
    angle *= torch.rand(len(rotations), 1, 1, 1, generator=generator, device=rotations.device) ** 2
    turn = axis_angle_to_matrix(angle)
    legs = rotations[:, :, 0, None] @ rotations[:, :, HIPS]
    pelvis = turn[:, :, 0] @ rotations[:, :, 0]
    drifted = rotations @ turn
    drifted[:, :, HIPS] = pelvis[:, :, None].transpose(-1, -2) @ legs @ turn[:, :, HIPS]
    drifted[:, :, 0] = pelvis
    return drifted


def disturbance(history: Tensor, generator: torch.Generator) -> Tensor:
    """What is added to a normalised history: noise of each frame, and what both frames share (`HISTORY_DRIFT`)."""
    noise = torch.randn(history.shape, generator=generator, device=history.device)
    drift = torch.randn(history[:, :1].shape, generator=generator, device=history.device)
    drift *= torch.rand(len(history), 1, 1, generator=generator, device=history.device) ** 2
    drift[..., [0, 2]] = 0  # where the newest frame is, is the origin
    drift[..., 1] *= HEIGHT_DRIFT / HISTORY_DRIFT
    return HISTORY_NOISE * noise + HISTORY_DRIFT * drift


def carried_on(network: PrimitiveModel, future: Float[Tensor, "batch 8 198"]) -> Float[Tensor, "batch 2 198"]:
    """The last two of normalised frames as the next primitive's normalised history."""
    rotations, pelvis = primitive.decode(network.restore(future[:, -HISTORY:].float()))
    local = primitive.placement(rotations, pelvis).into(rotations, pelvis)
    return network.normalise(primitive.encode(*local, network.rest))


def _reconstructed(network: PrimitiveModel, batch: Sequences, k: int, history: Tensor, future: Tensor) -> Tensor:
    return network.vae.decode(network.vae.encode(history, future)[0], history)


def _denoise_own(generator: torch.Generator) -> Callable[[PrimitiveModel, Sequences, int, Tensor, Tensor], Tensor]:
    def own(network: PrimitiveModel, batch: Sequences, k: int, history: Tensor, future: Tensor) -> Tensor:
        condition, latent = network.seen(text_rows(batch, k), history), network.latent_of(history, future)
        noise = torch.randn(latent.shape, generator=generator, device=history.device)
        for share in OWN_NOISE:
            t = torch.full((len(history),), round(share * network.config.steps), device=history.device)
            latent = network.denoiser(add_noise(network.schedule, latent, t, noise), t, condition)
        return network.future_of(latent, history)

    return own


def _frame_terms(network: PrimitiveModel, predicted: Tensor, future: Tensor, history: Tensor) -> dict[str, Tensor]:
    """Terms of `PrimitiveWeights` between normalised frames (batch, 8, 198)."""
    made, wanted = network.restore(predicted), network.restore(future)
    before = 10 * primitive.joints_of(network.restore(history[:, -1:].float()))
    rotations, pelvis = primitive.decode(made)
    stated, truth = 10 * primitive.joints_of(made), 10 * primitive.joints_of(wanted)
    solved = 10 * primitive.joints_of(primitive.encode(rotations, pelvis, network.rest))
    steps, true_steps = torch.cat([before, solved], 1).diff(dim=1), torch.cat([before, truth], 1).diff(dim=1)
    feet = [7, 8, 10, 11]
    resting = true_steps[:, 1:, feet].norm(dim=-1) < 10 * WEIGHTS.rest_speed
    speed = (steps[:, 1:, feet].square().sum(-1) + 1e-4).sqrt() - 0.01
    return {
        "frames": F.smooth_l1_loss(predicted, future),
        "joints": F.mse_loss(solved, truth),
        "agreement": F.mse_loss(stated, solved),
        "velocity": F.mse_loss(steps, true_steps),
        "skate": (speed * resting).mean(),
    }


def _add(totals: dict[str, Tensor], terms: dict[str, Tensor], count: int) -> None:
    for name, value in terms.items():
        totals[name] = totals.get(name, torch.zeros((), device=value.device)) + value / count


def weighted(terms: dict[str, Tensor]) -> dict[str, Tensor]:
    """The terms with their weighted sum, `loss` (`PrimitiveWeights`; 1 for what is not named there)."""
    total = sum((getattr(WEIGHTS, name, 1.0) * value for name, value in terms.items()), torch.zeros(()))
    return {"loss": total, **terms}
