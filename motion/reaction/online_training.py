"""Teaching streaming primitives to see an actor: what is added to their denoiser learns from pairs, no more."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from models.body.model import OPEN_BODY, load_body
from models.body.skeleton import NUM_BODY
from models.data.pairs import Pair, mirrored, swap
from models.diffusion.denoiser import PARTNER, Condition
from models.diffusion.schedule import add_noise
from models.objectives import pair_vectors
from models.representation import pair, primitive
from models.representation.primitive import FUTURE, HISTORY
from models.resample import resample
from models.rotations import yaw_rotation
from models.text.encoder import TextEncoder, load_text_encoder
from models.training import fit, steps_done
from motion.primitives.frames import FPS
from motion.primitives.losses import RETURN, disturbance, drifted_posture, latent_terms, weighted
from motion.primitives.network import PrimitiveModel
from motion.reaction.batches import SHORTEST, WORDS, worded
from motion.reaction.features import points_of
from motion.reaction.online import PAST, STRIDE, partner_of, seen_frames
from motion.reaction.online_network import PRIMITIVES, load_live, new_live, save_live
from motion.reaction.training import LICENCE, ReactionTraining, optimisation, stage_card
from motion.training_data import TextNoise

ASTRAY = (0.2, 0.35)
"""Deviations, metres and radians, of a reactor who stands and faces where the data does not: roll-outs get there."""
BACK = 24
"""Frames in which somebody astray is back where the data is."""
NEAR, INTERACTION = 0.15, 2.0
"""Metres: the scale on which closeness counts; and what vectors between people weigh beside the primitive's terms."""
DROP = 0.15


@dataclass(frozen=True)
class Duet:
    """Two people at 30 fps; the reactor as rotations and pelvis."""

    actor_points: Float[Tensor, "frames 24 3"]
    actor_path: Float[Tensor, "frames 5"]
    rotations: Float[Tensor, "frames 22 3 3"]
    pelvis: Float[Tensor, "frames 3"]
    texts: tuple[str, ...]


@dataclass(frozen=True)
class Answers:
    """A training batch: two frames of the reactor, the eight after them, and the actor up to the second of the two."""

    rotations: Float[Tensor, "batch 10 22 3 3"]
    pelvis: Float[Tensor, "batch 10 3"]
    seen_points: Float[Tensor, "batch looked 24 3"]
    seen_path: Float[Tensor, "batch looked 5"]
    meanwhile: Float[Tensor, "batch 8 24 3"]
    """The actor's points in the frames that are made."""
    true: Float[Tensor, "batch 8 24 3"]
    """The reactor's points in those frames, where the data has them."""
    condition: Condition


def duets_of(pairs: Sequence[Pair]) -> list[Duet]:
    """Each pair four times: both roles, each with its mirror image."""
    body, found = load_body(OPEN_BODY), []
    for one in pairs:
        if one.motion.seconds < SHORTEST:
            continue
        for own in (one, swap(one), mirrored(one, body), swap(mirrored(one, body))):
            motion = resample(own.motion, FPS)
            points, path = seen_frames(motion.actor(0), body)
            rest = pair.rest_joints(motion, body)[1, 0].float()
            rotations = torch.from_numpy(np.asarray(motion.rotations[1, :, :NUM_BODY], np.float32))
            found.append(Duet(points, path, rotations, torch.from_numpy(motion.root[1].astype(np.float32)) + rest,
                              (own.text, *own.wordings)))  # fmt: skip
    return found


class AnswerBatches:
    """`batches(step)` is a function of (seed, step) alone."""

    def __init__(
        self, duets: Sequence[Duet], encoder: TextEncoder, rest: Float[Tensor, "55 3"], *, batch: int = 64,
        seed: int = 0,
    ) -> None:  # fmt: skip
        self.duets, self.encoder, self.rest, self.batch, self.seed = list(duets), encoder, rest, batch, seed
        self.sums, self.noise = np.cumsum([len(duet.pelvis) - HISTORY - FUTURE + 1 for duet in self.duets]), TextNoise()

    def __call__(self, step: int) -> Answers:
        """The batch of one training step."""
        rng = np.random.default_rng((self.seed, step))
        rows, texts = [], []
        for place in rng.integers(0, self.sums[-1], self.batch):
            index = int(np.searchsorted(self.sums, place, side="right"))
            duet = self.duets[index]
            rows.append(self._row(rng, duet, int(place - (self.sums[index - 1] if index else 0))))
            texts.append(worded(rng, duet.texts))
        columns = [torch.stack(values) for values in zip(*rows, strict=True)]
        condition = self.noise.disturb(self.encoder.encode(texts), rng)
        kept = Condition(condition.tokens[:, :WORDS], condition.mask[:, :WORDS], condition.sentence)
        names = [field.name for field in fields(Answers) if field.name != "condition"]
        return Answers(**dict(zip(names, columns, strict=True)), condition=kept)

    def _row(self, rng: np.random.Generator, duet: Duet, first: int) -> list[Tensor]:
        """Two frames and eight, by somebody who may be astray and on the way back; the actor is as it was."""
        frames = slice(first, first + HISTORY + FUTURE)
        now = first + HISTORY - 1
        past = torch.arange(now - PAST + 1, now + 1, STRIDE).clamp(min=0)
        rotations, pelvis = duet.rotations[frames], duet.pelvis[frames]
        points = points_of(rotations, pelvis, self.rest)
        tremble = 0.01 * torch.from_numpy(rng.standard_normal((len(past), 24, 3), np.float32))
        rotations, pelvis = _astray(rng, rotations, pelvis)
        return [rotations, pelvis, duet.actor_points[past] + tremble, duet.actor_path[past],
                duet.actor_points[frames][HISTORY:], points[HISTORY:]]  # fmt: skip


