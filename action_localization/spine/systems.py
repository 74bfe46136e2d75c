"""The systems as frozen dataclasses: what each is made of, how it learns, and how its output becomes segments.

A wrapper (`CSA`, `ASL`, `MRAV`) holds its host; `base` and `wrapper` look through the layers. Values are those of the
papers' THUMOS14 settings unless a field says otherwise; `for_protocol` changes what the other data sets ask for.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, TypeVar

from action_localization.spine.nms import SoftNMS
from laban.config import from_dict, to_dict
from laban.errors import LabanError


@dataclass(frozen=True)
class EncoderConfig:
    """The pyramid: convolutions that embed, `stem` blocks at full rate, then a block per level that halves it."""

    block: Literal["attention", "sgp", "pool"] = "attention"
    width: int = 512
    levels: int = 6
    embed: int = 2
    stem: int = 2
    heads: int = 4
    window: int = 19
    """Entries that one entry attends to; odd. A causal block looks back over as many, itself included."""
    hidden: int = 2048
    kernel: int = 1
    """SGP: the shorter of its two windows; the longer one is the odd number at or above (kernel + 1) * factor."""
    factor: float = 5.0
    drop_path: float = 0.1
    causal: bool = False


@dataclass(frozen=True)
class HeadConfig:
    """Two trunks of convolutions shared by all levels, one for classes and one for boundaries."""

    width: int = 512
    layers: int = 2
    boundary: Literal["offset", "trident"] = "offset"
    bins: int = 16
    """Trident: how many strides back and ahead a boundary is looked for."""
    prior: float = 0.01


@dataclass(frozen=True)
class LearningConfig:
    """FCOS assignment with centre sampling, focal and DIoU losses over a running number of positives."""

    radius: float = 1.5
    """A point is positive within `radius` strides of the centre."""
    reach: float = 4.0
    """Longest distance to a boundary, in entries, that the first level answers for; doubles from level to level."""
    overlap: bool = False
    """Let the ranges of neighbouring levels overlap by half (EPIC)."""
    alpha: float = 0.25
    gamma: float = 2.0
    smoothing: float = 0.0
    regression: float = 1.0
    iou_power: float = 0.0
    """The class loss of a positive counts IoU ** iou_power (TriDet)."""
    normaliser: float = 100.0
    momentum: float = 0.9


@dataclass(frozen=True)
class DecodingConfig:
    """Which points become candidates, and how candidates become segments."""

    threshold: float = 0.001
    candidates: int = 2000
    """At most so many per level."""
    shortest: float = 0.05
    """Entries; shorter candidates are dropped."""
    nms: SoftNMS = SoftNMS()


@dataclass(frozen=True)
class ActionFormer:
    """ActionFormer (Zhang et al., ECCV 2022): windowed attention in the pyramid, direct offsets."""

    name: Literal["ActionFormer"] = "ActionFormer"
    encoder: EncoderConfig = EncoderConfig()
    head: HeadConfig = HeadConfig()
    learning: LearningConfig = LearningConfig()
    decoding: DecodingConfig = DecodingConfig()


@dataclass(frozen=True)
class TriDet:
    """TriDet (Shi et al., CVPR 2023): SGP blocks, and boundaries as expectations over bins."""

    name: Literal["TriDet"] = "TriDet"
    encoder: EncoderConfig = EncoderConfig(block="sgp", hidden=768)
    head: HeadConfig = HeadConfig(boundary="trident")
    learning: LearningConfig = LearningConfig(iou_power=0.2)
    decoding: DecodingConfig = DecodingConfig(nms=SoftNMS(keep=2000))


@dataclass(frozen=True)
class TemporalMaxer:
    """TemporalMaxer (Tang et al., 2023): nothing but max-pooling between the levels."""

    name: Literal["TemporalMaxer"] = "TemporalMaxer"
    encoder: EncoderConfig = EncoderConfig(block="pool", stem=0)
    head: HeadConfig = HeadConfig()
    learning: LearningConfig = LearningConfig()
    decoding: DecodingConfig = DecodingConfig(nms=SoftNMS(keep=2000))


@dataclass(frozen=True)
class BMN:
    """Boundary-Matching Network (Lin et al., ICCV 2019): a confidence for every pair of start and duration.

    The paper leaves classes to a video classifier. Here a linear class activation sequence, trained beside it, labels
    a proposal when no scores of the whole video are given.
    """

    name: Literal["BMN"] = "BMN"
    frames: int = 100
    """Entries that every video is resized to."""
    durations: int = 100
    width: int = 256
    samples: int = 32
    """Points sampled per proposal, each the mean of `subsamples`."""
    subsamples: int = 3
    context: float = 0.5
    """A proposal is widened by this share of its length on both sides before it is sampled."""
    map_width: int = 128
    sample_width: int = 512
    map_weight: float = 10.0
    nms: SoftNMS = SoftNMS(sigma=0.4, overlap=0.5, widen=0.4, keep=100, per_class=False)


@dataclass(frozen=True)
class CSA:
    """Class semantics-based attention (Sridhar et al., ICCV 2021) before the blocks of a host.

    Widths are ours: the paper gives none. At the start of training the gate lets everything pass.
    """

    host: ActionFormer | TriDet | TemporalMaxer | BMN = field(default_factory=BMN)
    name: Literal["CSA"] = "CSA"
    reduction: int = 4
    """The gate's hidden layer is narrower by this factor."""
    times: bool = True
    """Gate times as well as channels."""
    auxiliary: float = 0.5
    """Weight of the classification loss that makes the activation sequence."""


