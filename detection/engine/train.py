"""The training loop."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from tqdm import tqdm

from detection.data.loader import Batch
from detection.engine.distributed import Processes
from detection.engine.log import TrainingLog
from detection.engine.optim import LearningRate, set_rate
from detection.inference.detector import Precision
from detection.model.faster_rcnn import FasterRCNN

Metrics = dict[str, float | None]


@dataclass(frozen=True, kw_only=True)
class TrainingRules:
    """``iterations``: mini-batches in all.  ``accumulate``: parts a mini-batch is computed in.

    ``clip_norm``: gradients longer than this are shortened to it; None: never.
    ``precise_bn``: mini-batches whose BN statistics replace the running averages before measuring,
    where BN learns; 0: the running averages stay.
    ``log_every``, ``evaluate_every``, ``checkpoint_every``: in iterations; 0: only at the end.
    """

    iterations: int
    accumulate: int
    clip_norm: float | None
    log_every: int
    evaluate_every: int
    checkpoint_every: int
    precise_bn: int


def train(
    *,
    model: FasterRCNN,
    batches: Iterable[Batch],
    optimizer: torch.optim.Optimizer,
    learning_rate: LearningRate,
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
) -> None:
    """Trains ``model`` from iteration ``start`` to the end.

    ``evaluate``: measures the model as it is; called in the first process alone.
    ``save``: keeps a checkpoint after that many iterations, with the metrics if just measured.
    ``settle``: makes the model ready to be measured (BN statistics); called in every process.
    ``log``: None in all processes but the first.
    Raises FloatingPointError when the loss is no number any more.
    """
    network = _distribute(model, own)
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    window = _Window(device)
    bar = tqdm(total=rules.iterations, initial=start, unit="it", disable=log is None, smoothing=0.1)
    model.train()
    for iteration, batch in enumerate(batches, start=start):
        window.data_is_there()
        set_rate(optimizer, learning_rate(iteration))
        # Anchors and regions are drawn from this: a resumed run draws what this one would.
        torch.manual_seed((seed << 32) + iteration * own.world_size + own.rank)
        optimizer.zero_grad(set_to_none=True)
        for part in batch.to(device).split(rules.accumulate):
            with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16"):
                losses = network(part.images, part.targets)
            share = len(part.images) / len(batch.images)
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
            values = window.close(learning_rate(iteration), len(batch.images) * own.world_size)
            _check_finite(values, done, learning_rate)
            bar.set_postfix(loss=f"{values['total']:.3f}", lr=f"{values['learning_rate']:.2g}")
            if log is not None:
                log.write(done, "train", values)
        measuring = last or _due(done, rules.evaluate_every)
        # Before measuring: an error there must not cost the training so far.
        if own.is_first and (measuring or _due(done, rules.checkpoint_every)):
            save(done, None)
        if measuring and settle is not None:
            settle()
        if own.is_first and measuring:
            metrics = evaluate()
            model.train()
            if log is not None:
                log.write(done, "validation", metrics)
            save(done, metrics)
            window.restart()
    bar.close()


def _distribute(model: FasterRCNN, own: Processes) -> nn.Module:
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


def _due(done: int, every: int) -> bool:
    return every > 0 and done % every == 0


def _check_finite(values: dict[str, Any], done: int, learning_rate: LearningRate) -> None:
    if not math.isfinite(values["total"]):
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

    def __init__(self, device: torch.device) -> None:
        self.device = device
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

    def close(self, learning_rate: float, images: int) -> dict[str, Any]:
        """The means, and what the step costs; then a new window begins."""
        values: dict[str, Any] = {k: float(v) / self.steps for k, v in self.sums.items()}
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
