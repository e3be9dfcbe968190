"""The learning rate and the two groups of the optimizer."""

import pytest
from torch import nn

from detection.engine.optim import LearningRate, set_rate, sgd

RULES = {
    "momentum": 0.9,
    "weight_decay": 1e-4,
    "bias_rate_factor": 2.0,
    "bias_weight_decay": 0.0,
    "norm_weight_decay": 0.01,
}


@pytest.fixture
def schedule() -> LearningRate:
    return LearningRate(
        reference=0.02,
        reference_batch=16,
        batch_size=4,
        warmup_iterations=10,
        warmup_factor=0.1,
        milestones=[100, 150],
        decay=0.1,
    )


@pytest.mark.parametrize(
    ("iteration", "rate"),
    [
        (0, 0.0005),  # 0.02 * 4 / 16 = 0.005; a tenth of it at the start of the warm-up
        (5, 0.00275),  # half way: 0.005 * (0.1 * 0.5 + 0.5)
        (10, 0.005),
        (99, 0.005),
        (100, 0.0005),
        (150, 0.00005),
    ],
)
def test_rate_follows_warm_up_and_milestones(
    schedule: LearningRate, iteration: int, rate: float
) -> None:
    assert schedule(iteration) == pytest.approx(rate)


def test_the_rescaled_rate_is_printed(schedule: LearningRate) -> None:
    assert "0.005 for mini-batches of 4 (0.02 per 16)" in str(schedule)


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


def test_bn_that_learns_has_a_weight_decay_of_its_own() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4))
    optimizer = sgd(model, **RULES)
    set_rate(optimizer, 0.1)
    weights, biases, norms = optimizer.param_groups
    assert [len(group["params"]) for group in (weights, biases, norms)] == [1, 1, 2]
    assert {id(p) for p in norms["params"]} == {id(p) for p in model[1].parameters()}
    assert (norms["lr"], norms["weight_decay"]) == (0.1, 0.01)
