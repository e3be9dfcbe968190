"""A classifier pre-trains what a detector's backbone takes over."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from detection.classification.bn_statistics import freeze_statistics
from detection.classification.classifier import Classifier
from detection.classification.pretrain import accuracy, pretrain
from detection.model.pixels import PixelFormat
from detection.model.resnet import ResNet
from detection.weights.backbone import initialise_backbone


def build_resnet(norm: str) -> ResNet:
    return ResNet(depth=18, stride_in_1x1=False, norm=norm, frozen_stages=[], bin_step=1)  # type: ignore[arg-type]


def build_classifier() -> Classifier:
    torch.manual_seed(0)
    pixels = PixelFormat(order="BGR", mean=[110.0, 115.0, 120.0], std=[60.0, 60.0, 60.0])
    return Classifier(pixels=pixels, backbone=build_resnet("trained"), num_classes=2)


def bright_and_dark(count: int) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    classes = np.arange(count) % 2
    levels = np.where(classes == 1, 200, 50)[:, None, None, None]
    images = np.clip(levels + random.normal(0, 20, (count, 32, 32, 3)), 0, 255)
    return images.astype(np.uint8), classes.astype(np.int64)


def test_learns_two_obvious_classes_and_keeps_them_with_exact_statistics() -> None:
    images, classes = bright_and_dark(32)
    classifier = build_classifier()
    pretrain(
        classifier,
        images,
        classes,
        epochs=3,
        batch_size=8,
        learning_rate=0.001,
        warmup_iterations=2,
        weight_decay=1e-4,
        seed=0,
    )
    freeze_statistics(classifier, [torch.from_numpy(images)])
    assert accuracy(classifier, images, classes, batch_size=16) == 1.0


def test_the_frozen_backbone_of_a_detector_is_the_same_function(tmp_path: Path) -> None:
    classifier = build_classifier()
    images = torch.from_numpy(bright_and_dark(4)[0])
    freeze_statistics(classifier, [images])
    torch.save(classifier.backbone_weights(), tmp_path / "backbone.pt")
    frozen = build_resnet("frozen")
    initialise_backbone(frozen, tmp_path / "backbone.pt")
    x = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        # Four tiny images leave some variances near zero: activations reach the hundreds.
        torch.testing.assert_close(frozen(x), classifier.backbone(x), rtol=1e-3, atol=1e-2)
