"""The training loop, of detectors and of classifiers alike."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from detection.engine.averaged_weights import AveragedWeights
from detection.engine.distributed import Processes
from detection.engine.divergence import check_loss, check_weights, say_zeros
from detection.engine.log import TrainingLog
from detection.engine.optimizers import set_rate
from detection.engine.progress import TrainingProgress
from detection.engine.schedules import Schedule
from detection.engine.step_means import StepMeans
from detection.engine.stop import Stopped, StopRequest
from detection.precision import Precision, autocast
from detection.structures import Metrics

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
    ``patience``: training ends after so many validations in a row none of which was the best so
    far; None: never before ``iterations``.
    ``ema_decay``: of :class:`detection.engine.averaged_weights.AveragedWeights`; None: none.
    """

    iterations: int
    accumulate: int
    clip_norm: float | None
    log_every: int
    evaluate_every: int
    checkpoint_every: int
    patience: int | None
    ema_decay: float | None


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
    averaged: AveragedWeights | None = None,
    is_over: Callable[[], bool] | None = None,
    progress: TrainingProgress | None = None,
    between_steps: Callable[[], None] | None = None,
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
    ``averaged``: of the network's weights; they are followed, and validated in their place.
    ``is_over``: asked in the first process, at the start and after each validation: whether
    training ends before its last iteration.
    ``progress``: shows it to people.
    ``between_steps``: called after each step, in every process.
    Raises FloatingPointError when the loss, or a weight to be saved, is not finite, Stopped on a
    request.
    """
    distributed = _distribute(network, processes)
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    means = StepMeans(device, processes)
    zeros: set[str] = set()
    progress = progress or TrainingProgress(start=start, rules=rules, is_shown=log is not None)

    def validate_and_save(done: int) -> None:
        progress.validation_begins()
        with averaged.in_place() if averaged else nullcontext():
            if update_bn_statistics is not None:
                update_bn_statistics()
                check_weights(network, done)
            # One process alone is saved, and may stop; of several the others would wait for it.
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
        progress.validation_ends(done, metrics)
        means.restart()

    def ends_early() -> bool:
        return bool(processes.from_first(is_over is not None and is_over()))

    def validation_is_due(done: int) -> bool:
        return done >= rules.iterations or _due(done, rules.evaluate_every)

    network.train()
    if start:  # what is saved again, before any step, is as it was
        set_rate(optimizer, learning_rate(start - 1))
    if not_validated and validation_is_due(start):
        validate_and_save(start)
    if ends_early():
        return
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
        done = iteration + 1
        if averaged is not None:
            averaged.update(done)
        means.step_is_done()
        progress.step_is_done(done)
        if between_steps is not None:
            between_steps()
        if done == rules.iterations or _due(done, rules.log_every):
            values = means.close(learning_rate(iteration), len(batch) * processes.world_size)
            check_loss(values, done, learning_rate)
            if log is not None:
                zeros |= say_zeros(values, losses.detached().keys() - zeros, done)
            progress.losses(done, values)
            if log is not None:
                log.write(done, "train", values)
        is_stopped = stop is not None and _agree_to_stop(
            stop, processes, is_time=validation_is_due(done) or _due(done, BETWEEN_AGREEMENTS)
        )
        if is_stopped or validation_is_due(done) or _due(done, rules.checkpoint_every):
            check_loss(means.losses(), done, learning_rate)
            check_weights(network, done)
            # Before the validation: an error there must not cost the training so far.
            if processes.is_first:
                save(done, None)
        if is_stopped:
            processes.wait()  # the first one has saved
            raise Stopped
        if validation_is_due(done):
            validate_and_save(done)
            if ends_early():
                break
    progress.close()


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
