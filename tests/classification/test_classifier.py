"""A classifier pre-trains what a detector's backbone takes over."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from detection.checkpoint import Checkpoint, ClassifierCheckpoint
from detection.classification.bn_statistics import freeze_statistics
from detection.classification.classifier import Classifier
from detection.model.pixels import PerPixelMean, PixelFormat
from detection.model.resnet import ResNet
from detection.weights.backbone_file import read_backbone
from detection.weights.initialise import check_backbone_input, initialise_backbone


def test_the_fc_layer_begins_as_the_convolutions_do() -> None:
    # He et al. 2015 (Delving Deep into Rectifiers), eq. 10: std = sqrt(2 / inputs).
    pixels = PixelFormat(order="BGR", mean=[0.0] * 3, std=[1.0] * 3)
    network = nn.Identity()
    network.region_channels = 512
    fc = Classifier(pixels=pixels, backbone=network, num_classes=200).fc
    assert fc.weight.std().item() == pytest.approx((2 / 512) ** 0.5, rel=0.02)
    assert not bool(fc.bias.any())


def build_resnet(norm: str, shortcut: str = "B") -> ResNet:
    return ResNet(
        depth=18,
        stride_in_1x1=False,
        norm=norm,  # type: ignore[arg-type]
        frozen_stages=[],
        bin_step=1,
        shortcut=shortcut,  # type: ignore[arg-type]
    )


def build_classifier(shortcut: str = "B") -> Classifier:
    torch.manual_seed(0)
    pixels = PixelFormat(order="BGR", mean=[110.0, 115.0, 120.0], std=[60.0, 60.0, 60.0])
    return Classifier(pixels=pixels, backbone=build_resnet("trained", shortcut), num_classes=7)


@pytest.fixture
def images() -> Tensor:
    random = np.random.default_rng(0)
    return torch.from_numpy(random.integers(0, 256, (4, 32, 32, 3), dtype=np.uint8))


def test_losses_are_cross_entropy_and_the_part_that_is_wrong(images: Tensor) -> None:
    classifier = build_classifier()
    with torch.no_grad():
        logits = classifier.logits(images)
    best = logits.argmax(dim=1)
    targets = torch.where(torch.arange(4) == 2, (best + 1) % 7, best)  # one of four is wrong
    losses = classifier(images, targets)
    torch.testing.assert_close(losses.total(), F.cross_entropy(logits, targets))
    assert float(losses.error) == 0.25
    assert losses.total().requires_grad
    shown = losses.detached()
    assert set(shown) == {"total", "error"}
    assert not shown["total"].requires_grad


def test_the_initialisation_is_that_of_the_paper() -> None:
    # He et al. 2015: a standard deviation of sqrt(2 / inputs); the fc layer has 512.
    classifier = Classifier(
        pixels=PerPixelMean(side=32), backbone=build_resnet("trained"), num_classes=1000
    )
    assert float(classifier.fc.weight.detach().std()) == pytest.approx((2 / 512) ** 0.5, rel=0.01)
    assert not classifier.fc.bias.detach().any()


def test_a_whole_image_has_the_average_of_the_class_scores_of_all_places(images: Tensor) -> None:
    classifier = build_classifier().eval()
    wide = torch.cat([images, images], dim=2)
    with torch.no_grad():
        x = classifier.pixels.normalise(wide)
        features = classifier.backbone.conv5(classifier.backbone.features(x))  # type: ignore[attr-defined]
        dense = F.conv2d(features, classifier.fc.weight[:, :, None, None], classifier.fc.bias)
        assert dense.shape[2:] == (1, 2)
        torch.testing.assert_close(classifier.logits(wide), dense.mean((2, 3)))


def save(classifier: Classifier, path: Path) -> Path:
    ClassifierCheckpoint(
        weights=classifier.state_dict(), model_config={}, class_names=["a"] * 7, views={}
    ).save(path)
    return path


@pytest.mark.parametrize("shortcut", ["A", "B", "C", "none"])
@pytest.mark.slow
def test_the_frozen_backbone_of_a_detector_is_the_same_function(
    shortcut: str, images: Tensor, tmp_path: Path, with_random_bn: Callable[[nn.Module], None]
) -> None:
    classifier = build_classifier(shortcut).eval()
    with_random_bn(classifier)
    frozen = build_resnet("frozen", shortcut)
    initialise_backbone(frozen, read_backbone(save(classifier, tmp_path / "best.pt"), frozen))
    x = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(frozen(x), classifier.backbone(x), rtol=1e-4, atol=1e-4)


def test_exact_statistics_reach_the_detector(images: Tensor, tmp_path: Path) -> None:
    classifier = build_classifier()
    freeze_statistics(classifier, [images], forward=classifier.logits)
    frozen = build_resnet("frozen")
    initialise_backbone(frozen, read_backbone(save(classifier, tmp_path / "best.pt"), frozen))
    expected = classifier.pixels.normalise(images)
    mean = F.conv2d(expected, frozen.conv1.conv.weight, stride=2, padding=3).mean((0, 2, 3))
    torch.testing.assert_close(frozen.conv1.bn.running_mean, mean.detach(), rtol=1e-4, atol=1e-5)


def test_another_architecture_is_refused(tmp_path: Path) -> None:
    path = save(build_classifier("none"), tmp_path / "plain.pt")
    frozen = build_resnet("frozen")
    file = read_backbone(path, frozen)
    with pytest.raises(ValueError, match="another architecture"):
        initialise_backbone(frozen, file)


def test_of_a_mean_image_the_detector_must_subtract_the_mean_colour(tmp_path: Path) -> None:
    mean = torch.tensor([100.0, 110.0, 120.0])
    path = tmp_path / "best.pt"
    ClassifierCheckpoint(
        weights={"pixels.mean": mean + torch.tensor([-5.0, 5.0])[:, None, None].expand(2, 2, 3)},
        model_config={"pixels": {"_target_": "PerPixelMean", "side": 2}, "backbone": {}},
        class_names=["a"],
        views={},
    ).save(path)
    backbone = build_resnet("frozen")
    same = PixelFormat(order="BGR", mean=mean.tolist(), std=[1.0] * 3)
    file = read_backbone(path, backbone)
    check_backbone_input(file, pixels=same, backbone=backbone)
    other = PixelFormat(order="BGR", mean=[100.0, 110.0, 125.0], std=[1.0] * 3)
    with pytest.raises(ValueError, match=r"model\.pixels\.mean=\[100,110,120\]"):
        check_backbone_input(file, pixels=other, backbone=backbone)


def test_a_classifier_is_no_detector(tmp_path: Path) -> None:
    path = save(build_classifier(), tmp_path / "best.pt")
    with pytest.raises(ValueError, match="not a checkpoint"):
        Checkpoint.load(path)
    assert ClassifierCheckpoint.load(path).class_names == ["a"] * 7


def test_the_mean_image_is_subtracted_and_from_other_sizes_the_mean_colour() -> None:
    pixels = PerPixelMean(side=2)
    assert not pixels.mean.any()
    a = torch.zeros(1, 2, 2, 3, dtype=torch.uint8)
    b = torch.zeros(3, 2, 2, 3, dtype=torch.uint8)
    b[:, 0, 1] = torch.tensor([4, 8, 12], dtype=torch.uint8)
    pixels.fit([a, b])  # one image of zeros, three with a pixel: 3/4 of it
    assert pixels.mean[0, 1].tolist() == [3.0, 6.0, 9.0]
    assert float(pixels.mean.sum()) == 18.0
    normalised = pixels.normalise(b[:1])
    assert normalised.shape == (1, 3, 2, 2)
    assert normalised[0, :, 0, 1].tolist() == [1.0, 2.0, 3.0]
    # A quarter of the 2x2 mean image has a colour: its mean is (0.75, 1.5, 2.25).
    other = pixels.normalise(torch.zeros(1, 1, 5, 3, dtype=torch.uint8))
    assert other[0, :, 0, 4].tolist() == [-0.75, -1.5, -2.25]
    assert "mean" in pixels.state_dict()
