"""Configuration -> images that show one class each, with boxes."""

from __future__ import annotations

from collections.abc import Sequence

from omegaconf import DictConfig

from detection.data.dataset import DetectionDataset
from detection.data.formats.open import open_dataset
from detection.localization.located_images import LocatedImages
from detection.user_path import user_path


def located_training_data(data: DictConfig) -> tuple[LocatedImages, LocatedImages]:
    """The training and the validation set, both with the training set's classes."""
    train_set = _opened(data, data.train_split, classes=data.classes)
    val_set = _opened(data, data.val_split, classes=data.classes)
    val_set = val_set.with_class_names(train_set.class_names)
    return (
        LocatedImages.of(train_set).every(data.train_images),
        LocatedImages.of(val_set).every(data.val_images),
    )


def located_test_data(data: DictConfig, class_names: Sequence[str]) -> LocatedImages:
    """The split ``data.split``, with the classes of a checkpoint."""
    dataset = _opened(data, data.split, classes=None).with_class_names(class_names)
    return LocatedImages.of(dataset).every(data.images)


def _opened(
    data: DictConfig, split: str | Sequence[str], *, classes: Sequence[str] | None
) -> DetectionDataset:
    return open_dataset(
        root=user_path(data.root),
        split=split,
        classes=classes,
        invalid_boxes=data.invalid_boxes,
        allow_outside=data.allow_outside,
    )
