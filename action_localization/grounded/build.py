"""Train the embedded grounder: `python -m action_localization.grounded.build --data DATASET -o FOLDER`.

Streams are spliced from clips of the `train` split and procedural motion, most seen through simulated cameras; their
points are computed once and kept in the run's folder. The threshold is chosen on streams of the `val` split.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from action_localization.evaluation.grounding import Answer, Question, score_grounding, span_iou, trivial_answers
from action_localization.grounded.dense import DenseAnswer, answer_loss
from action_localization.grounded.pose import (
    NAME,
    Grounded,
    PointSizes,
    PoseGrounder,
    TextPoints,
    decoding,
    describe,
    ground_entries,
)
from action_localization.grounded.queries import (
    GroundingBatch,
    Query,
    contrary,
    entails,
    make_batch,
    optimisation,
    video_queries,
)
from action_localization.grounded.words import absent_sentences, class_sentences
from action_localization.pose.checkpoint import stream_features
from action_localization.pose.detector import PoseDetector, load_pose_detector
from action_localization.pose.mocap import measured_streams
from action_localization.pose.streams import MIRRORED, Pool, Stream, StreamConfig, make_stream
from action_localization.pose.training import motion_clips
from action_localization.regimes.streams import WORDINGS, RegimeVideo
from laban.errors import LabanError
from laban.files import atomic_path
from laban.progress import progress
from laban.weights import save_weights
from models.data.dataset import MotionDataset
from models.text.captions import captions_for, clean, mirror_text
from models.text.encoder import load_text_encoder
from models.training import fit

SEED = 20268
LENGTH = 600
"""Entries (0.1 s each) of a training stream."""
LIKE = 0.8
"""Cosine of two sentence vectors from which a stretch of another class is unsure: nobody says that it is not meant."""


@dataclass(frozen=True)
class BuildConfig:
    """What is learnt from, and for how long."""

    streams: int = 100
    observed: float = 0.7
    """Share of the streams that are seen through simulated cameras."""
    videos: int = 4
    queries: int = 16
    absent: float = 0.3
    steps: int = 400
    wordings: int = 16


@dataclass(frozen=True)
class Described:
    """A stream as the classifier sees it, and per segment (start and end as shares, class, sentences)."""

    points: Tensor
    offsets: Tensor
    segments: tuple[tuple[float, float, str, tuple[str, ...]], ...]


def stream_sentences(stream: Stream, dataset: MotionDataset, count: int) -> list[tuple[str, ...]]:
    """For each segment sentences that are true of it, sides as mirrored; those of its class where it has no record."""
    found = []
    for segment, clip in zip(stream.truth.segments, stream.clips, strict=True):
        name = clip.removesuffix(MIRRORED)
        record = dataset.by_id.get(name)
        if record is None or "@" in name:
            found.append(class_sentences(segment.label))
            continue
        texts = captions_for(record, count=count)
        found.append(tuple(clean(mirror_text(text) if clip != name else text) for text in texts))
    return found


def described_streams(dataset: MotionDataset, folder: Path, config: BuildConfig) -> list[Described]:
    """The training streams; their points are kept in `folder`, so that an interrupted build goes on."""
    detector, rows = load_pose_detector(), []
    pool = Pool(motion_clips(dataset, quiet=True), StreamConfig(seconds=(62.0, 66.0), balance=0.3))
    folder.mkdir(parents=True, exist_ok=True)
    with progress("streams", config.streams) as advance:
        for number in range(config.streams):
            stream = make_stream(pool, (SEED, number))
            path = folder / f"{number:03d}.npz"
            if not path.is_file():
                seed = number if number / config.streams < config.observed else None
                points, offsets = describe(detector, stream_features(stream, seed).values[:LENGTH])
                with atomic_path(path) as temporary:
                    np.savez(temporary, points=points.half().numpy(), offsets=offsets.numpy())
            with np.load(path, allow_pickle=False) as kept:
                points, offsets = torch.from_numpy(kept["points"]), torch.from_numpy(kept["offsets"])
            texts = stream_sentences(stream, dataset, config.wordings)
            segments = tuple(
                (s.start / 60, min(s.end / 60, 1.0), s.label, said)
                for s, said in zip(stream.truth.segments, texts, strict=True)
                if (s.start + s.end) / 2 < 60
            )
            rows.append(Described(points, offsets, segments))
            advance(1)
    return rows


class PointBatches:
    """step -> (points, offsets, GroundingBatch of queries): a function of the step."""

    def __init__(self, streams: Sequence[Described], config: BuildConfig) -> None:
        self.streams, self.config, self.text = streams, config, load_text_encoder()
        self.known: dict[int, Tensor] = {}
        self.labels = sorted({segment[2] for stream in streams for segment in stream.segments})

    def __call__(self, step: int) -> tuple[Tensor, Tensor, GroundingBatch]:
        rng = np.random.default_rng((SEED, 1, step))
        numbers = rng.integers(len(self.streams), size=self.config.videos)
        chosen = [self.streams[int(i)] for i in numbers]
        drawn = [[self.draw(stream, rng) for _ in range(self.config.queries)] for stream in chosen]
        asked = []
        for number, stream, said in zip(numbers, chosen, drawn, strict=True):
            like = self.text.encode([text for text, _ in said]).sentence @ self.vectors(int(number)).T
            asked.append([windows(text, label, stream, row) for (text, label), row in zip(said, like, strict=True)])
        batch = make_batch([np.zeros((LENGTH, 1), np.float32)] * len(chosen), asked, self.text)
        return torch.stack([s.points.float() for s in chosen]), torch.stack([s.offsets for s in chosen]), batch

    def vectors(self, number: int) -> Tensor:
        """The sentence vector of each segment's first sentence."""
        if number not in self.known:
            texts = [segment[3][0] for segment in self.streams[number].segments]
            self.known[number] = self.text.encode(texts).sentence
        return self.known[number]

    def draw(self, stream: Described, rng: np.random.Generator) -> tuple[str, str]:
        """A sentence that is true of a stretch (classes alike) and its class, or one that is true of nothing."""
        labels = sorted({segment[2] for segment in stream.segments})
        if rng.random() < self.config.absent:
            free = [label for label in self.labels if label not in labels]
            nothing = rng.random() < 0.5 or not free
            texts = absent_sentences() if nothing else class_sentences(free[int(rng.integers(len(free)))])
            return texts[int(rng.integers(len(texts)))], ""
        label = labels[int(rng.integers(len(labels)))]
        mine = [segment for segment in stream.segments if segment[2] == label]
        texts = mine[int(rng.integers(len(mine)))][3]
        return texts[int(rng.integers(len(texts)))], label


