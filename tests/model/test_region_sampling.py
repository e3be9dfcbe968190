"""Which regions the Fast R-CNN head learns from, and what."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from detection.boxes import encode, iou
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


def sampled_regions(
    boxes: list[list[float]] | Tensor, target: Target, rule: RegionSampling = SAMPLING
) -> RegionTargets:
    proposals = torch.as_tensor(boxes, dtype=torch.float32).reshape(-1, 4)
    return rule.targets(proposals, target, WEIGHTS)


def scattered(count: int) -> Tensor:
    corner = torch.rand(count, 2) * 80
    return torch.cat((corner, corner + 5 + 30 * torch.rand(count, 2)), dim=1)


def valid_rows(regions: RegionTargets) -> list[tuple[list[float], int]]:
    """(box, label) of the valid regions."""
    valid = regions.sampled.valid
    return list(zip(regions.boxes[valid].tolist(), regions.labels[valid].tolist(), strict=True))


def test_the_objects_themselves_are_regions(target: MakeTarget) -> None:
    objects = target([[0, 0, 20, 20], [40, 40, 70, 60]], labels=[3, 1])
    regions = sampled_regions([], objects)
    # Two candidates, the objects; a quarter of 16 regions may be foreground: both.
    assert sorted(valid_rows(regions)) == [([0, 0, 20, 20], 3), ([40, 40, 70, 60], 1)]
    assert torch.equal(regions.deltas, torch.zeros(2, 4))


@pytest.mark.parametrize("coverage", [0.7, 1.1])
def test_an_ignored_object_is_no_region_where_it_overlaps_another(
    coverage: float, target: MakeTarget
) -> None:
    # The crowd's IoU with the object is 20 / 24: foreground, if it were a proposal.
    objects = target([[0, 0, 20, 20], [0, 0, 24, 20]], ignored=[False, True])
    regions = sampled_regions([], objects, replace(SAMPLING, ignore_coverage=coverage))
    assert valid_rows(regions) == [([0, 0, 20, 20], 1)]
    proposal = sampled_regions([[0, 0, 24, 20]], objects)
    assert ([0, 0, 24, 20], 1) in valid_rows(proposal)


def test_draws_depend_on_the_targets_seed_alone(target: MakeTarget) -> None:
    boxes = scattered(200)
    objects = target([[0, 0, 20, 20]])

    def drawn(seed: int | None) -> Tensor:
        torch.rand(1)
        return sampled_regions(boxes, replace(objects, seed=seed)).sampled.index

    assert torch.equal(drawn(4), drawn(4))
    assert not torch.equal(drawn(4), drawn(6))
    assert not torch.equal(drawn(None), drawn(None))


@pytest.mark.parametrize("seed", range(5))
def test_invariants_of_region_sampling(seed: int, target: MakeTarget, device: torch.device) -> None:
    torch.manual_seed(seed)
    objects = target([[0, 0, 20, 20], [40, 40, 70, 60]], labels=[3, 1])
    boxes = torch.cat((scattered(100), objects.boxes.repeat(10, 1) + torch.randn(20, 4)))
    regions = sampled_regions(boxes.to(device), objects.to(device))
    sampled = regions.sampled
    assert len(regions.boxes) == len(regions.labels) == len(regions.deltas) == 16
    assert int(sampled.positive.sum()) == 4  # a quarter of 16
    assert bool(sampled.valid.all())
    assert bool(((regions.labels > 0) == sampled.positive).all())
    assert bool(((regions.labels >= 0) & (regions.labels <= 3)).all())
    overlap, nearest = iou(regions.boxes.cpu(), objects.boxes).max(dim=1)
    positive = sampled.positive.cpu()
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
    hard = replace(SAMPLING, background_iou=(0.1, 0.5), per_image=4)
    background = [
        box for box, label in valid_rows(sampled_regions(boxes, objects, hard)) if not label
    ]
    assert sorted(background) == [[0, 5, 10, 15], [0, 8, 10, 18]]


def test_an_overlap_of_exactly_one_half_is_foreground(target: MakeTarget) -> None:
    # (0, 0, 10, 5) against (0, 0, 10, 10): 50 / 100.
    regions = sampled_regions(
        [[0, 0, 10, 5]],
        target([[0, 0, 10, 10]], labels=[2]),
        replace(SAMPLING, foreground_fraction=1.0),
    )
    assert ([0, 0, 10, 5], 2) in valid_rows(regions)


def test_without_objects_all_regions_are_background(target: MakeTarget) -> None:
    regions = sampled_regions(scattered(40), target([]))
    assert regions.labels.tolist() == [0] * 16
    assert bool(regions.sampled.valid.all())
    assert bool(regions.deltas.isfinite().all())


def test_without_proposals_and_objects_there_are_no_regions(target: MakeTarget) -> None:
    regions = sampled_regions([], target([]))
    assert regions.boxes.shape == (0, 4)
    assert regions.labels.shape == (0,)


def test_regions_in_an_ignored_object_are_not_learnt(target: MakeTarget) -> None:
    crowd = target([[0, 0, 50, 50]], ignored=[True])
    regions = sampled_regions([[5, 5, 15, 15], [60, 60, 80, 80]], crowd)
    assert valid_rows(regions) == [([60, 60, 80, 80], 0)]


def test_an_ignored_object_is_no_example_of_background_either(target: MakeTarget) -> None:
    # Above 1 ignored objects do not exist; then their boxes must not be added as regions.
    blind = replace(SAMPLING, ignore_coverage=1.1)
    crowd = target([[0, 0, 50, 50]], ignored=[True])
    regions = sampled_regions([[5, 5, 15, 15], [60, 60, 80, 80]], crowd, blind)
    assert sorted(valid_rows(regions)) == [([5, 5, 15, 15], 0), ([60, 60, 80, 80], 0)]


def test_few_candidates_may_all_be_foreground(target: MakeTarget) -> None:
    # A quarter of the 16 that are asked for, not of the 6 that are there: 4 of 5, and the rest.
    boxes = [[0, 0, 20, 20]] * 4 + [[50, 50, 60, 60]]
    regions = sampled_regions(boxes, target([[0, 0, 20, 20]], labels=[2]))
    assert sorted(label for _, label in valid_rows(regions)) == [0, 2, 2, 2, 2]
