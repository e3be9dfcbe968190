"""The Fast R-CNN head: what it learns from, its losses by hand, and its predictions."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from detection.boxes import encode, iou
from detection.model.roi_head import RegionSampling, RegionTargets, RoIHead
from detection.model.targets import Sample
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


def proposals(boxes: list[list[float]] | Tensor) -> Tensor:
    return torch.as_tensor(boxes, dtype=torch.float32).reshape(-1, 4)


def scattered(count: int) -> Tensor:
    corner = torch.rand(count, 2) * 80
    return torch.cat((corner, corner + 5 + 30 * torch.rand(count, 2)), dim=1)


def drawn_rows(regions: RegionTargets) -> list[tuple[list[float], int]]:
    """(box, label) of the valid regions."""
    valid = regions.drawn.valid
    return list(zip(regions.boxes[valid].tolist(), regions.labels[valid].tolist(), strict=True))


def test_the_objects_themselves_are_regions(target: MakeTarget) -> None:
    objects = target([[0, 0, 20, 20], [40, 40, 70, 60]], labels=[3, 1])
    regions = head().sample(proposals([]), objects)
    # Two candidates, the objects; a quarter of 16 regions may be foreground: both.
    assert sorted(drawn_rows(regions)) == [([0, 0, 20, 20], 3), ([40, 40, 70, 60], 1)]
    assert torch.equal(regions.deltas, torch.zeros(2, 4))


@pytest.mark.parametrize("seed", range(5))
def test_invariants_of_region_sampling(seed: int, target: MakeTarget, device: torch.device) -> None:
    torch.manual_seed(seed)
    objects = target([[0, 0, 20, 20], [40, 40, 70, 60]], labels=[3, 1])
    boxes = torch.cat((scattered(100), objects.boxes.repeat(10, 1) + torch.randn(20, 4)))
    regions = head().sample(proposals(boxes.to(device)), objects.to(device))
    drawn = regions.drawn
    assert len(regions.boxes) == len(regions.labels) == len(regions.deltas) == 16
    assert int(drawn.positive.sum()) == 4  # a quarter of 16
    assert bool(drawn.valid.all())
    assert bool(((regions.labels > 0) == drawn.positive).all())
    assert bool(((regions.labels >= 0) & (regions.labels <= 3)).all())
    overlap, nearest = iou(regions.boxes.cpu(), objects.boxes).max(dim=1)
    positive = drawn.positive.cpu()
    assert bool((overlap[positive] >= 0.5).all())
    assert bool((overlap[~positive] < 0.5).all())
    assert torch.equal(regions.labels.cpu()[positive], objects.labels[nearest[positive]])
    wanted = encode(objects.boxes[nearest], regions.boxes.cpu(), WEIGHTS)
    torch.testing.assert_close(regions.deltas.cpu()[positive], wanted[positive])
    assert torch.equal(regions.deltas.cpu()[~positive], torch.zeros(12, 4))


def test_background_has_at_least_the_lower_overlap(target: MakeTarget) -> None:
    # IoU with the object 0, 20 / 180 = 0.11 and 1/3: only the last two are hard enough for 0.1.
    boxes = [[50, 50, 60, 60], [0, 8, 10, 18], [0, 5, 10, 15]]
    objects = target([[0, 0, 10, 10]])
    hard = head(sampling=replace(SAMPLING, background_iou=(0.1, 0.5), per_image=4))
    background = [
        box for box, label in drawn_rows(hard.sample(proposals(boxes), objects)) if not label
    ]
    assert sorted(background) == [[0, 5, 10, 15], [0, 8, 10, 18]]


def test_an_overlap_of_exactly_one_half_is_foreground(target: MakeTarget) -> None:
    # (0, 0, 10, 5) against (0, 0, 10, 10): 50 / 100.
    regions = head(sampling=replace(SAMPLING, foreground_fraction=1.0)).sample(
        proposals([[0, 0, 10, 5]]), target([[0, 0, 10, 10]], labels=[2])
    )
    assert ([0, 0, 10, 5], 2) in drawn_rows(regions)


def test_without_objects_all_regions_are_background(target: MakeTarget) -> None:
    regions = head().sample(proposals(scattered(40)), target([]))
    assert regions.labels.tolist() == [0] * 16
    assert bool(regions.drawn.valid.all())
    assert bool(regions.deltas.isfinite().all())


def test_without_proposals_and_objects_there_are_no_regions(target: MakeTarget) -> None:
    regions = head().sample(proposals([]), target([]))
    assert regions.boxes.shape == (0, 4)
    assert regions.labels.shape == (0,)


def test_regions_in_an_ignored_object_are_not_learnt(target: MakeTarget) -> None:
    crowd = target([[0, 0, 50, 50]], ignored=[True])
    regions = head().sample(proposals([[5, 5, 15, 15], [60, 60, 80, 80]]), crowd)
    assert drawn_rows(regions) == [([60, 60, 80, 80], 0)]


def test_an_ignored_object_is_no_example_of_background_either(target: MakeTarget) -> None:
    # Above 1 ignored objects do not exist; then their boxes must not be added as regions.
    blind = head(sampling=replace(SAMPLING, ignore_coverage=1.1))
    crowd = target([[0, 0, 50, 50]], ignored=[True])
    regions = blind.sample(proposals([[5, 5, 15, 15], [60, 60, 80, 80]]), crowd)
    assert sorted(drawn_rows(regions)) == [([5, 5, 15, 15], 0), ([60, 60, 80, 80], 0)]


def test_everything_ignored_costs_nothing(target: MakeTarget) -> None:
    network = head()
    crowd = target([[0, 0, 200, 200]], ignored=[True])
    regions = network.sample(proposals(scattered(10)), crowd)
    assert not bool(regions.drawn.valid.any())
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
        drawn=Sample(torch.arange(len(labels)), label > 0, torch.tensor(valid)),
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


def test_few_candidates_may_all_be_foreground(target: MakeTarget) -> None:
    # A quarter of the 16 that are asked for, not of the 6 that are there: 4 of 5, and the rest.
    boxes = [[0, 0, 20, 20]] * 4 + [[50, 50, 60, 60]]
    regions = head().sample(proposals(boxes), target([[0, 0, 20, 20]], labels=[2]))
    assert sorted(label for _, label in drawn_rows(regions)) == [0, 2, 2, 2, 2]
