"""Optimizers, and how their learning rate goes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import nn

Metrics = dict[str, float | None]


@dataclass(frozen=True, kw_only=True)
class Schedule(ABC):
    """Linear warm-up, then what :meth:`progress` says.

    ``reference``: the rate for mini-batches of ``reference_batch`` images.  It is rescaled to the
    actual ``batch_size`` in proportion (Goyal et al. 2017).
    ``warmup_factor``: the part of the rate to begin with, reaching 1 after ``warmup_iterations``.
    """

    reference: float
    reference_batch: int
    batch_size: int
    warmup_iterations: int
    warmup_factor: float

    @property
    def base(self) -> float:
        """The rate after warm-up, before it falls."""
        return self.reference * self.batch_size / self.reference_batch

    def __call__(self, iteration: int) -> float:
        """The rate of an iteration, counted from 0."""
        rate = self.base * self.progress(iteration)
        return rate * self.warmup(iteration) if iteration < self.warmup_iterations else rate

    def warmup(self, iteration: int) -> float:
        """The part of the rate while ``iteration < warmup_iterations``."""
        done = iteration / self.warmup_iterations
        return self.warmup_factor * (1 - done) + done

    @abstractmethod
    def progress(self, iteration: int) -> float:
        """The part of the rate that is left at an iteration, in [0, 1]."""

    def observe(self, metrics: Metrics) -> None:  # noqa: B027  (most schedules do not look)
        """Is told what a validation measured, in all processes."""

    def state(self) -> list[float]:
        """What :meth:`restore` needs when training is resumed."""
        return []

    def restore(self, state: Sequence[float]) -> None:
        assert not state

    def __str__(self) -> str:
        return (
            f"learning rate {self.base:g} for mini-batches of {self.batch_size} "
            f"({self.reference:g} per {self.reference_batch}), warm-up {self.warmup_iterations} "
            f"iterations"
        )


@dataclass(frozen=True, kw_only=True)
class LearningRate(Schedule):
    """A constant rate times ``decay`` at each of ``milestones``."""

    milestones: Sequence[int]
    decay: float

    def progress(self, iteration: int) -> float:
        return self.decay ** sum(iteration >= m for m in self.milestones)

    def __str__(self) -> str:
        return f"{super().__str__()}, x{self.decay:g} at {list(self.milestones)}"


@dataclass(frozen=True, kw_only=True)
class ConstantWarmUp(LearningRate):
    """Warm-up at one low rate, then the whole (He et al. 2015, section 4.2, 110 layers).

    "We use 0.01 to warm up the training until the training error is below 80% (about 400
    iterations), and then go back to 0.1": the iterations are fixed here.
    """

    def warmup(self, iteration: int) -> float:
        return self.warmup_factor


@dataclass(frozen=True, kw_only=True)
class LinearDecay(Schedule):
    """The rate falls in a straight line to zero at ``iterations``."""

    iterations: int

    def progress(self, iteration: int) -> float:
        return 1 - iteration / self.iterations

    def __str__(self) -> str:
        return f"{super().__str__()}, falling to zero at {self.iterations}"


@dataclass(frozen=True, kw_only=True)
class DivideOnPlateau(Schedule):
    """The rate times ``decay`` "when the error plateaus" (He et al. 2015, section 3.4).

    A plateau: ``patience`` validations in a row whose ``error`` was not lower by ``improvement``
    than the lowest before.
    """

    decay: float
    patience: int
    improvement: float
    errors: list[float] = field(default_factory=list, init=False, repr=False)

    def progress(self, iteration: int) -> float:
        return self.decay ** self.plateaus()

    def plateaus(self) -> int:
        """How many there were so far."""
        lowest, waited, plateaus = float("inf"), 0, 0
        for error in self.errors:
            if error <= lowest - self.improvement:
                lowest, waited = error, 0
                continue
            waited += 1
            if waited == self.patience:
                plateaus, waited = plateaus + 1, 0
        return plateaus

    def observe(self, metrics: Metrics) -> None:
        error = metrics["error"]
        assert error is not None
        self.errors.append(error)

    def state(self) -> list[float]:
        return list(self.errors)

    def restore(self, state: Sequence[float]) -> None:
        self.errors[:] = state

    def __str__(self) -> str:
        return (
            f"{super().__str__()}, x{self.decay:g} after {self.patience} validations without "
            f"{100 * self.improvement:g} % less error"
        )


def sgd(
    model: nn.Module,
    *,
    momentum: float,
    weight_decay: float,
    bias_rate_factor: float,
    bias_weight_decay: float,
    norm_weight_decay: float,
) -> torch.optim.SGD:
    """An optimizer over what learns in ``model``: weights, biases and, where BN learns, its layers.

    ``bias_rate_factor``: biases learn this much faster; Caffe, and with it py-faster-rcnn, has
    ``lr_mult: 2, decay_mult: 0`` for them.  ``norm_weight_decay``: of BN's scales and shifts.
    Set rates with :func:`set_rate`.
    """
    norms = _norm_parameters(model)
    of_norms = {id(p) for p in norms}
    weights, biases = (
        [p for p in group if id(p) not in of_norms] for group in _weights_and_biases(model)
    )
    groups = [
        {"params": weights, "weight_decay": weight_decay, "factor": 1.0},
        {"params": biases, "weight_decay": bias_weight_decay, "factor": bias_rate_factor},
    ]
    if norms:
        groups.append({"params": norms, "weight_decay": norm_weight_decay, "factor": 1.0})
    # fused: each weight, gradient and momentum is read once, not once for each term of the update.
    return torch.optim.SGD(groups, lr=0.0, momentum=momentum, fused=True)


def adamw(
    model: nn.Module, *, betas: tuple[float, float], weight_decay: float
) -> torch.optim.AdamW:
    """For trainings of a few hundred steps, which are not enough for SGD from random weights.

    Loshchilov & Hutter 2019; weight decay on all that learns.
    """
    weights, biases = _weights_and_biases(model)
    groups = [{"params": weights + biases, "factor": 1.0}]
    return torch.optim.AdamW(
        groups, lr=0.0, betas=(betas[0], betas[1]), weight_decay=weight_decay, fused=True
    )


def _weights_and_biases(model: nn.Module) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
    named = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
    biases = [p for name, p in named if name.endswith("bias")]
    return [p for name, p in named if not name.endswith("bias")], biases


def _norm_parameters(model: nn.Module) -> list[nn.Parameter]:
    """Scales and shifts of the BN layers that learn."""
    return [
        p
        for layer in model.modules()
        if isinstance(layer, nn.modules.batchnorm._BatchNorm)
        for p in layer.parameters()
        if p.requires_grad
    ]


def set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = rate * group["factor"]
