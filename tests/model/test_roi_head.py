"""The Fast R-CNN head: its losses by hand, and its predictions."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from detection.model.roi_head import RoIHead
from detection.model.subsample import Subsample
from detection.model.targets import RegionSampling, RegionTargets
from detection.structures import Target

MakeTarget = Callable[..., Target]

SAMPLING = RegionSampling(
    per_image=16,
    foreground_fraction=0.25,
    foreground_iou=0.5,
    background_iou=(0.0, 0.5),
    ignore_coverage=0.7,
    divide_by="image",
)
WEIGHTS = (10.0, 10.0, 5.0, 5.0)


def head(**changes: Any) -> RoIHead:
    arguments: dict[str, Any] = {
        "in_channels": 8,
        "num_classes": 3,
        "pooled_size": 7,
        "pooling": "roi_pool",
        "sampling": SAMPLING,
        "box_weights": WEIGHTS,
        "sigma": 1.0,
        "class_init_std": 0.01,
        "box_init_std": 0.001,
    }
    return RoIHead(**(arguments | changes))


def test_the_two_layers_begin_with_gaussians_of_their_own() -> None:
    # Girshick 2015, section 2.3: deviations 0.01 and 0.001, and biases 0.
    network = head(in_channels=2000, num_classes=20)
    for layer, std in ((network.logits, 0.01), (network.deltas, 0.001)):
        assert layer.weight.std().item() == pytest.approx(std, rel=0.03)
        assert float((layer.weight.abs() > 2 * std).float().mean()) == pytest.approx(
            0.0455, abs=5e-3
        )
        assert not bool(layer.bias.any())


def test_everything_ignored_costs_nothing(target: MakeTarget) -> None:
    network = head()
    crowd = target([[0, 0, 200, 200]], ignored=[True])
    corner = torch.rand(10, 2) * 80
    proposals = torch.cat((corner, corner + 5 + 30 * torch.rand(10, 2)), dim=1)
    regions = network.subsample(proposals, crowd)
    assert not bool(regions.sampled.valid.any())
    logits, deltas = network(torch.randn(len(regions.labels), 8))
    classes, box = network.losses(logits, deltas, [regions])
    assert (classes.item(), box.item()) == (0, 0)
    (classes + box).backward()
    assert network.logits.weight.grad is not None
    assert not bool(network.logits.weight.grad.any())


def region_targets(labels: list[int], deltas: Tensor, valid: list[bool]) -> RegionTargets:
    label = torch.tensor(labels)
    return RegionTargets(
        boxes=torch.zeros(len(labels), 4),
        labels=label,
        deltas=deltas,
        sampled=Subsample(torch.arange(len(labels)), label > 0, torch.tensor(valid)),
    )


def test_losses_by_hand() -> None:
    # Four regions of which one, of class 2, is foreground.
    targets = region_targets([2, 0, 0, 0], torch.zeros(4, 4), [True] * 4)
    deltas = torch.full((4, 3, 4), 100.0)  # wrong for all other classes, and it must not matter
    deltas[0, 1] = torch.tensor([1.0, 0.5, 0, -2.0])
    logits = torch.zeros(4, 4)
    logits[0, 2] = math.log(3)
    classes, box = head().losses(logits, deltas, [targets])
    # Region 0: -ln(3 / (3 + 1 + 1 + 1)) = ln 2; the others: ln 4 = 2 ln 2.  7 ln 2 / 4.
    assert classes.item() == pytest.approx(7 * math.log(2) / 4)
    # (1 - 0.5) + 0.5 * 0.25 + 0 + (2 - 0.5) = 2.125, divided by *all four* regions.
    assert box.item() == pytest.approx(2.125 / 4)


def test_regions_that_are_not_there_do_not_count() -> None:
    # As above, but the last two regions only fill the tensor: divided by 2.
    targets = region_targets([2, 0, 0, 0], torch.zeros(4, 4), [True, True, False, False])
    deltas = torch.zeros(4, 3, 4)
    deltas[0, 1, 0] = 1
    logits = torch.zeros(4, 4)
    logits[2:] = 50 * torch.randn(2, 4)
    classes, box = head().losses(logits, deltas, [targets])
    assert classes.item() == pytest.approx(math.log(4))
    assert box.item() == pytest.approx(0.5 / 2)


def test_losses_are_means_over_the_images() -> None:
    network = head()
    first = region_targets([1, 0, 0], torch.randn(3, 4), [True] * 3)
    second = region_targets([3, 0], torch.randn(2, 4), [True] * 2)
    logits, deltas = torch.randn(5, 4), torch.randn(5, 3, 4)
    together = network.losses(logits, deltas, [first, second])
    apart = [
        network.losses(logits[:3], deltas[:3], [first]),
        network.losses(logits[3:], deltas[3:], [second]),
    ]
    for kind in range(2):
        torch.testing.assert_close(together[kind], (apart[0][kind] + apart[1][kind]) / 2)


def test_only_the_deltas_of_the_own_class_learn() -> None:
    targets = region_targets([2, 0], torch.ones(2, 4), [True] * 2)
    deltas = torch.zeros(2, 3, 4, requires_grad=True)
    _, box = head().losses(torch.zeros(2, 4), deltas, [targets])
    box.backward()
    assert deltas.grad is not None
    assert deltas.grad.abs().sum(dim=2).nonzero().tolist() == [[0, 1]]  # class 2 is at 1


def test_predictions_by_hand() -> None:
    # One region of 20 x 20 around (20, 20).  Class 1: as it is.  Class 2: centre moved by
    # 5 / 10 * 20 = 10 to the right.  Class 3: twice as wide (5 ln 2 / 5), cut at x = 0 and 35.
    deltas = torch.zeros(1, 3, 4)
    deltas[0, 1, 0] = 5
    deltas[0, 2, 2] = 5 * math.log(2)
    logits = torch.tensor([[0.0, math.log(2), 0, 0]])
    found = head().predictions(logits, deltas, torch.tensor([[10.0, 10, 30, 30]]), (100, 35))
    torch.testing.assert_close(found.probabilities, torch.tensor([[0.2, 0.4, 0.2, 0.2]]))
    expected = torch.tensor([[[10.0, 10, 30, 30], [20, 10, 35, 30], [0, 10, 35, 30]]])
    torch.testing.assert_close(found.boxes, expected)


def test_predictions_of_no_regions_have_their_shapes() -> None:
    network = head()
    logits, deltas = network(torch.zeros(0, 8))
    found = network.predictions(logits, deltas, torch.zeros(0, 4), (10, 10))
    assert found.probabilities.shape == (0, 4)
    assert found.boxes.shape == (0, 3, 4)


def test_deltas_are_ordered_class_by_class() -> None:
    network = head()
    with torch.no_grad():
        network.deltas.weight.zero_()
        network.deltas.bias.copy_(torch.arange(12.0))
    _, deltas = network(torch.zeros(2, 8))
    assert torch.equal(deltas[0], torch.arange(12.0).reshape(3, 4))


def test_losses_over_the_batch_weigh_every_region_alike() -> None:
    # Class losses ln 4 each in three regions of one image, and 0 in the one of the other: their
    # means are ln 4 and 0, of the batch 3 ln 4 / 4.
    network = head(sampling=replace(SAMPLING, divide_by="batch"))
    first = region_targets([0, 0, 0], torch.zeros(3, 4), [True] * 3)
    second = region_targets([0, 0], torch.zeros(2, 4), [True, False])
    logits = torch.zeros(5, 4)
    logits[3, 0] = 100
    classes, _ = network.losses(logits, torch.zeros(5, 3, 4), [first, second])
    assert classes.item() == pytest.approx(3 * math.log(4) / 4)
    classes, _ = head().losses(logits, torch.zeros(5, 3, 4), [first, second])
    assert classes.item() == pytest.approx(math.log(4) / 2)


def test_unknown_choices_are_refused() -> None:
    with pytest.raises(ValueError, match="pooling must be roi_pool or roi_align, got 'max'"):
        head(pooling="max")
    with pytest.raises(ValueError, match="divide_by must be image or batch, got 'all'"):
        replace(SAMPLING, divide_by="all")  # type: ignore[arg-type]
