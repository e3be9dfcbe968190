"""The average of the weights that learn."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from detection.engine.averaged_weights import AveragedWeights, averaged_weights


def one_weight(value: float = 1.0) -> nn.Linear:
    layer = nn.Linear(1, 1)
    nn.init.constant_(layer.weight, value)
    nn.init.constant_(layer.bias, 5.0)
    layer.bias.requires_grad_(False)
    return layer


def step_to(layer: nn.Linear, value: float) -> None:
    with torch.no_grad():
        layer.weight.fill_(value)


def test_an_update_keeps_the_decay_of_the_average_and_less_at_first() -> None:
    layer = one_weight(1.0)
    averaged = AveragedWeights(layer, 0.5)
    step_to(layer, 2.0)
    averaged.update(1)  # (1 + 1) / (10 + 1) = 2 / 11 is less than 0.5: 1 x 2/11 + 2 x 9/11
    assert averaged.weights()["weight"].item() == pytest.approx(20 / 11)
    step_to(layer, 0.0)
    averaged.update(100)  # 101 / 110 is more than 0.5
    assert averaged.weights()["weight"].item() == pytest.approx(10 / 11)
    assert layer.weight.item() == 0.0


def test_the_model_has_the_average_in_place_alone() -> None:
    layer = one_weight(1.0)
    averaged = AveragedWeights(layer, 0.5)
    step_to(layer, 3.0)

    def validate() -> None:
        with averaged.in_place():
            assert (layer.weight.item(), layer.bias.item()) == (1.0, 5.0)
            raise KeyError

    with pytest.raises(KeyError):
        validate()
    assert (layer.weight.item(), layer.bias.item()) == (3.0, 5.0)
    assert averaged.weights()["weight"].item() == 1.0


def test_what_is_fixed_is_not_followed() -> None:
    assert set(AveragedWeights(one_weight(), 0.5).weights()) == {"weight"}


def test_statistics_that_change_in_place_belong_to_the_average() -> None:
    layer = nn.BatchNorm2d(1)
    averaged = AveragedWeights(layer, 0.5)
    with averaged.in_place():
        layer.running_mean.fill_(7.0)  # type: ignore[union-attr]
    assert averaged.weights()["running_mean"].item() == 7.0
    assert layer.running_mean.item() == 0.0  # type: ignore[union-attr]
    assert layer.state_dict().keys() - averaged.weights().keys() == {"num_batches_tracked"}


def test_a_checkpoint_restores_both() -> None:
    layer = one_weight(2.0)  # the average, out of a checkpoint
    averaged = averaged_weights(layer, 0.5, {"weight": torch.tensor([[4.0]])})
    assert averaged is not None
    assert averaged.weights()["weight"].item() == 2.0
    assert layer.weight.item() == 4.0
    # A run that goes on without the average goes on from the weights that were trained.
    layer = one_weight(2.0)
    assert averaged_weights(layer, None, {"weight": torch.tensor([[4.0]])}) is None
    assert layer.weight.item() == 4.0
