"""One thin LightningModule trains every network; batches and noise are functions of (seed, step): resuming is exact."""

from __future__ import annotations

import copy
import json
import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields, is_dataclass, replace
from pathlib import Path
from typing import Any, TypeVar, cast

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, IterableDataset

from laban.errors import LabanError
from laban.files import atomic_path
from models.compat import import_lightning

pl = import_lightning()

Network = TypeVar("Network", bound=nn.Module)
Batches = Callable[[int], Any]
"""step -> batch (a dataclass of tensors or a tuple); must not depend on anything but the step."""
_AGREE_EVERY = 10
"""Steps between two agreements of several processes on saving and stopping."""
Loss = Callable[..., Mapping[str, Tensor]]
"""(network, batch, generator of this step) -> named terms; `loss` is the one minimised."""


@dataclass(frozen=True)
class TrainConfig:
    """How to train; `steps` is the whole schedule, also when a run is resumed."""

    steps: int = 10_000
    lr: float = 4e-4
    """Peak learning rate of AdamW; Muon's is `muon_lr`."""
    muon_lr: float = 0.0
    """Learning rate of Muon for the hidden matrices; 0 trains everything with AdamW."""
    warmup: int = 200
    final: float = 0.02
    """Share of the peak learning rate at the end of the cosine decay."""
    weight_decay: float = 0.01
    clip: float = 1.0
    ema: float = 0.999
    seed: int = 0
    precision: str = "bf16-mixed"
    accelerator: str = "auto"
    save_minutes: float = 4.0
    log_every: int = 20
    devices: int = 1
    """Processes; each takes a batch of its own, so that n of them with batches of b see what one sees with n * b."""
    strategy: str = "auto"
    """Lightning's name for how they work together: ddp, fsdp, …"""


def small_training(steps: int, lr: float, **more: Any) -> TrainConfig:
    """How networks of under a million weights learn in a minute of one processor; `more` are fields of TrainConfig."""
    usual: dict[str, Any] = {"warmup": 50, "weight_decay": 0.05, "ema": 0.99, "log_every": 50, "save_minutes": 60.0}
    return TrainConfig(steps=steps, lr=lr, precision="32-true", accelerator="cpu", **{**usual, **more})


@contextmanager
def drawing_from(generator: torch.Generator) -> Iterator[None]:
    """What is drawn without a generator of its own (dropout, stochastic depth) is seeded from this one.

    So a loss is a function of its arguments; the caller's random state is left as it was.
    """
    seed = int(torch.randint(2**31, (1,), generator=generator, device=generator.device))
    with torch.random.fork_rng(devices=[generator.device] if generator.device.type == "cuda" else []):
        torch.manual_seed(seed)
        yield


class _Stream(IterableDataset):
    """The batches of this process: with several, batch `step * processes + rank`."""

    def __init__(self, batches: Batches, first: int, last: int) -> None:
        self.batches, self.first, self.last = batches, first, last

    def __iter__(self) -> Iterator[Any]:
        rank, world = _rank_of()
        for step in range(self.first, self.last):
            yield self.batches(step * world + rank)


def _rank_of() -> tuple[int, int]:
    """(number of this process, number of processes) of a distributed run."""
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        return torch.distributed.get_rank(), torch.distributed.get_world_size()
    return 0, 1


def mean_over_processes(value: Tensor) -> Tensor:
    """The mean of a tensor over the processes of a distributed run; itself outside of one. No gradient flows."""
    world = _rank_of()[1]
    if world == 1:
        return value
    total = value.detach().clone()
    torch.distributed.all_reduce(total)
    return total / world


def is_main_process() -> bool:
    """Whether this process is the one that writes files; every process is, outside distributed runs."""
    return _rank_of()[0] == 0


