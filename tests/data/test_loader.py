"""Mini-batches: which images, in which order, the same whoever reads them."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from detection.data.batch_plan import BatchPlan
from detection.data.formats.coco import read_coco
from detection.data.loader import Batch, TrainingImages, training_loader
from detection.data.random_crop import RandomCrop
from detection.data.transforms import Augmentation, Resize
from detection.structures import ImageBatch, Target

Write = Callable[..., Path]
Content = dict[str, Any]

# 9 lying and 8 standing pictures, in disorder.
LANDSCAPE = [index % 2 == 0 for index in range(17)]


def plan(**changes: Any) -> BatchPlan:
    arguments: dict[str, Any] = {
        "landscape": LANDSCAPE,
        "batch_size": 4,
        "iterations": 40,
        "seed": 3,
    }
    return BatchPlan(**(arguments | changes))


def test_each_image_comes_at_most_once_per_epoch() -> None:
    # 17 images make 4 batches of 4; one image is left out of each epoch.
    batches = list(plan())
    assert len(batches) == 40
    for epoch in range(10):
        keys = [key for batch in batches[4 * epoch : 4 * epoch + 4] for key in batch]
        assert [key_epoch for key_epoch, _ in keys] == [epoch] * 16
        assert len({index for _, index in keys}) == 16


def test_every_image_has_its_turn_to_be_left_out() -> None:
    batches = list(plan(iterations=4 * 200))
    counts = np.bincount([index for batch in batches for _, index in batch], minlength=17)
    # Each in 200 / 17 = 12 of 200 epochs, with a standard deviation of 3.3.
    assert sum(200 - counts) == 200
    assert all(abs(200 - counts - 12) < 12)


@pytest.mark.parametrize("batch_size", [2, 4])
@pytest.mark.parametrize("shapes", [None, [0] * 16 + [1] * 3])
def test_the_few_that_differ_are_not_those_that_are_always_left_out(
    batch_size: int, shapes: list[int] | None
) -> None:
    arguments = {"landscape": [True] * 16 + [False] * 3, "iterations": 4 * 400}
    odd = plan(**arguments, batch_size=batch_size, shapes=shapes)
    epochs = odd.iterations / odd.batches_per_epoch
    counts = np.bincount([index for batch in odd for _, index in batch], minlength=19)
    part = odd.batches_per_epoch * batch_size / 19
    assert counts / epochs == pytest.approx(np.full(19, part), abs=0.1)


def test_batches_are_of_one_orientation_but_for_the_rest() -> None:
    # 9 = 2 * 4 + 1 and 8 = 2 * 4: none mixed where a lying one is left out, else one of four.
    batches = list(plan())
    mixed = [len({LANDSCAPE[index] for _, index in batch}) == 2 for batch in batches]
    for epoch in range(10):
        used = {index for batch in batches[4 * epoch : 4 * epoch + 4] for _, index in batch}
        (left_out,) = {*range(17)} - used
        assert sum(mixed[4 * epoch : 4 * epoch + 4]) == (0 if LANDSCAPE[left_out] else 1)


def test_the_rest_of_both_orientations_makes_mixed_batches() -> None:
    # 6 = 4 + 2 and 6 = 4 + 2: two whole batches, and one mixed of two and two.
    for first in range(0, 30, 3):
        batches = list(plan(landscape=[True] * 6 + [False] * 6, iterations=30))[first : first + 3]
        mixed = [batch for batch in batches if len({index < 6 for _, index in batch}) == 2]
        assert len(mixed) == 1


def test_epochs_differ_and_seeds_differ() -> None:
    first, second = list(plan())[:4], list(plan())[4:8]
    assert [[i for _, i in batch] for batch in first] != [[i for _, i in batch] for batch in second]
    assert list(plan()) != list(plan(seed=4))
    assert list(plan()) == list(plan())


def test_a_resumed_plan_goes_on_where_it_stopped() -> None:
    whole = list(plan())
    for start in (0, 1, 4, 13, 39, 40):  # within an epoch and at its edge
        resumed = plan(start=start)
        assert list(resumed) == whole[start:]
        assert len(resumed) == 40 - start


@pytest.mark.parametrize("world_size", [2, 4])
def test_processes_share_every_batch_between_them(world_size: int) -> None:
    ranks = [list(plan(rank=rank, world_size=world_size)) for rank in range(world_size)]
    for whole, *shares in zip(plan(), *ranks, strict=True):
        assert [len(share) for share in shares] == [4 // world_size] * world_size
        assert sorted(key for share in shares for key in share) == sorted(whole)


def test_a_batch_larger_than_the_data_set_is_refused() -> None:
    with pytest.raises(ValueError, match=r"mini-batch of 18 .* has 17"):
        plan(batch_size=18)


def test_images_of_one_shape_come_together_as_far_as_they_can() -> None:
    # Of the lying ones six are of shape 1 and three of shapes of their own, all standing ones of 2.
    shapes = [1 if i in (0, 4, 6, 8, 10, 16) else 2 if i % 2 else f"own {i}" for i in range(17)]
    alike = [
        len({shapes[index] for _, index in batch}) == 1
        for batch in plan(shapes=shapes, batch_size=2, iterations=8 * 50)
    ]
    for epoch in range(50):  # three and four of eight, less one where one of them is left out
        assert sum(alike[8 * epoch : 8 * epoch + 8]) in (6, 7)
    assert [sorted(batch) for batch in plan(shapes=[0] * 17, batch_size=17)] == [
        [(epoch, index) for index in range(17)] for epoch in range(40)
    ]


def test_shapes_that_nobody_shares_leave_orientations_together() -> None:
    mixed = [
        len({LANDSCAPE[index] for _, index in batch}) == 2 for batch in plan(shapes=[*range(17)])
    ]
    assert 0 < sum(mixed) < 10  # at most one in each of ten epochs


def test_a_mini_batch_has_one_shorter_side_in_rounds() -> None:
    sides = [24, 32, 48]
    several = list(plan(shorter_sides=sides, iterations=4 * 30))
    assert [[key[:2] for key in batch] for batch in several] == list(plan(iterations=4 * 30))
    drawn = [{key[2] for key in batch} for batch in several]
    assert all(len(of_batch) == 1 for of_batch in drawn)
    of_batch = [side for (side,) in drawn]
    for epoch in range(30):
        assert sorted(of_batch[4 * epoch : 4 * epoch + 3]) == sides
    assert {of_batch[4 * epoch] for epoch in range(30)} == {*sides}
    assert list(plan(shorter_sides=sides, start=6, iterations=120)) == several[6:]
    ranks = [plan(shorter_sides=sides, iterations=120, rank=r, world_size=2) for r in (0, 1)]
    for whole, *parts in zip(several, *ranks, strict=True):
        assert sorted(key for part in parts for key in part) == sorted(whole)


def test_a_batch_that_the_processes_cannot_share_is_refused() -> None:
    with pytest.raises(ValueError, match="multiple of the number of processes, 3"):
        plan(world_size=3)


@pytest.fixture
def images(tmp_path: Path, coco: Content, write_coco: Write) -> Callable[..., TrainingImages]:
    """Options -> the three pictures as training images, in two scales and mirrored at random."""
    annotations = write_coco(tmp_path, coco)
    dataset = read_coco(annotations=annotations, images=tmp_path / "train", invalid_boxes="error")

    def build(**changes: Any) -> TrainingImages:
        arguments: dict[str, Any] = {
            "augmentation": Augmentation(
                resize=Resize(shorter_sides=[24, 32], longest=100), flip_probability=0.5
            ),
            "ignore_crowd": True,
            "ignore_difficult": True,
            "seed": 5,
        }
        return TrainingImages(dataset, **(arguments | changes))

    return build


def test_what_is_drawn_can_be_asked_for(images: Callable[..., TrainingImages]) -> None:
    resize = Resize(shorter_sides=[24, 32], longest=100)
    crop = RandomCrop(probability=0.5, least=0.3)
    pictures = images(augmentation=Augmentation(resize=resize, flip_probability=0.5, crop=crop))
    plain = images(augmentation=Augmentation(resize=resize, flip_probability=0.5))
    parts = 0
    for key in itertools.product(range(8), range(3)):
        drawn = pictures.drawn(key)
        assert replace(drawn, region=None) == plain.drawn(key)
        (image, target), (whole, all_of_it) = pictures[key], plain[key]
        assert image.shape == whole.shape
        if drawn.region is None:
            assert torch.equal(target.boxes, all_of_it.boxes)
        elif len(all_of_it.boxes):
            assert not torch.equal(target.boxes, all_of_it.boxes)
            parts += 1
    assert parts


@pytest.fixture
def in_steps(images: Callable[..., TrainingImages]) -> TrainingImages:
    """Those images in sizes of multiples of 16 pixels."""
    resize = Resize(shorter_sides=[24, 32, 48], longest=100)
    return images(augmentation=Augmentation(resize=resize, flip_probability=0.5, size_step=16))


def test_the_images_of_a_mini_batch_have_its_shorter_side(
    images: Callable[..., TrainingImages], in_steps: TrainingImages
) -> None:
    shapes = in_steps.shapes()
    assert shapes is not None
    assert images().shapes() is None
    order = BatchPlan(
        landscape=[True, False, True],
        batch_size=2,
        iterations=6,
        seed=1,
        shapes=shapes,
        shorter_sides=[24, 32, 48],
    )
    batches = list(training_loader(in_steps, order, workers=0, pin_memory=False))
    for batch, keys in zip(batches, order, strict=True):
        assert all(in_steps.drawn(key).shorter == key[2] for key in keys)
        places = [(key[1], [24, 32, 48].index(key[2])) for key in keys]
        assert batch.images.sizes == [shapes[index][place] for index, place in places]
        assert all(side % 16 == 0 for size in batch.images.sizes for side in size)


def test_boxes_go_with_sides_that_are_rounded_apart(in_steps: TrainingImages) -> None:
    for epoch, index in itertools.product(range(6), (0, 1)):
        key = (epoch, index, 48)
        image, target = in_steps[key]
        example = in_steps.dataset.examples[index]
        drawn = in_steps.drawn(key)
        down, across = (image.shape[axis] / example.size[axis] for axis in (0, 1))
        expected = torch.from_numpy(example.boxes) * torch.tensor([across, down, across, down])
        if drawn.flipped:
            expected = torch.stack(
                (image.shape[1] - expected[:, 2], expected[:, 1],
                 image.shape[1] - expected[:, 0], expected[:, 3]), dim=1,
            )  # fmt: skip
        torch.testing.assert_close(target.boxes, expected)


def load(images: TrainingImages, *, workers: int, start: int = 0) -> list[Batch]:
    order = BatchPlan(
        landscape=[True, False, True], batch_size=2, iterations=6, seed=1, start=start
    )
    return list(training_loader(images, order, workers=workers, pin_memory=False))


def assert_same(a: list[Batch], b: list[Batch]) -> None:
    assert len(a) == len(b)
    for one, other in zip(a, b, strict=True):
        assert one.images.sizes == other.images.sizes
        assert torch.equal(one.images.pixels, other.images.pixels)
        for target, other_target in zip(one.targets, other.targets, strict=True):
            for name in ("boxes", "labels", "ignored"):
                assert torch.equal(getattr(target, name), getattr(other_target, name))


def test_the_number_of_workers_changes_nothing(images: Callable[..., TrainingImages]) -> None:
    assert_same(load(images(), workers=0), load(images(), workers=2))


def test_a_resumed_loader_reads_the_same_batches(images: Callable[..., TrainingImages]) -> None:
    assert_same(load(images(), workers=0)[3:], load(images(), workers=0, start=3))


def test_an_image_is_augmented_anew_in_every_epoch(images: Callable[..., TrainingImages]) -> None:
    sizes_and_boxes = {
        (image.shape, tuple(target.boxes.flatten().tolist()))
        for image, target in (images()[(epoch, 1)] for epoch in range(30))
    }
    assert len(sizes_and_boxes) == 4  # two scales, mirrored or not


def test_batches_are_uint8_and_targets_are_typed(images: Callable[..., TrainingImages]) -> None:
    for batch in load(images(), workers=0):
        assert batch.images.pixels.dtype == torch.uint8
        assert len(batch.images) == len(batch.targets) == 2
        for target in batch.targets:
            assert target.boxes.dtype == torch.float32
            assert target.labels.dtype == torch.int64
            assert target.ignored.dtype == torch.bool


def test_a_box_without_area_is_not_learnt(tmp_path: Path, coco: Content, write_coco: Write) -> None:
    coco["annotations"] = [
        {"id": 1, "image_id": 7, "category_id": 3, "bbox": [9, 8, 7, 0]},
        {"id": 2, "image_id": 7, "category_id": 17, "bbox": [5, 5, 20, 30], "iscrowd": 1},
    ]
    dataset = read_coco(
        annotations=write_coco(tmp_path, coco), images=tmp_path / "train", invalid_boxes="repair"
    )
    images = TrainingImages(
        dataset,
        augmentation=Augmentation(
            resize=Resize(shorter_sides=[40], longest=100), flip_probability=0.0
        ),
        ignore_crowd=True,
        ignore_difficult=True,
        seed=0,
    )
    (_, target) = images[(0, 1)]
    assert target.boxes.tolist() == [[5, 5, 25, 35]]
    assert target.labels.tolist() == [2]
    assert target.ignored.tolist() == [True]
    assert len(dataset.without_empty()) == 0  # neither of the two is an object to learn


@pytest.mark.parametrize(
    ("crowd", "difficult", "expected"),
    [
        (True, True, [False, True, True]),
        (True, False, [False, True, False]),
        (False, True, [False, False, True]),
        (False, False, [False, False, False]),
    ],
)
def test_crowd_and_difficult_are_ignored_as_asked(
    images: Callable[..., TrainingImages], crowd: bool, difficult: bool, expected: list[bool]
) -> None:
    # Image 0 holds an ordinary, a crowd and a difficult object.
    _, target = images(ignore_crowd=crowd, ignore_difficult=difficult)[(0, 0)]
    assert target.ignored.tolist() == expected


def test_reading_does_not_change_the_data_set(images: Callable[..., TrainingImages]) -> None:
    training = images()
    before = training.dataset.examples[0].boxes.copy()
    for epoch in range(5):
        training[(epoch, 0)]
    assert np.array_equal(training.dataset.examples[0].boxes, before)


def test_a_picture_of_another_size_than_annotated_is_named(
    tmp_path: Path, images: Callable[..., TrainingImages], write_picture: Callable[..., None]
) -> None:
    training = images()
    write_picture(tmp_path / "train" / "b.jpg", 80, 60)  # turned by a quarter
    with pytest.raises(ValueError, match=r"b\.jpg: the image is 60x80 .* says 80x60"):
        training[(0, 0)]


def batch_of(count: int) -> Batch:
    pixels = torch.arange(count, dtype=torch.uint8)[:, None, None, None].expand(count, 4, 6, 3)
    targets = [
        Target(
            torch.zeros(i, 4), torch.ones(i, dtype=torch.int64), torch.zeros(i, dtype=torch.bool)
        )
        for i in range(count)
    ]
    return Batch(ImageBatch(pixels, [(4, i + 1) for i in range(count)]), targets)


@pytest.mark.parametrize(
    ("count", "micro_batches", "expected"),
    [(4, 1, [4]), (4, 2, [2, 2]), (5, 2, [3, 2]), (3, 8, [1, 1, 1]), (5, 4, [2, 2, 1])],
)
def test_a_batch_splits_into_micro_batches_in_order(
    count: int, micro_batches: int, expected: list[int]
) -> None:
    split = batch_of(count).split(micro_batches)
    assert [len(micro_batch.images) for micro_batch in split] == expected
    assert [len(micro_batch.targets) for micro_batch in split] == expected
    values = [
        int(value) for micro_batch in split for value in micro_batch.images.pixels[:, 0, 0, 0]
    ]
    assert values == list(range(count))
    assert [size for micro_batch in split for size in micro_batch.images.sizes] == [
        (4, i + 1) for i in range(count)
    ]
    assert [len(t.labels) for micro_batch in split for t in micro_batch.targets] == list(
        range(count)
    )


def test_a_batch_moves_with_all_it_holds(device: torch.device) -> None:
    moved = batch_of(2).to(device)
    assert moved.images.pixels.device.type == device.type
    assert all(t.boxes.device.type == device.type for t in moved.targets)
    assert moved.images.sizes == [(4, 1), (4, 2)]
