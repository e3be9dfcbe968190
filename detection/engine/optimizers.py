"""Optimizers over what learns in a network, biases and BN layers apart."""

from __future__ import annotations

import torch
from torch import nn


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
