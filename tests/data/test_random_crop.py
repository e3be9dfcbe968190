"""A part of an image: where it lies, which objects stay, and where they are in it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from detection.data.random_crop import RandomCrop, only_within
from detection.structures import Target

MakeTarget = Callable[..., Target]
ALWAYS = RandomCrop(probability=1.0, least=0.5)


def boxes_of(*boxes: tuple[float, float, float, float]) -> Target:
    count = len(boxes)
    return Target(
        boxes=torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4),
        labels=torch.arange(1, count + 1),
        ignored=torch.zeros(count, dtype=torch.bool),
    )


@given(st.integers(1, 900), st.integers(1, 900), st.floats(0.1, 1), st.integers(0, 99))
def test_a_region_lies_in_the_image_and_has_its_form(
    height: int, width: int, least: float, seed: int
) -> None:
    crop = RandomCrop(probability=1.0, least=least)
    region = crop.draw((height, width), boxes_of(), np.random.default_rng(seed))
    assert region is not None  # no object can be cut in two
    x1, y1, x2, y2 = region
    assert 0 <= x1 < x2 <= width
    assert 0 <= y1 < y2 <= height
    part = (x2 - x1) / width, (y2 - y1) / height
    assert abs(part[0] - part[1]) <= 1 / width + 1 / height
    assert min(part) >= least - 1 / min(width, height)


def test_no_object_is_cut_in_two_and_one_is_always_seen() -> None:
    target = boxes_of((10, 10, 60, 60), (100, 20, 190, 90), (70, 70, 80, 95))
    area = (target.boxes[:, 2:] - target.boxes[:, :2]).prod(dim=1)
    regions = set()
    for seed in range(200):
        region = ALWAYS.draw((100, 200), target, np.random.default_rng(seed))
        if region is None:
            continue
        x1, y1, x2, y2 = region
        low = torch.maximum(target.boxes[:, :2], torch.tensor([x1, y1]))
        high = torch.minimum(target.boxes[:, 2:], torch.tensor([x2, y2]))
        seen = (high - low).clamp(min=0).prod(dim=1) / area
        assert bool(((seen < 0.1) | (seen >= 0.5)).all())
        assert bool((seen >= 0.5).any())
        regions.add(region)
    assert len(regions) > 50


def test_where_no_region_will_do_the_image_stays_whole() -> None:
    # Each part of half the sides or more cuts this stripe, but for nearly all of the image.
    stripes = boxes_of(*((x, 0, x + 9, 100) for x in range(0, 100, 10)))
    drawn = [ALWAYS.draw((100, 100), stripes, np.random.default_rng(seed)) for seed in range(20)]
    assert None in drawn


def test_as_often_as_it_is_said() -> None:
    crop = RandomCrop(probability=0.3, least=0.5)
    drawn = [crop.draw((50, 50), boxes_of(), np.random.default_rng(seed)) for seed in range(400)]
    assert 85 < sum(region is not None for region in drawn) < 155  # 120, standard deviation 9.2


def test_objects_stay_where_they_are_seen_by_half() -> None:
    target = boxes_of((0, 0, 10, 10), (15, 10, 35, 20), (40, 40, 50, 50), (20, 20, 20, 30))
    target = replace(
        target,
        ignored=torch.tensor([False, True, False, False]),
        proposals=torch.tensor([[12.0, 12, 22, 32], [50, 50, 60, 60]]),
    )
    within = only_within(target, (20, 10, 60, 40))
    # The second has 15 of its 20 columns inside; the third is cut by nothing; 20 ... 20 is empty.
    assert within.boxes.tolist() == [[0, 0, 15, 10]]
    assert within.labels.tolist() == [2]
    assert within.ignored.tolist() == [True]
    assert within.proposals is not None
    assert within.proposals.tolist() == []


def test_what_is_ignored_is_neither_asked_for_nor_lost() -> None:
    crowd = torch.tensor([True, False])
    target = replace(boxes_of((0, 0, 100, 60), (70, 70, 90, 90)), ignored=crowd)
    for seed in range(30):
        region = ALWAYS.draw((100, 100), target, np.random.default_rng(seed))
        if region is None:
            continue
        within = only_within(target, region)
        assert within.labels.tolist() == ([1, 2] if region[1] < 60 else [2])
        assert within.ignored.tolist() == ([True, False] if region[1] < 60 else [False])
    # A crowd alone asks for nothing, like no object at all.
    alone = replace(boxes_of((0, 0, 100, 60)), ignored=torch.tensor([True]))
    assert all(ALWAYS.draw((100, 100), alone, np.random.default_rng(seed)) for seed in range(30))


def test_proposals_are_kept_as_objects_are() -> None:
    target = replace(boxes_of((5, 5, 25, 25)), proposals=torch.tensor([[4.0, 4, 26, 26]]))
    within = only_within(target, (5, 5, 50, 50))
    assert within.proposals is not None
    assert within.proposals.tolist() == [[0, 0, 21, 21]]
    assert within.boxes.tolist() == [[0, 0, 20, 20]]


@pytest.mark.parametrize("proposals", [[[0.0, 0, 4, 4]], []])
def test_a_region_without_proposals_will_not_do(proposals: list[list[float]]) -> None:
    of_file = torch.tensor(proposals, dtype=torch.float32).reshape(-1, 4)
    target = replace(boxes_of((60, 60, 80, 80)), proposals=of_file)
    for seed in range(30):
        region = ALWAYS.draw((100, 100), target, np.random.default_rng(seed))
        assert region is None or (proposals and region[:2] <= (2, 2))
