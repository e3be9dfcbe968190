"""Mini-batches of random crops, and the views of tests."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from detection.classification.crops import FullyConvolutionalViews, PaddedCrop
from detection.classification.images import LabelledImages
from detection.classification.loader import (
    LabelledBatch,
    TrainingCrops,
    ViewBatches,
    by_shape,
    crop_loader,
    view_loader,
)
from detection.data.batch_plan import BatchPlan


@pytest.fixture
def dataset() -> LabelledImages:
    images = np.random.default_rng(0).integers(0, 256, (10, 8, 8, 3), dtype=np.uint8)
    return LabelledImages(("a", "b", "c"), np.arange(10) % 3, images, Path("set"))


def batches(
    dataset: LabelledImages, *, workers: int = 0, start: int = 0, rank: int = 0, world_size: int = 1
) -> list[LabelledBatch]:
    plan = BatchPlan(
        landscape=[True] * len(dataset),
        batch_size=4,
        iterations=5,
        seed=7,
        start=start,
        rank=rank,
        world_size=world_size,
    )
    crop = PaddedCrop(side=8, padding=2, flip_probability=0.5, fill=[0, 0, 0])
    crops = TrainingCrops(dataset, crop=crop, seed=7)
    return list(crop_loader(crops, plan, workers=workers, pin_memory=False))


def assert_equal(ours: LabelledBatch, theirs: LabelledBatch) -> None:
    assert torch.equal(ours.images, theirs.images)
    assert torch.equal(ours.targets, theirs.targets)


def test_neither_workers_nor_resuming_change_a_batch(dataset: LabelledImages) -> None:
    whole = batches(dataset)
    assert [tuple(batch.images.shape) for batch in whole] == [(4, 8, 8, 3)] * 5
    for batch, same in zip(whole, batches(dataset, workers=1), strict=True):
        assert_equal(batch, same)
    for batch, same in zip(whole[3:], batches(dataset, start=3), strict=True):
        assert_equal(batch, same)
    assert not torch.equal(whole[0].images, whole[2].images)


def test_processes_share_a_batch(dataset: LabelledImages) -> None:
    whole = batches(dataset)[0]
    first, second = (batches(dataset, rank=rank, world_size=2)[0] for rank in (0, 1))
    assert torch.equal(first.images, whole.images[0::2])
    assert torch.equal(second.targets, whole.targets[1::2])


def test_targets_belong_to_their_images(dataset: LabelledImages) -> None:
    crop = PaddedCrop(side=8, padding=0, flip_probability=0, fill=[0, 0, 0])
    batch = TrainingCrops(dataset, crop=crop, seed=0).__getitems__([(0, 5), (3, 1)])
    np.testing.assert_array_equal(batch.images.numpy(), dataset.images[[5, 1]])  # type: ignore[call-overload]
    assert batch.targets.tolist() == [2, 1]


def test_a_batch_in_micro_batches(dataset: LabelledImages) -> None:
    batch = batches(dataset)[0]
    micro_batches = batch.split(3)  # 4 images: two by two
    assert [len(micro_batch) for micro_batch in micro_batches] == [2, 2]
    assert torch.equal(torch.cat([m.images for m in micro_batches]), batch.images)
    assert torch.equal(torch.cat([m.targets for m in micro_batches]), batch.targets)


def test_views_of_one_shape_come_together() -> None:
    a, b = np.zeros((2, 4, 4, 3), np.uint8), np.ones((1, 4, 6, 3), np.uint8)
    groups = list(by_shape([[a, b], [b], [a]]))
    assert [(tuple(batch.shape), numbers) for batch, numbers in groups] == [
        ((4, 4, 4, 3), [0, 0, 2, 2]),
        ((2, 4, 6, 3), [0, 1]),
    ]


def test_view_batches_can_be_iterated_over_again(dataset: LabelledImages) -> None:
    views = FullyConvolutionalViews(shorter_sides=[8, 16])
    loader = ViewBatches(view_loader(dataset, views, batch_size=4, workers=0))
    for _ in range(2):
        shapes = [tuple(batch.shape[:2]) for batch in loader]
        assert shapes == [(8, 8), (8, 16), (8, 8), (8, 16), (4, 8), (4, 16)]
