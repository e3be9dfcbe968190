"""The training loop, of detectors and of classifiers alike."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterable, Sequence, Set
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from tqdm import tqdm

from detection.damage import not_finite
from detection.engine.distributed import Processes
from detection.engine.log import TrainingLog
from detection.engine.optimizers import set_rate
from detection.engine.schedules import Schedule
from detection.engine.step_means import StepMeans
from detection.engine.stop import Stopped, StopRequest
from detection.precision import Precision, autocast
from detection.structures import Metrics

logger = logging.getLogger("train")

# In iterations.  Several processes agree on stopping only so often: it takes an exchange.
BETWEEN_AGREEMENTS = 10


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

    def split(self, micro_batches: int) -> Sequence[MiniBatch]: ...


@dataclass(frozen=True, kw_only=True)
class TrainingRules:
    """``iterations``: mini-batches in all.  ``accumulate``: micro-batches per mini-batch.

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
    network: nn.Module,
    batches: Iterable[MiniBatch],
    optimizer: torch.optim.Optimizer,
    learning_rate: Schedule,
    rules: TrainingRules,
    start: int,
    seed: int,
    device: torch.device,
    precision: Precision,
    processes: Processes,
    log: TrainingLog | None,
    validate: Callable[[], Metrics],
    save: Callable[[int, Metrics | None], None],
    update_bn_statistics: Callable[[], None] | None = None,
    not_validated: bool = False,
    stop: StopRequest | None = None,
) -> None:
    """Trains ``network`` from iteration ``start`` to the end.

    ``network``: takes the images and targets of a mini-batch, returns :class:`TrainingLosses`: a
    detector, one of its two networks (:mod:`detection.model.alternating`) or a classifier.
    ``validate``: measures the network as it is; called in the first process alone.
    ``save``: keeps a checkpoint after that many iterations, with the metrics if just measured.
    ``update_bn_statistics``: called in every process before each validation.
    ``log``: None in all processes but the first.
    ``not_validated``: whether the checkpoint that is resumed was saved before its validation: the
    training validates first then.
    ``stop``: when a request is made, in whichever process, training is saved and ends.
    Raises FloatingPointError when the loss, or a weight to be saved, is not finite, Stopped on a
    request.
    """
    distributed = _distribute(network, processes)
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    means = StepMeans(device, processes)
    zeros: set[str] = set()
    bar = tqdm(total=rules.iterations, initial=start, unit="it", disable=log is None, smoothing=0.1)

    def validate_and_save(done: int) -> None:
        if update_bn_statistics is not None:
            update_bn_statistics()
            _check_weights(network, done)
        # One process alone is saved, and may stop; of several the others would wait for the first.
        alone = stop is not None and processes.world_size == 1
        with stop.nothing_to_lose() if alone and stop else nullcontext():
            measured = validate() if processes.is_first else None
        metrics = processes.from_first(measured)
        learning_rate.observe(metrics)
        network.train()
        if log is not None:
            log.write(done, "validation", metrics)
        if processes.is_first:
            save(done, metrics)
        means.restart()

    def validation_is_due(done: int) -> bool:
        return done >= rules.iterations or _due(done, rules.evaluate_every)

    network.train()
    if not_validated and validation_is_due(start):
        validate_and_save(start)
    for iteration, batch in enumerate(batches, start=start):
        means.data_is_there()
        set_rate(optimizer, learning_rate(iteration))
        # Dropout is drawn from this: a resumed run draws what this one would.
        torch.manual_seed((seed << 32) + iteration * processes.world_size + processes.rank)
        optimizer.zero_grad(set_to_none=True)
        micro_batches = batch.to(device).split(rules.accumulate)
        for number, micro_batch in enumerate(micro_batches, start=1):
            with _exchange_of_gradients(distributed, wanted=number == len(micro_batches)):
                with autocast(device, precision):
                    losses: TrainingLosses = distributed(micro_batch.images, micro_batch.targets)
                share = len(micro_batch) / len(batch)
                (losses.total() * share).backward()
            means.add(losses.detached(), share)
        if rules.clip_norm is not None:
            means.add_norm(nn.utils.clip_grad_norm_(parameters, rules.clip_norm, foreach=True))
        optimizer.step()
        means.step_is_done()

        done = iteration + 1
        bar.update()
        if done == rules.iterations or _due(done, rules.log_every):
            values = means.close(learning_rate(iteration), len(batch) * processes.world_size)
            _check_finite(values, done, learning_rate)
            if log is not None:
                zeros |= _say_zeros(values, losses.detached().keys() - zeros, done)
            bar.set_postfix(loss=f"{values['total']:.3f}", lr=f"{values['learning_rate']:.2g}")
            if log is not None:
                log.write(done, "train", values)
        is_stopped = stop is not None and _agree_to_stop(
            stop, processes, is_time=validation_is_due(done) or _due(done, BETWEEN_AGREEMENTS)
        )
        if is_stopped or validation_is_due(done) or _due(done, rules.checkpoint_every):
            _check_finite(means.losses(), done, learning_rate)
            _check_weights(network, done)
            # Before the validation: an error there must not cost the training so far.
            if processes.is_first:
                save(done, None)
        if is_stopped:
            processes.wait()  # the first one has saved
            raise Stopped
        if validation_is_due(done):
            validate_and_save(done)
    bar.close()