def windows(text: str, label: str, stream: Described, like: Float[Tensor, " segments"]) -> Query:
    """The query: true where a stretch's sentences say as much, unsure where it may be meant."""
    true, unsure = [], []
    for (start, end, kind, texts), alike in zip(stream.segments, like.tolist(), strict=True):
        if label and kind == label:
            if text in texts or any(entails(other, text) for other in texts[:3]):
                true.append((start, end))
            elif not contrary(text, texts[0]):
                unsure.append((start, end))
        elif alike > LIKE:
            unsure.append((start, end))
    return Query(text, tuple(true), tuple(unsure), label)


def points_loss(
    network: TextPoints, batch: tuple[Tensor, Tensor, GroundingBatch], generator: torch.Generator
) -> dict[str, Tensor]:
    """Focal loss of the points; the boundaries are the detector's and not learnt."""
    points, offsets, asked = batch
    noisy = points + 0.05 * torch.randn(points.shape, generator=generator)
    logits = network(noisy, asked.video, asked.sentence, asked.tokens, asked.words)
    answer = DenseAnswer(logits, offsets[asked.video], torch.ones_like(logits, dtype=torch.bool))
    label = answer_loss(answer, asked, decoding(load_pose_detector_once()))["label"]
    return {"loss": label}


@cache
def load_pose_detector_once() -> PoseDetector:
    """The embedded detector."""
    return load_pose_detector()


