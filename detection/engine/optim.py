"""Stochastic gradient descent with momentum, and how its learning rate goes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn


@dataclass(frozen=True, kw_only=True)
class LearningRate:
    """Linear warm-up, then a constant rate times ``decay`` at each of ``milestones``.

    ``reference``: the rate for mini-batches of ``reference_batch`` images.  It is rescaled to the
    actual ``batch_size`` in proportion (Goyal et al. 2017).
    ``warmup_factor``: the part of the rate to begin with, reaching 1 after ``warmup_iterations``.
    """

    reference: float
    reference_batch: int
    batch_size: int
    warmup_iterations: int
    warmup_factor: float
    milestones: Sequence[int]
    decay: float

    @property
    def base(self) -> float:
        """The rate after warm-up and before the first milestone."""
        return self.reference * self.batch_size / self.reference_batch

    def __call__(self, iteration: int) -> float:
        """The rate of an iteration, counted from 0."""
        rate = self.base * self.decay ** sum(iteration >= m for m in self.milestones)
        if iteration < self.warmup_iterations:
            done = iteration / self.warmup_iterations
            rate *= self.warmup_factor * (1 - done) + done
        return rate

    def __str__(self) -> str:
        return (
            f"learning rate {self.base:g} for mini-batches of {self.batch_size} "
            f"({self.reference:g} per {self.reference_batch}), warm-up {self.warmup_iterations} "
            f"iterations, x{self.decay:g} at {list(self.milestones)}"
        )


def sgd(
    model: nn.Module,
    *,
    momentum: float,
    weight_decay: float,
    bias_rate_factor: float,
    bias_weight_decay: float,
) -> torch.optim.SGD:
    """An optimizer over what learns in ``model``, two groups: weights, biases.

    ``bias_rate_factor``: biases learn this much faster; Caffe, and with it py-faster-rcnn, has
    ``lr_mult: 2, decay_mult: 0`` for them.  Set rates with :func:`set_rate`.
    """
    named = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
    biases = [p for name, p in named if name.endswith("bias")]
    weights = [p for name, p in named if not name.endswith("bias")]
    groups = [
        {"params": weights, "weight_decay": weight_decay, "factor": 1.0},
        {"params": biases, "weight_decay": bias_weight_decay, "factor": bias_rate_factor},
    ]
    # fused: each weight, gradient and momentum is read once, not once for each term of the update.
    return torch.optim.SGD(groups, lr=0.0, momentum=momentum, fused=True)


def set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = rate * group["factor"]