def _distribute(network: nn.Module, processes: Processes) -> nn.Module:
    if processes.world_size == 1:
        return network
    if any(isinstance(layer, nn.BatchNorm2d) for layer in network.modules()):
        if next(network.parameters()).device.type == "cpu":
            raise ValueError(
                "BN that learns needs the statistics of all processes together, which torch has on "
                "GPUs alone: train in one process, or with model.backbone.norm=frozen"
            )
        # In place, layer by layer: the optimizer keeps its parameters, the caller its model.
        nn.SyncBatchNorm.convert_sync_batchnorm(network)
    return DistributedDataParallel(network, broadcast_buffers=False)


def _exchange_of_gradients(network: nn.Module, *, wanted: bool) -> AbstractContextManager[None]:
    """Processes exchange their gradients once per iteration: with its last micro-batch."""
    if not wanted and isinstance(network, DistributedDataParallel):
        context: AbstractContextManager[None] = network.no_sync()
        return context
    return nullcontext()


def _agree_to_stop(stop: StopRequest, processes: Processes, *, is_time: bool) -> bool:
    """Whether a request was made in any process; the same answer in all, at the same iteration."""
    if processes.world_size == 1:
        return stop.is_made
    return is_time and any(processes.gather(stop.is_made))


def _due(done: int, every: int) -> bool:
    return every > 0 and done % every == 0


def _check_finite(values: dict[str, Any], done: int, learning_rate: Schedule) -> None:
    # Empty right after a line of the log, for which they have been checked.
    if not math.isfinite(values.get("total", 0.0)):
        raise FloatingPointError(
            f"the loss is {values['total']} at iteration {done} ({learning_rate}): training has "
            "diverged. Lower schedule.learning_rate.reference, lengthen "
            "schedule.learning_rate.warmup_iterations or set schedule.rules.clip_norm; the last "
            "checkpoint is as it was"
        )


def _say_zeros(values: dict[str, Any], names: Set[str], done: int) -> set[str]:
    """Those of the losses that were exactly 0 since the last line of the log: nothing is learnt."""
    zeros = {name for name in names if values[name] == 0}
    if zeros:
        logger.warning(
            "%s exactly 0 up to iteration %d: nothing is learnt there; look at the boxes, "
            "model.rpn.anchors.sizes and model.rpn.sampling.cross_boundary",
            " and ".join(sorted(zeros)) + (" was" if len(zeros) == 1 else " were"),
            done,
        )
    return zeros


def _check_weights(network: nn.Module, done: int) -> None:
    """A step can leave them so while its loss, of the weights before it, is finite."""
    bad = not_finite(network.state_dict())
    if bad:
        raise FloatingPointError(
            f"{bad[0]} is not finite after iteration {done} ({len(bad)} tensors in all), although "
            "the loss was: training has diverged. Lower schedule.learning_rate.reference or set "
            "schedule.rules.clip_norm; the last checkpoint is as it was"
        )