@dataclass(frozen=True)
class ASL:
    """Action Sensitivity Learning (Shao et al., ICCV 2023): which frames of an action count, as weights of the losses.

    The weights of the positives of a batch are scaled to a mean of one, so that flat Gaussians without the instance
    level leave the host as it is. Nothing of it is there when detecting.
    """

    host: ActionFormer | TriDet | TemporalMaxer | CSA = field(default_factory=ActionFormer)
    name: Literal["ASL"] = "ASL"
    sigma: float = 1.0
    """Width of the Gaussians at the start, in lengths of the action."""
    instance: bool = True
    combine: Literal["product", "sum"] = "sum"
    """How the class level and the instance level become one weight."""
    quality: float = 1.0
    """Weight of the loss that trains the instance level."""
    contrast: float = 0.1
    """Weight of the contrastive loss; the paper's value is not known here."""
    temperature: float = 0.2
    anchors: int = 256


@dataclass(frozen=True)
class MRAV:
    """MRAV-FF (Fish, Weinbren and Gilbert, 2023): sound beside the pictures, joined to every level of a host's pyramid.

    Features hold the visual columns, then `audio` columns of sound, then one that is 1 where there is sound
    (`action_localization.audio.joining`). Sound goes through a pyramid of its own, of the host's form; at each level
    visual entries attend to it, and a gate for the class head and another for the boundary head say how much enters.
    """

    host: ActionFormer | TriDet | TemporalMaxer | ASL = field(default_factory=ActionFormer)
    name: Literal["MRAV"] = "MRAV"
    audio: int = 128
    heads: int = 4
    window: int = 9
    """Entries of a level that an entry attends to; odd."""


Dense = ActionFormer | TriDet | TemporalMaxer
System = Dense | BMN | CSA | ASL | MRAV
Wrapper = TypeVar("Wrapper", CSA, ASL, MRAV)


@dataclass(frozen=True)
class _Named:
    system: ActionFormer | TriDet | TemporalMaxer | BMN | CSA | ASL | MRAV


def base(system: System) -> Dense | BMN:
    """The innermost host."""
    while isinstance(system, CSA | ASL | MRAV):
        system = system.host
    return system


def wrapper(system: System, kind: type[Wrapper]) -> Wrapper | None:
    """The layer of this kind around the host, if there is one."""
    while isinstance(system, CSA | ASL | MRAV):
        if isinstance(system, kind):
            return system
        system = system.host
    return None


def with_base(system: System, host: Dense | BMN) -> System:
    """The same layers around another host."""
    if isinstance(system, CSA | ASL | MRAV):
        return replace(system, host=with_base(system.host, host))  # type: ignore[arg-type]
    return host


def to_json(system: System) -> dict[str, Any]:
    """The JSON form, read back by `from_json`."""
    return to_dict(system)


def from_json(values: Mapping[str, Any], *, name: str = "") -> System:
    """The system that `to_json` described; LabanError names the key that is wrong."""
    return from_dict(_Named, {"system": values}, name=name).system


PROTOCOLS = ("thumos14", "activitynet", "epic100", "ego4d")


def for_protocol(system: System, protocol: str) -> System:
    """A system with the sizes and thresholds its data set is used with (localization notes §1.1 and §4.3).

    LabanError for an unknown protocol. BMN is made for ActivityNet and comes back as it is.
    """
    if protocol not in PROTOCOLS:
        raise LabanError(f"protocol {protocol!r}; accepted: {', '.join(PROTOCOLS)}")
    host = base(system)
    if protocol == "thumos14" or isinstance(host, BMN):
        return system
    encoder, learning, decoding = host.encoder, host.learning, host.decoding
    nms = decoding.nms
    if protocol == "activitynet":
        encoder = replace(encoder, width=256, window=7, hidden=1024)
        learning = replace(learning, smoothing=0.1, regression=2.0, normaliser=200.0)
        decoding = replace(decoding, nms=replace(nms, sigma=0.75, per_class=False, voting=0.9, keep=100))
        host = replace(host, head=replace(host.head, width=256))
    elif protocol == "epic100":
        learning = replace(learning, overlap=True, normaliser=250.0)
        decoding = replace(decoding, candidates=5000, nms=replace(nms, sigma=0.4, keep=2000))
    else:
        encoder = replace(encoder, levels=8)
        learning = replace(learning, normaliser=250.0)
        decoding = replace(decoding, candidates=5000, nms=replace(nms, sigma=0.9, keep=2000))
    return with_base(system, replace(host, encoder=encoder, learning=learning, decoding=decoding))
