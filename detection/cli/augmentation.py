"""The augmentation of a detector's training, out of the configuration."""

from __future__ import annotations

from omegaconf import DictConfig

from detection.data.colour_jitter import ColourJitter
from detection.data.random_crop import RandomCrop
from detection.data.transforms import Augmentation, Resize


def augmentation(data: DictConfig) -> Augmentation:
    """What ``data`` says: what is zero is not drawn at all."""
    crop = RandomCrop(probability=data.crop_probability, least=data.crop_least)
    return Augmentation(
        resize=Resize(shorter_sides=list(data.shorter_sides), longest=data.longest),
        flip_probability=data.flip_probability,
        crop=crop if data.crop_probability else None,
        colour=ColourJitter(most=data.colour) if data.colour else None,
        size_step=data.size_step or None,
    )