def _astray(rng: np.random.Generator, rotations: Tensor, pelvis: Tensor) -> tuple[Tensor, Tensor]:
    """Turned and moved about the reactor's own place by as much as is left of an error that fades within `BACK`."""
    strength = rng.random() ** 2
    since = rng.random() * BACK
    left = 1 - np.clip((since + np.arange(len(pelvis))) / BACK, 0, 1)
    share = torch.from_numpy((left * left * (3 - 2 * left) * strength).astype(np.float32))
    off = torch.from_numpy(rng.normal(0, ASTRAY[0], 2).astype(np.float32))
    turn = yaw_rotation(share * float(rng.normal(0, ASTRAY[1])))
    moved = torch.stack([share * off[0], torch.zeros_like(share), share * off[1]], -1)
    turned = torch.cat([(turn @ rotations[:, 0])[:, None], rotations[:, 1:]], 1)
    return turned, pelvis + moved


def live_loss(network: PrimitiveModel, batch: Answers, generator: torch.Generator) -> dict[str, Tensor]:
    """Latent regression with the terms of the frames it decodes to, and vectors between the people in these frames."""
    device = batch.pelvis.device
    with torch.autocast(device.type, enabled=False):
        place, history, future = _framed(network, batch, generator)
        seen = partner_of(batch.seen_points, batch.seen_path, place)
    with torch.no_grad():
        latent = network.latent_of(history, future)
    rows = len(latent)
    t = torch.randint(0, network.config.steps, (rows,), generator=generator, device=device)
    noise = torch.randn(latent.shape, generator=generator, device=device)
    drop = torch.rand(rows, generator=generator, device=device) < DROP
    known = torch.ones(seen.shape[:2], dtype=torch.bool, device=device)
    condition = network.seen(batch.condition.without_text(drop), history)
    condition = replace(condition, slots={**condition.slots, PARTNER: (seen, known)})
    predicted = network.denoiser(add_noise(network.schedule, latent, t, noise), t, condition)
    terms = latent_terms(network, predicted, latent, future, history)
    with torch.autocast(device.type, enabled=False):
        future = network.restore(network.future_of(predicted.float(), history.float()))
        made = points_of(*primitive.decode(future), network.rest)
        terms["interaction"] = _apart(made, batch, place)
    total = weighted({name: value for name, value in terms.items() if name != "interaction"})["loss"]
    return {**terms, "loss": total + INTERACTION * terms["interaction"]}


def _framed(
    network: PrimitiveModel, batch: Answers, generator: torch.Generator
) -> tuple[primitive.Placement, Tensor, Tensor]:
    """The primitive's frame, and in it history (disturbed) and future (which leads back), normalised."""
    drifted = drifted_posture(batch.rotations[:, :HISTORY], generator)
    place = primitive.placement(drifted, batch.pelvis[:, :HISTORY])
    frames = network.normalise(primitive.encode(*place.into(batch.rotations, batch.pelvis), network.rest))
    given, future = frames[:, :HISTORY], frames[:, HISTORY:]
    history = network.normalise(primitive.encode(*place.into(drifted, batch.pelvis[:, :HISTORY]), network.rest))
    history = history + disturbance(given, generator)
    future = future + RETURN.to(future)[:, None] * (history - given)[:, -1:]
    return place, history, future


def _apart(made: Float[Tensor, "batch 8 24 3"], batch: Answers, place: primitive.Placement) -> Tensor:
    """Vectors to the actor's points, in the primitive's frame, against the true ones."""
    origin = place.origin[:, None, None]
    other, true = ((points - origin) @ place.turn[:, None] for points in (batch.meanwhile, batch.true))
    return pair_vectors(made, other, true, other, scale=NEAR).mean()


def train_live(job: ReactionTraining, pairs: Sequence[Pair], *, steps: int, batch: int, quiet: bool = False) -> bool:
    """Train (or go on) and write `job.output/live`; False where time was up before the end."""
    torch.manual_seed(job.seed)
    network = new_live()
    if job.init is not None:
        network.load_state_dict(load_live(job.init).state_dict())
    batches = AnswerBatches(duets_of(pairs), load_text_encoder(network.config.text), network.rest, batch=batch,
                            seed=job.seed)  # fmt: skip
    config = optimisation("live", steps, job.seed, tuned=job.init is not None)
    network = fit(network.train(), live_loss, batches, config, job.run / "live", minutes=job.minutes,
                  progress=not quiet)  # fmt: skip
    if steps_done(job.run / "live") < steps:
        return False
    network.config = replace(network.config, licence=LICENCE)
    save_live(job.output / "live", network, stage_card(job, "live", pairs), primitives=PRIMITIVES,
              trained=tuple(one.name for one in pairs))  # fmt: skip
    return True