class Trainee(pl.LightningModule):
    """A network, its exponential moving average, its loss and its optimisers; nothing task-specific."""

    def __init__(self, network: nn.Module, loss: Loss, config: TrainConfig) -> None:
        super().__init__()
        self.network, self.loss, self.config = network, loss, config
        self.ema = copy.deepcopy(network).requires_grad_(False)
        self.automatic_optimization = config.muon_lr == 0

    def training_step(self, batch: Any, index: int) -> Tensor | None:
        """One step; noise comes from a generator seeded by (seed, number of the batch)."""
        rank, world = _rank_of()
        seed = self.config.seed * 1_000_003 + self.step * world + rank
        generator = torch.Generator(device=self.device).manual_seed(seed)
        terms = self.loss(self.network, batch, generator)
        for name, value in terms.items():
            self.log(name, value.detach(), prog_bar=name == "loss")
        if self.automatic_optimization:
            return terms["loss"]
        self._manual_step(terms["loss"])
        return None

    @property
    def step(self) -> int:
        """Optimisation steps done, whatever the number of optimisers."""
        return self.trainer.global_step // (1 if self.automatic_optimization else 2)

    def _manual_step(self, loss: Tensor) -> None:
        optimizers = self.optimizers()
        for optimizer in optimizers:
            optimizer.zero_grad(set_to_none=True)
        self.manual_backward(loss)
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), self.config.clip)
        for optimizer in optimizers:
            optimizer.step()

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        """Set the learning rates: warm-up, then cosine decay; a function of the step alone."""
        for optimizer in self.trainer.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = group["peak"] * self._rate(self.step)

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Update the moving average, faster in the first steps (so that it forgets the random start)."""
        decay = min(self.config.ema, (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            torch._foreach_lerp_(list(self.ema.parameters()), list(self.network.parameters()), 1 - decay)
            for mean, value in zip(self.ema.buffers(), self.network.buffers(), strict=True):
                mean.copy_(value)

    def transfer_batch_to_device(self, batch: Any, device: torch.device, dataloader_idx: int) -> Any:
        """Lightning's own transfer refuses frozen dataclasses."""
        return _to_device(batch, device)

    def configure_optimizers(self) -> Any:
        """AdamW alone, or Muon (Jordan et al. 2024) for the hidden matrices and AdamW for the rest."""
        config = self.config
        hidden = [p for name, p in self.network.named_parameters() if p.ndim == 2 and "layers." in name]
        chosen = {id(p) for p in hidden} if config.muon_lr else set()
        rest = [p for p in self.network.parameters() if id(p) not in chosen]
        decay = config.weight_decay
        adam = torch.optim.AdamW([{"params": rest, "peak": config.lr}], config.lr, betas=(0.9, 0.98),
                                 weight_decay=decay, fused=config.muon_lr > 0)  # fmt: skip
        if not config.muon_lr:
            return adam
        return [
            torch.optim.Muon([{"params": hidden, "peak": config.muon_lr}], config.muon_lr, weight_decay=decay),
            adam,
        ]

    def _rate(self, step: int) -> float:
        config = self.config
        if step < config.warmup:
            return (step + 1) / config.warmup
        done = min(1.0, (step - config.warmup) / max(1, config.steps - config.warmup))
        return config.final + (1 - config.final) * 0.5 * (1 + math.cos(math.pi * done))


def _to_device(value: Any, device: torch.device) -> Any:
    if isinstance(value, Tensor):
        return value.to(device)
    if isinstance(value, tuple | list):
        return type(value)(_to_device(item, device) for item in value)
    if isinstance(value, Mapping):
        return {key: _to_device(item, device) for key, item in value.items()}
    if is_dataclass(value) and not isinstance(value, type):
        return replace(value, **{f.name: _to_device(getattr(value, f.name), device) for f in fields(value)})
    return value


class _Keeper(pl.Callback):
    """Keeps what an interruption would lose: `last.ckpt` every few minutes and on any exception, and the loss curve.

    Also ends this call, not the run, after `minutes`. (Lightning's own callbacks have no time interval under manual
    optimisation, and count the time of earlier calls in.)
    """

    def __init__(self, folder: Path, config: TrainConfig, minutes: float | None) -> None:
        self.folder, self.config = folder, config
        self.deadline = time.monotonic() + 60 * minutes if minutes else math.inf
        self.saved, self.sums, self.count = time.monotonic(), dict[str, float](), 0

    def on_train_batch_end(self, trainer: pl.Trainer, module: Any, *_: Any) -> None:
        for name, value in trainer.callback_metrics.items():
            self.sums[name] = self.sums.get(name, 0.0) + float(value)
        self.count += 1
        if module.step % self.config.log_every == 0 and is_main_process():
            row = {"step": module.step, **{name: round(total / self.count, 5) for name, total in self.sums.items()}}
            with (self.folder / "loss.jsonl").open("a") as file:
                file.write(json.dumps(row) + "\n")
            self.sums, self.count = {}, 0
        due, over = self._agreed(trainer, module.step)
        if due:
            self.save(trainer)
        if over:
            trainer.should_stop = True

    def _agreed(self, trainer: pl.Trainer, step: int) -> tuple[bool, bool]:
        """(whether to save, whether time is up), the same in all processes: the first one's clock decides."""
        now = self.due, time.monotonic() > self.deadline
        if _rank_of()[1] == 1:
            return now
        return trainer.strategy.broadcast(now, 0) if step % _AGREE_EVERY == 0 else (False, False)

    def on_exception(self, trainer: pl.Trainer, module: Any, exception: BaseException) -> None:
        if trainer.global_step:
            self.save(trainer)

    @property
    def due(self) -> bool:
        return time.monotonic() - self.saved > 60 * self.config.save_minutes

    def save(self, trainer: pl.Trainer) -> None:
        if is_main_process():
            with atomic_path(self.folder / "last.ckpt") as temporary:
                trainer.save_checkpoint(temporary)
        else:  # all processes take part; only the main one writes
            trainer.save_checkpoint(self.folder / "last.ckpt")
        self.saved = time.monotonic()