# ----------------------------------------------------------------------------------------------------- what it is worth


@dataclass(frozen=True)
class Asked:
    """Answers to questions that have one, and the best score of questions that have none."""

    questions: list[Question]
    answers: list[Grounded]
    absent: list[float]


def ask_streams(grounder: PoseGrounder, dataset: MotionDataset, split: str, *, observed: bool) -> Asked:
    """All different sentences of the measured streams of a split, and as many that are not true in them."""
    data = {name: stream for name, stream in measured_streams(dataset, split, quiet=True).items()}
    rng = np.random.default_rng((SEED, 2))
    questions, answers, absent = [], [], []
    for number, (name, stream) in enumerate(data.items()):
        features = stream_features(stream, number if observed else None)
        texts = stream_sentences(stream, dataset, 1)
        sentences = tuple(replace(s, label=said[0]) for s, said in zip(stream.truth.segments, texts, strict=True))
        queries = video_queries(RegimeVideo(name, features, stream.truth, sentences))
        labels = stream.truth.labels()
        others = [text for label in sorted(WORDINGS) if label not in labels for text in (WORDINGS[label],)]
        others += [absent_sentences()[int(i)] for i in rng.integers(len(absent_sentences()), size=4)]
        drawn = [others[int(i)] for i in rng.permutation(len(others))[: len(queries)]]
        found = ground_entries(grounder, features, [q.text for q in queries] + drawn)
        questions += [Question(name, stream.truth.duration, q.windows, q.text) for q in queries]
        answers += found[: len(queries)]
        absent += [one.spans[0][2] if one.spans else 0.0 for one in found[len(queries) :]]
    return Asked(questions, answers, absent)


def choose_threshold(asked: Asked) -> float:
    """The score with the best F1: right means that the first span is shown and overlaps a true one by half."""
    pairs = zip(asked.questions, asked.answers, strict=True)
    rows = [(one.spans[0][2], _right(question, one)) for question, one in pairs if one.spans]
    rows += [(score, False) for score in asked.absent]
    rows.sort(key=lambda row: -row[0])
    right = np.cumsum([hit for _, hit in rows])
    f1 = 2 * right / (len(asked.questions) + np.arange(1, len(rows) + 1))
    return round(float(rows[int(f1.argmax())][0]), 3)


def _right(question: Question, one: Grounded) -> bool:
    return bool(one.spans) and span_iou(np.array([one.spans[0][:2]]), np.array(question.windows)).max() >= 0.5


def figures(asked: Asked, threshold: float) -> list[str]:
    """Markdown rows: R@1 and R@5, the rows that see no motion, and what is shown at the threshold."""
    rows: dict[str, list[Answer]] = {"grounder": [one.spans for one in asked.answers]}
    rows |= trivial_answers(asked.questions)
    lines = ["| | R@1 .3 | R@1 .5 [95 %] | R@1 .7 | R@5 .5 | mIoU |", "| --- | ---: | ---: | ---: | ---: | ---: |"]
    for name, answers in rows.items():
        scores = score_grounding(asked.questions, answers, null="wrong")
        f, (low, high) = scores.figures(), scores.intervals()["R@1, IoU=0.5"]
        lines.append(f"| {name} | {f['R@1, IoU=0.3']:.1f} | {f['R@1, IoU=0.5']:.1f} [{low:.1f}, {high:.1f}] | "
                     f"{f['R@1, IoU=0.7']:.1f} | {f['R@5, IoU=0.5']:.1f} | {f['mIoU']:.1f} |")  # fmt: skip
    shown = np.mean([bool(one.spans) and one.spans[0][2] >= threshold for one in asked.answers])
    wrong = np.mean([score >= threshold for score in asked.absent])
    lines.append(f"\nOf {len(asked.questions)} sentences that are true somewhere {100 * shown:.0f} % reach the "
                 f"threshold of {threshold:g}, of {len(asked.absent)} that are not, {100 * wrong:.0f} %.")  # fmt: skip
    return lines


