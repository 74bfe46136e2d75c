"""`load_motion_text`: the trained motion-text encoder behind a small interface."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from numpy import ndarray

from laban.config import from_dict
from laban.errors import LabanError
from laban.weights import find_weights, load_module, load_weights
from models.devices import fast_inference
from models.motion import Motion
from models.motion_text.features import features_of
from models.motion_text.known import Known, take_known
from models.motion_text.network import MotionOutput, MotionText, Sizes, pad_clips
from models.text.encoder import TextEncoder, load_text_encoder

LONGEST = 200
"""Frames (10 s) of a motion that are read; a longer one is cut into equal windows whose answers are averaged."""

Clips = Sequence[Motion | Float[ndarray, "_ 133"]]


@dataclass(frozen=True)
class MotionTextEncoder:
    """Motion and text on one 256-d unit sphere, and an action classifier.

    Motions are `Motion`s of one actor, or joint features (frames, 133) as `models.motion_text.features` makes them.
    """

    network: Any
    text: TextEncoder
    actions: tuple[str, ...]
    config: dict[str, Any]
    known: Known | None = None

    def embed_motion(self, motions: Clips, *, batch: int = 32) -> Float[ndarray, "clips dim"]:
        """Unit vectors of motions."""
        mean = windowed(motions, lambda features: self.read(features, batch).embedding.numpy())
        return mean / np.linalg.norm(mean, axis=1, keepdims=True)

    def embed_text(self, texts: Sequence[str], *, batch: int = 128) -> Float[ndarray, "texts dim"]:
        """Unit vectors of sentences."""
        rows = []
        for i in range(0, len(texts), batch):
            found = self.text.encode(list(texts[i : i + batch]))
            with torch.inference_mode():
                vectors = self.network.text(found.tokens.float(), found.mask).float()
                rows.append(vectors if self.known is None else self.known.place(found.sentence.float(), vectors))
        return torch.cat(rows).numpy()

    def classify(self, motions: Clips, *, batch: int = 32) -> Float[ndarray, "clips actions"]:
        """Probabilities of `actions` for each motion."""
        return windowed(motions, lambda features: self.read(features, batch).logits.softmax(-1).numpy())

    def predict(self, motions: Clips, *, batch: int = 32) -> list[str]:
        """The likeliest action of each motion."""
        return [self.actions[i] for i in self.classify(motions, batch=batch).argmax(1)]

    def patches(self, motion: Motion | Float[ndarray, "frames 133"]) -> Float[ndarray, "patches width"]:
        """One contextual feature vector for every 0.2 s (4 frames at 20 fps): what localization reads."""
        features = _as_features([motion])[0]
        return self.read([features], 1).patches[0].numpy()

    def read(self, features: Sequence[Float[ndarray, "_ 133"]], batch: int = 32) -> MotionOutput:
        """The network's raw output for clips of features, batched by length, in the order given."""
        order = np.argsort([len(clip) for clip in features])
        outputs = []
        for i in range(0, len(order), batch):
            clips = [torch.from_numpy(np.ascontiguousarray(features[k], np.float32)) for k in order[i : i + batch]]
            with torch.inference_mode(), fast_inference(torch.device("cpu")):
                outputs.append(self.network.motion(*pad_clips(clips)))
        return _reordered(outputs, np.argsort(order))


def load_motion_text(name: str | Path = "motion_text") -> MotionTextEncoder:
    """The encoder of an embedded checkpoint's name or a folder; loaded once.

    Raises LabanError when it is absent or damaged, or when the text encoder it was trained with is another.
    """
    return _load(str(find_weights(name)))


@cache
def _load(folder: str) -> MotionTextEncoder:
    return assemble(folder, MotionText)


def assemble(folder: str | Path, build: Callable[[Sizes], Any], *, verify: bool = False) -> MotionTextEncoder:
    """Load a network of this family, its classes and its text encoder from a checkpoint folder."""
    tensors, config = load_weights(folder, verify=verify)
    known = take_known(tensors)
    sizes = from_dict(Sizes, config.get("sizes"), name=f"{folder}/config.json sizes")
    network = load_module(build(sizes), tensors, folder)
    return MotionTextEncoder(network, _text_encoder(folder, config), tuple(config["actions"]), config, known)


def _text_encoder(folder: str | Path, config: dict[str, Any]) -> TextEncoder:
    encoder = load_text_encoder(config["text_encoder"])
    if encoder.name != config["text_name"]:
        raise LabanError(f"{folder}: trained with text encoder {config['text_name']}; found {encoder.name}")
    return encoder


def _as_features(motions: Clips) -> list[Float[ndarray, "_ 133"]]:
    features: list[ndarray] = []
    for index, motion in enumerate(motions):
        if not isinstance(motion, Motion):
            features.append(motion)
        elif motion.actors != 1:
            raise LabanError(f"motion {index}: has {motion.actors} actors; accepted: one (pick with Motion.actor)")
        else:
            features.extend(features_of(motion))
    return features


def windowed(
    motions: Clips, read: Callable[[list[ndarray]], Float[ndarray, "windows columns"]]
) -> Float[ndarray, "clips columns"]:
    """Mean of the answers over the equal windows of at most `LONGEST` frames of every clip."""
    windows, owner = [], []
    for index, clip in enumerate(_as_features(motions)):
        parts = np.array_split(clip, max(1, -(-len(clip) // LONGEST)))
        windows += parts
        owner += [index] * len(parts)
    if not windows:
        raise LabanError("motions: found none; accepted: one or more")
    answers = read(windows)
    sums = np.zeros((owner[-1] + 1, answers.shape[1]), np.float32)
    np.add.at(sums, owner, answers)
    return sums / np.bincount(owner)[:, None].astype(np.float32)


def _reordered(outputs: list[MotionOutput], order: ndarray) -> MotionOutput:
    longest = max(output.patches.shape[1] for output in outputs)
    patches = [torch.nn.functional.pad(o.patches.float(), (0, 0, 0, longest - o.patches.shape[1])) for o in outputs]
    parts = [output.part_logits for output in outputs if output.part_logits is not None]
    return MotionOutput(
        torch.cat([output.embedding for output in outputs]).float()[order],
        torch.cat([output.logits for output in outputs]).float()[order],
        torch.cat(patches)[order],
        torch.cat(parts).float()[order] if parts else None,
    )
