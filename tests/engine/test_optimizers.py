"""The groups of the optimizers."""

import torch
from torch import nn

from detection.engine.optimizers import adamw, set_rate, sgd

RULES = {
    "momentum": 0.9,
    "weight_decay": 1e-4,
    "bias_rate_factor": 2.0,
    "bias_weight_decay": 0.0,
    "norm_weight_decay": 0.01,
}


def test_biases_learn_at_their_own_rate_and_frozen_parameters_not_at_all() -> None:
    model = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1))
    model[1].weight.requires_grad_(False)
    optimizer = sgd(model, **RULES)
    set_rate(optimizer, 0.1)
    weights, biases = optimizer.param_groups
    assert [p.shape for p in weights["params"]] == [model[0].weight.shape]
    assert (weights["lr"], weights["weight_decay"]) == (0.1, 1e-4)
    assert len(biases["params"]) == 2
    assert (biases["lr"], biases["weight_decay"]) == (0.2, 0.0)


def test_adamw_learns_all_parameters_alike() -> None:
    model = nn.Linear(2, 1)
    model.weight.requires_grad_(False)
    optimizer = adamw(model, betas=(0.9, 0.999), weight_decay=0.5)
    set_rate(optimizer, 0.1)
    before = model.bias.detach().clone()
    model(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    # Adam's first step is the rate long; decoupled decay takes rate * 0.5 of the value besides.
    torch.testing.assert_close(model.bias.detach(), before * (1 - 0.05) - 0.1)


def test_bn_that_learns_has_a_weight_decay_of_its_own() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4))
    optimizer = sgd(model, **RULES)
    set_rate(optimizer, 0.1)
    weights, biases, norms = optimizer.param_groups
    assert [len(group["params"]) for group in (weights, biases, norms)] == [1, 1, 2]
    assert {id(p) for p in norms["params"]} == {id(p) for p in model[1].parameters()}
    assert (norms["lr"], norms["weight_decay"]) == (0.1, 0.01)
