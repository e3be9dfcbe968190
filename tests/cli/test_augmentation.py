"""What the configuration says of augmentation, and that what is zero is not drawn."""

from __future__ import annotations

from detection.cli.augmentation import augmentation
from detection.cli.compose import compose_config
from detection.data.colour_jitter import ColourJitter
from detection.data.random_crop import RandomCrop


def test_what_is_zero_is_left_out() -> None:
    found = augmentation(compose_config("train", ["data.root=x", "schedule=short"]).data)
    assert (found.crop, found.colour, found.flip_probability) == (None, None, 0.5)
    assert list(found.resize.shorter_sides) == [600]


def test_what_is_said_is_taken() -> None:
    words = ["data.crop_probability=0.4", "data.crop_least=0.3", "data.colour=0.2"]
    found = augmentation(compose_config("train", ["data.root=x", *words]).data)
    assert found.crop == RandomCrop(probability=0.4, least=0.3)
    assert found.colour == ColourJitter(most=0.2)
