"""From uint8 pixels to the input of the network."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from detection.model.pixels import PixelFormat
from detection.structures import ImageBatch


def batch(blue: int, green: int, red: int) -> ImageBatch:
    pixels = torch.tensor([blue, green, red], dtype=torch.uint8).expand(1, 2, 2, 3)
    return ImageBatch(pixels, [(2, 2)])


def test_bgr_weights_get_bgr_minus_mean_over_std() -> None:
    # (10 - 1) / 2, (20 - 2) / 2, (30 - 3) / 2
    pixels = PixelFormat(order="BGR", mean=[1.0, 2.0, 3.0], std=[2.0, 2.0, 2.0])
    assert pixels(batch(10, 20, 30))[0, :, 0, 0].tolist() == [4.5, 9.0, 13.5]


def test_rgb_weights_get_rgb_with_mean_and_std_in_that_order() -> None:
    # Red first: (30 - 1) / 1, (20 - 2) / 2, (10 - 3) / 4
    pixels = PixelFormat(order="RGB", mean=[1.0, 2.0, 3.0], std=[1.0, 2.0, 4.0])
    assert pixels(batch(10, 20, 30))[0, :, 0, 0].tolist() == [29.0, 9.0, 1.75]


def test_dark_pixels_become_negative_and_do_not_wrap() -> None:
    pixels = PixelFormat(order="BGR", mean=[100.0, 100.0, 100.0], std=[1.0, 1.0, 1.0])
    assert pixels(batch(0, 99, 255))[0, :, 0, 0].tolist() == [-100.0, -1.0, 155.0]


def test_padding_becomes_zero_after_normalisation(
    image_batch: Callable[..., ImageBatch],
) -> None:
    pixels = PixelFormat(order="RGB", mean=[1.5, 2.5, 3.5], std=[1.0, 1.0, 1.0])
    x = pixels(image_batch((3, 5), (4, 2)))
    assert x.shape == (2, 3, 4, 5)
    assert torch.equal(x[0, :, 3:], torch.zeros(3, 1, 5))
    assert torch.equal(x[1, :, :, 2:], torch.zeros(3, 4, 3))
    assert bool((x[0, :, :3] != 0).all())  # the means lie between the integers
    assert bool((x[1, :, :, :2] != 0).all())


def test_output_is_float32_channels_last_and_the_input_unchanged(
    image_batch: Callable[..., ImageBatch], device: torch.device
) -> None:
    images = image_batch((4, 6), (3, 6)).to(device)
    before = images.pixels.clone()
    x = PixelFormat(order="BGR", mean=[1.0] * 3, std=[1.0] * 3).to(device)(images)
    assert x.dtype == torch.float32
    assert x.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(images.pixels, before)


def test_the_format_is_not_part_of_the_weights() -> None:
    assert not PixelFormat(order="BGR", mean=[1.0] * 3, std=[1.0] * 3).state_dict()


def test_an_unknown_order_is_refused() -> None:
    with pytest.raises(ValueError, match="GBR"):
        PixelFormat(order="GBR", mean=[1.0] * 3, std=[1.0] * 3)  # type: ignore[arg-type]
