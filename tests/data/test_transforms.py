"""Image and boxes move together."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from detection.data.colour_jitter import ColourJitter, recoloured
from detection.data.random_crop import RandomCrop
from detection.data.transforms import Augmentation, Resize, to_batch_pixels
from detection.structures import Target

Image = NDArray[np.uint8]
MakeTarget = Callable[..., Target]


def with_rectangle(size: tuple[int, int], box: tuple[int, int, int, int]) -> Image:
    """A black image with a white rectangle."""
    image = np.zeros((*size, 3), dtype=np.uint8)
    x1, y1, x2, y2 = box
    image[y1:y2, x1:x2] = 255
    return image


def found(image: Image) -> list[int]:
    """The box of what is lighter than half."""
    y, x = np.nonzero(image[..., 0] > 127)
    return [x.min(), y.min(), x.max() + 1, y.max() + 1]


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ((480, 640), (600, 800)),  # 600 / 480 = 1.25
        ((640, 480), (800, 600)),
        ((375, 500), (600, 800)),
        ((300, 1000), (300, 1000)),  # 600 / 300 would give 2000: 1000 / 1000 decides
        ((500, 1000), (500, 1000)),
        ((1200, 1200), (600, 600)),
        ((333, 500), (600, 901)),  # 500 * 600 / 333 = 900.9
        ((1, 5000), (1, 1000)),  # never nothing
    ],
)
def test_sizes_by_the_600_1000_rule(size: tuple[int, int], expected: tuple[int, int]) -> None:
    assert Resize(shorter_sides=[600], longest=1000).size(size, 600) == expected


@given(st.integers(1, 4000), st.integers(1, 4000), st.integers(50, 800))
def test_sizes_never_exceed_the_limits(height: int, width: int, shorter: int) -> None:
    h, w = Resize(shorter_sides=[shorter], longest=1000).size((height, width), shorter)
    assert max(h, w) <= 1000
    assert 1 <= min(h, w) <= shorter
    assert min(h, w) == shorter or max(h, w) == 1000


def test_resizing_gives_that_size() -> None:
    image = np.zeros((30, 50, 3), dtype=np.uint8)
    resized = Resize(shorter_sides=[60], longest=1000)(image, 60)
    assert resized.shape == (60, 100, 3)
    assert resized.dtype == np.uint8


def augment(
    image: Image, target: Target, *, flip: float, sides: tuple[int, ...] = (90,), seed: int = 0
) -> tuple[Image, Target]:
    resize = Resize(shorter_sides=sides, longest=1000)
    augmentation = Augmentation(resize=resize, flip_probability=flip)
    return augmentation(image, target, np.random.default_rng(seed))


def test_sides_are_multiples_of_the_step_up_to_the_longest() -> None:
    resize = Resize(shorter_sides=[320], longest=533)
    steps = Augmentation(resize=resize, flip_probability=0, size_step=32)
    assert steps.size((480, 640), 320) == (320, 416)  # 427 is nearer to 416 than to 448
    assert steps.size((640, 426), 320) == (480, 320)
    assert steps.size((300, 900), 320) == (192, 512)  # 178 x 533: never above the longest
    assert steps.size((9, 900), 320) == (32, 512)  # one step at least
    exact = Augmentation(resize=resize, flip_probability=0)
    assert exact.size((480, 640), 320) == (320, 427)


@pytest.mark.parametrize("box", [(10, 20, 30, 50), (0, 0, 100, 60), (60, 5, 99, 58)])
@pytest.mark.parametrize("flip", [0.0, 1.0])
@pytest.mark.parametrize("side", [30, 60, 90, 97])
def test_the_box_is_where_the_object_is(
    target: MakeTarget, box: tuple[int, int, int, int], flip: float, side: int
) -> None:
    image = with_rectangle((60, 100), box)
    moved, moved_target = augment(image, target([box]), flip=flip, sides=(side,))
    assert moved.shape[0] == side
    assert moved_target.boxes[0].tolist() == pytest.approx(found(moved), abs=1)


def test_mirroring_by_hand(target: MakeTarget) -> None:
    # 60 x 100 stays as large as it is: [10, 30] of 100 becomes [70, 90].
    image = with_rectangle((60, 100), (10, 20, 30, 50))
    moved, moved_target = augment(image, target([[10, 20, 30, 50]]), flip=1.0, sides=(60,))
    assert moved_target.boxes.tolist() == [[70, 20, 90, 50]]
    assert np.array_equal(moved, with_rectangle((60, 100), (70, 20, 90, 50)))
    assert moved.flags["C_CONTIGUOUS"]


def test_labels_and_flags_stay_with_their_boxes(target: MakeTarget) -> None:
    before = target([[0, 0, 10, 10], [20, 20, 40, 30]], labels=[5, 2], ignored=[False, True])
    _, after = augment(np.zeros((60, 100, 3), dtype=np.uint8), before, flip=1.0)
    assert after.labels.tolist() == [5, 2]
    assert after.ignored.tolist() == [False, True]
    # Scale 90 / 60; the second is mirrored from [30, 60] to [90, 120] of 150.
    assert after.boxes[1].tolist() == pytest.approx([90, 30, 120, 45])


def test_images_without_objects_pass(target: MakeTarget) -> None:
    _, after = augment(np.zeros((60, 100, 3), dtype=np.uint8), target([]), flip=1.0)
    assert after.boxes.shape == (0, 4)


def test_the_given_target_is_not_changed(target: MakeTarget) -> None:
    before = target([[10, 20, 30, 50]])
    augment(np.zeros((60, 100, 3), dtype=np.uint8), before, flip=1.0)
    assert before.boxes.tolist() == [[10, 20, 30, 50]]


def test_half_of_the_images_are_mirrored_and_every_side_is_drawn(target: MakeTarget) -> None:
    image, box = with_rectangle((10, 20), (0, 0, 5, 5)), target([[0, 0, 5, 5]])
    results = [augment(image, box, flip=0.5, sides=(10, 20, 30), seed=seed) for seed in range(300)]
    mirrored = sum(float(after.boxes[0, 0]) > 0 for _, after in results)
    assert 110 < mirrored < 190  # 150, standard deviation 8.7
    heights = [moved.shape[0] for moved, _ in results]
    assert all(65 < heights.count(side) < 135 for side in (10, 20, 30))  # 100, deviation 8.2


def test_a_batch_is_padded_at_the_right_and_the_bottom() -> None:
    images = [np.full((2, 3, 3), 7, dtype=np.uint8), np.full((4, 1, 3), 9, dtype=np.uint8)]
    pixels = to_batch_pixels(images)
    assert pixels.shape == (2, 4, 3, 3)
    assert pixels.dtype == torch.uint8
    assert bool((pixels[0, :2] == 7).all())
    assert bool((pixels[0, 2:] == 0).all())
    assert bool((pixels[1, :, :1] == 9).all())
    assert bool((pixels[1, :, 1:] == 0).all())


def test_proposals_go_where_the_objects_go(target: Callable[..., Target]) -> None:
    before = target([[2, 4, 10, 12], [0, 0, 30, 20]])
    before = replace(before, proposals=before.boxes.clone())
    augmentation = Augmentation(
        resize=Resize(shorter_sides=[40], longest=100), flip_probability=1.0
    )
    image = np.zeros((20, 30, 3), dtype=np.uint8)
    _, moved = augmentation(image, before, np.random.default_rng(0))
    # Twice as large, in an image 60 wide: x = 2 ... 10 becomes 60 - 20 ... 60 - 4.
    assert moved.boxes[0].tolist() == [40, 8, 56, 24]
    assert moved.proposals is not None
    assert torch.equal(moved.proposals, moved.boxes)


def test_a_part_fills_the_image_that_the_whole_would(target: MakeTarget) -> None:
    box = (42, 22, 58, 38)
    image, before = with_rectangle((60, 100), box), target([box])
    augmentation = Augmentation(
        resize=Resize(shorter_sides=[120], longest=1000),
        flip_probability=0.5,
        crop=RandomCrop(probability=1.0, least=0.5),
    )
    widths = []
    for seed in range(30):
        moved, after = augmentation(image, before, np.random.default_rng(seed))
        assert moved.shape == (120, 200, 3)
        assert after.boxes[0].tolist() == pytest.approx(found(moved), abs=2)
        widths.append(float(after.boxes[0, 2] - after.boxes[0, 0]))
    assert min(widths) >= 31  # 16 pixels at twice their size, and up to twice that
    assert max(widths) > 50


def test_what_is_not_asked_for_is_not_drawn(target: MakeTarget) -> None:
    image = np.random.default_rng(1).integers(0, 255, (30, 40, 3), dtype=np.uint8)
    resize = Resize(shorter_sides=[20, 30, 40], longest=100)
    plain = Augmentation(resize=resize, flip_probability=0.5)
    colours = Augmentation(resize=resize, flip_probability=0.5, colour=ColourJitter(most=0.3))
    before = target([[2, 4, 10, 12]])
    for seed in range(5):
        size, boxes = (30, 40), before
        one = plain.draw(size, boxes, np.random.default_rng(seed))
        other = colours.draw(size, boxes, np.random.default_rng(seed))
        assert one == replace(other, colours=None)
        assert other.colours is not None
        moved, _ = colours(image, before, np.random.default_rng(seed))
        still, _ = plain(image, before, np.random.default_rng(seed))
        assert np.array_equal(moved, recoloured(still, *other.colours))
