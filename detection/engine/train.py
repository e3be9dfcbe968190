"""The training loop, of detectors and of classifiers alike."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from tqdm import tqdm

from detection.engine.distributed import Processes
from detection.engine.log import TrainingLog
from detection.engine.optimizers import set_rate
from detection.engine.schedules import Schedule
from detection.precision import Precision, autocast
from detection.structures import Metrics


class TrainingLosses(Protocol):
    """What a network returns in training, for instance :class:`detection.structures.Losses`."""

    def total(self) -> torch.Tensor: ...

    def detached(self) -> dict[str, torch.Tensor]: ...


class MiniBatch(Protocol):
    """``images`` and ``targets`` are what the network takes; see the two loaders of ``data/``."""

    @property
    def images(self) -> Any: ...

    @property
    def targets(self) -> Any: ...

    def __len__(self) -> int: ...

    def to(self, device: torch.device) -> MiniBatch: ...

    def split(self, parts: int) -> Sequence[MiniBatch]: ...


@dataclass(frozen=True, kw_only=True)
class TrainingRules:
    """``iterations``: mini-batches in all.  ``accumulate``: parts a mini-batch is computed in.

    ``clip_norm``: gradients longer than this are shortened to it; None: never.
    ``log_every``, ``evaluate_every``, ``checkpoint_every``: in iterations; 0: only at the end.
    """

    iterations: int
    accumulate: int
    clip_norm: float | None
    log_every: int
    evaluate_every: int
    checkpoint_every: int


def train(
    *,
    model: nn.Module,
    batches: Iterable[MiniBatch],
    optimizer: torch.optim.Optimizer,
    learning_rate: Schedule,
    rules: TrainingRules,
    start: int,
    seed: int,
    device: torch.device,
    precision: Precision,
    own: Processes,
    log: TrainingLog | None,
    evaluate: Callable[[], Metrics],
    save: Callable[[int, Metrics | None], None],
    settle: Callable[[], None] | None = None,
    unmeasured: bool = False,
) -> None:
    """Trains ``model`` from iteration ``start`` to the end.

    ``model``: takes the images and targets of a mini-batch, returns :class:`TrainingLosses`: a
    detector, a part of one (:mod:`detection.model.alternating`) or a classifier.
    ``evaluate``: measures the model as it is; called in the first process alone.
    ``save``: keeps a checkpoint after that many iterations, with the metrics if just measured.
    ``settle``: makes the model ready to be measured (BN statistics); called in every process.
    ``log``: None in all processes but the first.
    ``unmeasured``: the run that goes on was stopped before it had been measured at ``start``.
    Raises FloatingPointError when the loss is no number any more.
    """
    network = _distribute(model, own)
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    window = _Window(device, own)
    bar = tqdm(total=rules.iterations, initial=start, unit="it", disable=log is None, smoothing=0.1)

    def measure(done: int) -> None:
        if settle is not None:
            settle()
        metrics = own.from_first(evaluate() if own.is_first else None)
        learning_rate.observe(metrics)
        model.train()
        if log is not None:
            log.write(done, "validation", metrics)
        if own.is_first:
            save(done, metrics)
        window.restart()

    def is_measured(done: int) -> bool:
        return done >= rules.iterations or _due(done, rules.evaluate_every)

    model.train()
    if unmeasured and is_measured(start):
        measure(start)
    for iteration, batch in enumerate(batches, start=start):
        window.data_is_there()
        set_rate(optimizer, learning_rate(iteration))
        # Anchors and regions are drawn from this: a resumed run draws what this one would.
        torch.manual_seed((seed << 32) + iteration * own.world_size + own.rank)
        optimizer.zero_grad(set_to_none=True)
        parts = batch.to(device).split(rules.accumulate)
        for number, part in enumerate(parts, start=1):
            with _without_exchange(network, number < len(parts)):
                with autocast(device, precision):
                    losses: TrainingLosses = network(part.images, part.targets)
                share = len(part) / len(batch)
                (losses.total() * share).backward()
            window.add(losses.detached(), share)
        if rules.clip_norm is not None:
            window.add_norm(nn.utils.clip_grad_norm_(parameters, rules.clip_norm, foreach=True))
        optimizer.step()
        window.step_is_done()

        done = iteration + 1
        last = done == rules.iterations
        bar.update()
        if last or _due(done, rules.log_every):
            values = window.close(learning_rate(iteration), len(batch) * own.world_size)
            _check_finite(values, done, learning_rate)
            bar.set_postfix(loss=f"{values['total']:.3f}", lr=f"{values['learning_rate']:.2g}")
            if log is not None:
                log.write(done, "train", values)
        if is_measured(done) or _due(done, rules.checkpoint_every):
            _check_finite(window.losses(), done, learning_rate)
            # Before measuring: an error there must not cost the training so far.
            if own.is_first:
                save(done, None)
        if is_measured(done):
            measure(done)
    bar.close()


def _distribute(model: nn.Module, own: Processes) -> nn.Module:
    if own.world_size == 1:
        return model
    if any(isinstance(layer, nn.BatchNorm2d) for layer in model.modules()):
        if next(model.parameters()).device.type == "cpu":
            raise ValueError(
                "BN that learns needs the statistics of all processes together, which torch has on "
                "GPUs alone: train in one process, or with model.backbone.norm=frozen"
            )
        # In place, layer by layer: the optimizer keeps its parameters, the caller its model.
        nn.SyncBatchNorm.convert_sync_batchnorm(model)
    return DistributedDataParallel(model, broadcast_buffers=False)


def _without_exchange(network: nn.Module, yes: bool) -> AbstractContextManager[None]:
    """Processes exchange their gradients once in an iteration: with its last part."""
    if yes and isinstance(network, DistributedDataParallel):
        context: AbstractContextManager[None] = network.no_sync()
        return context
    return nullcontext()


def _due(done: int, every: int) -> bool:
    return every > 0 and done % every == 0


def _check_finite(values: dict[str, Any], done: int, learning_rate: Schedule) -> None:
    if not math.isfinite(values.get("total", 0.0)):
        raise FloatingPointError(
            f"the loss is {values['total']} at iteration {done} ({learning_rate}): training has "
            "diverged. Lower schedule.learning_rate.reference, lengthen "
            "schedule.learning_rate.warmup_iterations or set schedule.rules.clip_norm; the last "
            "checkpoint is as it was"
        )


class _Window:
    """Means over the iterations since the last line of the log.

    Sums stay on the device: reading a loss in every step would make the host wait for it.
    """

    def __init__(self, device: torch.device, own: Processes) -> None:
        self.device = device
        self.own = own
        self.restart()

    def restart(self) -> None:
        self.sums: dict[str, torch.Tensor] = {}
        self.norms: list[torch.Tensor] = []
        self.steps = 0
        self.waited = 0.0
        self.began = self.step_ended = time.perf_counter()

    def data_is_there(self) -> None:
        self.waited += time.perf_counter() - self.step_ended
        self.steps += 1

    def add(self, losses: dict[str, torch.Tensor], share: float) -> None:
        for name, value in losses.items():
            so_far = self.sums.get(name, torch.zeros((), device=self.device))
            self.sums[name] = so_far + value * share

    def step_is_done(self) -> None:
        self.step_ended = time.perf_counter()

    def add_norm(self, norm: torch.Tensor) -> None:
        self.norms.append(norm)

    def losses(self) -> dict[str, float]:
        """The means so far, over all processes; nothing at the beginning of a window."""
        means = {name: float(value) / self.steps for name, value in self.sums.items()}
        return self.own.mean(means)

    def close(self, learning_rate: float, images: int) -> dict[str, Any]:
        """The means, and what the step costs; then a new window begins."""
        values: dict[str, Any] = {**self.losses()}
        if self.norms:
            values["gradient_norm"] = float(torch.stack(self.norms).mean())
        seconds = (time.perf_counter() - self.began) / self.steps
        values |= {
            "learning_rate": learning_rate,
            "seconds_per_iteration": round(seconds, 4),
            "seconds_waiting_for_data": round(self.waited / self.steps, 4),
            "images_per_second": round(images / seconds, 3),
        }
        self.restart()
        return values
