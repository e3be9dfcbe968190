"""Matching boxes to objects, and the invariants of subsampling."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from detection.model.subsample import Subsample, subsample
from detection.model.targets import match_to_objects
from detection.structures import Target

MakeTarget = Callable[..., Target]

# Against the object (0, 0, 10, 10): IoU 1; 50 / 150 = 1/3; 0.
BOXES = torch.tensor([[0.0, 0, 10, 10], [5, 0, 15, 10], [40, 40, 50, 50]])


def test_overlap_box_and_label_are_those_of_the_object_overlapped_most(target: MakeTarget) -> None:
    # The second box overlaps the second object, (8, 0, 18, 10), more: 70 / 130.
    objects = target([[0, 0, 10, 10], [8, 0, 18, 10]], labels=[3, 2])
    found = match_to_objects(BOXES, objects, ignore_coverage=0.7)
    torch.testing.assert_close(found.overlap, torch.tensor([1, 70 / 130, 0]))
    assert found.gt_labels[:2].tolist() == [3, 2]
    assert found.gt_boxes[:2].tolist() == [[0, 0, 10, 10], [8, 0, 18, 10]]
    assert found.best.tolist() == [True, True, False]


def test_an_objects_best_box_is_found_at_any_overlap(target: MakeTarget) -> None:
    # Best IoU of the object: 100 / 10000.  A box that overlaps nothing is never the best.
    found = match_to_objects(BOXES, target([[0, 0, 100, 100]]), ignore_coverage=0.7)
    assert found.best.tolist() == [True, True, True]  # all three lie in it: equal, so all best
    found = match_to_objects(BOXES, target([[40, 40, 140, 140]]), ignore_coverage=0.7)
    assert found.best.tolist() == [False, False, True]
    found = match_to_objects(BOXES, target([[200, 200, 300, 300]]), ignore_coverage=0.7)
    assert found.best.tolist() == [False, False, False]


def test_boxes_that_are_not_usable_match_nothing(target: MakeTarget) -> None:
    usable = torch.tensor([False, True, True])
    found = match_to_objects(BOXES, target([[0, 0, 10, 10]]), ignore_coverage=0.7, usable=usable)
    torch.testing.assert_close(found.overlap, torch.tensor([0, 1 / 3, 0]))
    # The best of the usable ones takes the place of the one that may not be matched.
    assert found.best.tolist() == [False, True, False]


def test_an_ignored_object_is_never_matched_and_hides_what_it_covers(target: MakeTarget) -> None:
    # 100 %, 50 % and 0 % of the boxes lie in the ignored object.
    crowd = target([[0, 0, 10, 10]], ignored=[True])
    found = match_to_objects(BOXES, crowd, ignore_coverage=0.5)
    assert found.overlap.tolist() == [0, 0, 0]
    assert found.best.tolist() == [False, False, False]
    assert found.ignored.tolist() == [True, True, False]
    assert match_to_objects(BOXES, crowd, ignore_coverage=0.7).ignored.tolist() == [
        True,
        False,
        False,
    ]
    assert match_to_objects(BOXES, crowd, ignore_coverage=1.1).ignored.tolist() == [
        False,
        False,
        False,
    ]


def test_coverage_counts_the_box_and_not_the_crowd(target: MakeTarget) -> None:
    # The IoU of a small box with a large crowd is small; all of the box is in it nevertheless.
    crowd = target([[0, 0, 1000, 1000]], ignored=[True])
    assert match_to_objects(BOXES, crowd, ignore_coverage=0.7).ignored.tolist() == [
        True,
        True,
        True,
    ]


def test_ordinary_objects_hide_nothing(target: MakeTarget) -> None:
    found = match_to_objects(BOXES, target([[0, 0, 1000, 1000]]), ignore_coverage=0.7)
    assert found.ignored.tolist() == [False, False, False]


def test_an_object_under_a_crowd_is_matched_all_the_same(target: MakeTarget) -> None:
    objects = target([[0, 0, 1000, 1000], [0, 0, 10, 10]], labels=[1, 2], ignored=[True, False])
    found = match_to_objects(BOXES, objects, ignore_coverage=0.7)
    assert found.overlap[0] == 1
    assert found.gt_labels[0] == 2


def test_without_objects_nothing_overlaps(target: MakeTarget, device: torch.device) -> None:
    found = match_to_objects(BOXES.to(device), target([]).to(device), ignore_coverage=0.7)
    assert found.overlap.tolist() == [0, 0, 0]
    assert found.gt_boxes.shape == (3, 4)
    assert found.gt_labels.dtype == torch.int64
    assert not bool((found.best | found.ignored).any())


flags = st.lists(st.tuples(st.booleans(), st.booleans()), max_size=40)


@given(flags, st.integers(1, 30), st.sampled_from([0.0, 0.25, 0.5, 1.0]), st.integers(0, 10**6))
def test_invariants_of_subsampling(
    rows: list[tuple[bool, bool]], size: int, fraction: float, seed: int
) -> None:
    torch.manual_seed(seed)
    positive = torch.tensor([row[0] for row in rows], dtype=torch.bool)
    negative = torch.tensor([row[1] for row in rows], dtype=torch.bool)
    sampled = subsample(positive, negative, size=size, positive_fraction=fraction, generator=None)
    assert_invariants(sampled, positive, negative, size, fraction)


def assert_invariants(
    sampled: Subsample, positive: Tensor, negative: Tensor, size: int, fraction: float
) -> None:
    most = round(size * fraction)
    size = min(size, len(positive))
    assert len(sampled.index) == len(sampled.positive) == len(sampled.valid) == size
    assert len(set(sampled.index.tolist())) == size  # nothing twice
    assert bool((sampled.valid | ~sampled.positive).all())  # whatever is positive is valid
    assert bool(positive[sampled.index[sampled.positive]].all())
    sampled_negative = sampled.index[sampled.valid & ~sampled.positive]
    assert bool(negative[sampled_negative].all())
    assert not bool(positive[sampled_negative].any())  # who may be positive is no negative
    # At most the fraction of what was asked for; negatives fill the rest as far as there are any.
    positives = min(int(positive.sum()), most)
    negatives = min(int((negative & ~positive).sum()), size - positives)
    assert int(sampled.positive.sum()) == positives
    assert int(sampled.valid.sum()) == positives + negatives
    assert sampled.positive.tolist() == sorted(sampled.positive.tolist(), reverse=True)
    assert sampled.valid.tolist() == sorted(sampled.valid.tolist(), reverse=True)


@pytest.mark.parametrize(
    ("positives", "negatives", "expected"),
    [
        (100, 200, (64, 64)),  # half and half
        (10, 200, (10, 118)),  # negatives fill
        (0, 200, (0, 128)),
        (100, 10, (64, 10)),  # positives do not fill
        (0, 0, (0, 0)),  # everything ignored
    ],
)
def test_numbers_sampled_of_128_at_one_half(
    positives: int, negatives: int, expected: tuple[int, int], device: torch.device
) -> None:
    kinds = torch.full((400,), 2, device=device)
    kinds[:positives], kinds[positives : positives + negatives] = 0, 1
    kinds = kinds[torch.randperm(400, device=device)]
    sampled = subsample(kinds == 0, kinds == 1, size=128, positive_fraction=0.5, generator=None)
    assert len(sampled.index) == 128
    assert (int(sampled.positive.sum()), int((sampled.valid & ~sampled.positive).sum())) == expected


def test_every_box_has_the_same_chance() -> None:
    # 40 positives for 10 places: 0.25 of 2000 draws are 500, standard deviation
    # (2000 * 0.25 * 0.75)^0.5 = 19.  60 negatives for 10 places: 333, standard deviation 17.
    # Five standard deviations are exceeded by one of 100 counts in 17,000 tests; the seed is fixed.
    positive = torch.arange(100) % 5 < 2
    counts = torch.zeros(100)
    for _ in range(2000):
        counts[
            subsample(positive, ~positive, size=20, positive_fraction=0.5, generator=None).index
        ] += 1
    assert counts.sum() == 2000 * 20
    assert float((counts[positive] - 500).abs().max()) < 5 * 19.4
    assert float((counts[~positive] - 333.3).abs().max()) < 5 * 16.7


def test_mean_is_over_the_valid_boxes_only() -> None:
    flags = torch.tensor([True, False, False])
    sampled = Subsample(
        index=torch.arange(3), positive=flags, valid=torch.tensor([True, True, False])
    )
    assert sampled.mean(torch.tensor([1.0, 3.0, 100.0])) == 2  # (1 + 3) / 2


def test_mean_of_nothing_is_zero_with_zero_gradient() -> None:
    nothing = torch.zeros(3, dtype=torch.bool)
    values = torch.ones(3, requires_grad=True)
    mean = Subsample(index=torch.arange(3), positive=nothing, valid=nothing).mean(values)
    mean.backward()
    assert mean == 0
    assert values.grad is not None
    assert values.grad.tolist() == [0, 0, 0]