def fit(
    network: Network, loss: Loss, batches: Batches, config: TrainConfig, folder: str | Path, *,
    stop: int | None = None, minutes: float | None = None, progress: bool = True,
) -> Network:  # fmt: skip
    """Train, or go on where `folder/last.ckpt` stopped, until `config.steps`; returns the EMA network.

    `stop` ends the run after that many steps and `minutes` after that much time, leaving the schedule as it is; also on
    Ctrl-C the run is saved and can go on. With several devices every process returns. Raises LabanError when the folder
    holds a run with another configuration.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    last = _check_run(folder, config)
    module = Trainee(network, loss, config)
    done = steps_done(folder)
    end = min(config.steps, stop or config.steps)
    trainer = _trainer(config, folder, end, minutes=minutes, progress=progress)
    loader = DataLoader(_Stream(batches, done, end), batch_size=None)
    if done < end:
        trainer.fit(module, loader, ckpt_path=str(last) if last.exists() else None, weights_only=True)
        trainer.save_checkpoint(last)
    else:
        module.load_state_dict(torch.load(last, map_location="cpu", weights_only=True)["state_dict"])
    return cast(Network, module.ema.eval())


class UnfinishedError(LabanError):
    """A training whose time was up before its schedule was; it is kept and can go on."""


def fit_whole(
    network: Network, loss: Loss, batches: Batches, config: TrainConfig, folder: str | Path, *,
    deadline: float | None = None, progress: bool = True,
) -> Network:  # fmt: skip
    """`fit` to the last step, for what goes on from there; UnfinishedError at `deadline` (of `time.monotonic`)."""
    minutes = None if deadline is None else max((deadline - time.monotonic()) / 60, 1e-6)
    network = fit(network, loss, batches, config, folder, minutes=minutes, progress=progress)
    if steps_done(folder) < config.steps:
        raise UnfinishedError(f"time is up; call again to go on with {folder}")
    return network


def _trainer(config: TrainConfig, folder: Path, end: int, *, minutes: float | None, progress: bool) -> Any:
    return pl.Trainer(
        max_steps=end * (2 if config.muon_lr else 1),
        precision=config.precision, accelerator=config.accelerator, devices=config.devices, strategy=config.strategy,
        default_root_dir=folder, logger=False,
        callbacks=[_Keeper(folder, config, minutes)], enable_checkpointing=False, enable_progress_bar=progress,
        enable_model_summary=False, gradient_clip_val=None if config.muon_lr else config.clip,
        use_distributed_sampler=False,
    )  # fmt: skip


def steps_done(folder: str | Path) -> int:
    """Optimisation steps that the run in a folder has done; 0 where there is none."""
    path = Path(folder) / "last.ckpt"
    if not path.exists():
        return 0
    state = torch.load(path, map_location="cpu", weights_only=True)
    return int(state["global_step"]) // len(state["optimizer_states"])


def _check_run(folder: Path, config: TrainConfig) -> Path:
    path, wanted = folder / "train.json", json.loads(json.dumps(asdict(config)))
    del wanted["strategy"]
    if config.devices == 1:  # as in folders written before there could be more
        del wanted["devices"]
    if path.exists() and (folder / "last.ckpt").exists() and (found := json.loads(path.read_text())) != wanted:
        changed = sorted(key for key in {**found, **wanted} if found.get(key) != wanted.get(key))
        raise LabanError(
            f"{folder}: holds a run with another configuration ({', '.join(changed)}); name another folder"
        )
    path.write_text(json.dumps(wanted, indent=1) + "\n")
    return folder / "last.ckpt"