CARD = """# ground: where a sentence is true, from body pose

A text-made classifier ({parameters:.2f} M parameters) over the pyramid of the embedded detector (`checkpoints/detect`),
whose weights and boundaries it takes as they are; sentences are read by the embedded text encoder
(`checkpoints/text_student`). Motion files and people in video alike.

- Made by `python -m action_localization.grounded.build --data DATASET -o FOLDER` (DATASET from `laban data build`):
  {streams} streams of 60 s spliced from clips of the `train` split and procedural motion, {observed:.0f} % seen through
  simulated cameras; sentences are the clips' labels and captions in the wordings of `models/text`, for classes without
  recordings those of `action_localization/grounded/words.py`; {absent:.0f} % of the sentences are true nowhere.
- Data and licence are those of `checkpoints/detect`: **CC BY-NC 4.0, for non-commercial use.**
- A span is shown from a score of {threshold:g} on, chosen on streams of the `val` split; below it `laban ground` says
  that nothing was found.

## Measured

60 streams of 60 to 90 s spliced from clips of the `test` split, every sentence asked once a stream; per cent,
95 % of bootstraps over streams (which share clips, so intervals are narrow).

Motion files:

{clean}

Through simulated cameras:

{observed_figures}

## Weaknesses

It knows the detector's 50 classes and sides and directions within them; what no class is like gets whatever its words
are near to, and thresholds are chosen on sentences that are far from everything. Manner (tired, like a child) hardly
counts. Words in another language than English are read as unknown words.
"""


def build(data: Path, output: Path, run: Path, config: BuildConfig = BuildConfig()) -> PoseGrounder:
    """Describe streams, train, choose the threshold, measure on the test split, and write the checkpoint."""
    dataset = MotionDataset.open(data)
    streams = described_streams(dataset, run / "streams", config)
    torch.manual_seed(SEED)
    training = replace(optimisation(config.steps, lr=2e-3), weight_decay=0.05, ema=0.99)
    network = fit(TextPoints(PointSizes()), points_loss, PointBatches(streams, config), training, run)
    grounder = PoseGrounder(network, load_pose_detector(), 0.0, {})
    threshold = choose_threshold(ask_streams(grounder, dataset, "val", observed=True))
    grounder = replace(grounder, threshold=threshold)
    clean_figures, observed = (
        "\n".join(figures(ask_streams(grounder, dataset, "test", observed=seen), threshold)) for seen in (False, True)
    )
    print(clean_figures, observed, sep="\n\n")
    card = CARD.format(
        parameters=sum(p.numel() for p in network.parameters()) / 1e6, streams=config.streams,
        observed=100 * config.observed, absent=100 * config.absent, threshold=threshold, clean=clean_figures,
        observed_figures=observed,
    )  # fmt: skip
    facts = {"kind": "pose grounder", "sizes": asdict(network.sizes), "threshold": threshold, "detector": "detect",
             "detector_sha256": grounder.detector.config["sha256"]}  # fmt: skip
    save_weights(output, network.state_dict(), facts, card)
    return grounder


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m action_localization.grounded.build", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder made by laban data build")
    parser.add_argument("-o", "--output", type=Path, default=Path("checkpoints") / NAME)
    parser.add_argument("--run", type=Path, default=Path("runs") / NAME, help="what an interrupted build goes on with")
    parser.add_argument("--steps", type=int, default=BuildConfig.steps)
    parser.add_argument("--streams", type=int, default=BuildConfig.streams)
    given = parser.parse_args()
    try:
        build(given.data, given.output, given.run, BuildConfig(steps=given.steps, streams=given.streams))
    except LabanError as error:
        raise SystemExit(f"laban: {error}") from None


if __name__ == "__main__":
    main()
