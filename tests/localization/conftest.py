"""A small localisation network, and small pictures of one object each."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path

import pytest
from torch import Tensor, nn

from detection.data.formats.open import open_dataset
from detection.localization.localizer import Localizer
from detection.localization.located_images import LocatedImages
from detection.model.anchors import Anchors
from detection.model.per_class_rpn import PerClassRPN
from detection.model.pixels import PixelFormat
from detection.shapes.localization import generate_localization
from tests.anchor_sampling import SAMPLING


class TinyBackbone(nn.Module):
    """One convolution to conv4's stride, and one to conv5's."""

    stride = 16
    region_channels = 12

    def __init__(self, bin_step: int) -> None:
        super().__init__()
        self.bin_step = bin_step
        self.shared = nn.Conv2d(3, 16, 16, stride=16)
        self.conv5 = nn.Conv2d(16, 12, 2, stride=2)

    def features(self, pixels: Tensor) -> Tensor:
        return self.shared(pixels).relu()

    def region_map(self, pooled: Tensor) -> Tensor:
        return self.conv5(pooled).relu()


def build_localizer(*, num_classes: int = 7, stride: int = 32, bin_step: int = 1) -> Localizer:
    return Localizer(
        num_classes=num_classes,
        pixels=PixelFormat(order="BGR", mean=[110.0, 115.0, 120.0], std=[60.0, 60.0, 60.0]),
        backbone=TinyBackbone(bin_step),
        head=functools.partial(
            PerClassRPN,
            hidden_channels=16,
            anchors=Anchors(
                sizes=[16, 32], aspect_ratios=[0.5, 1], stride=stride, centre=16, rounded=False
            ),
            sampling=SAMPLING,
            sigma=3.0,
            init_std=0.01,
        ),
    )


@pytest.fixture(scope="session")
def localizer() -> Callable[..., Localizer]:
    """:func:`build_localizer`."""
    return build_localizer


@pytest.fixture(scope="session")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tree of CLS-LOC with 6 + 4 pictures of 128 pixels."""
    folder = tmp_path_factory.mktemp("clsloc") / "data"
    return generate_localization(root=folder, train=6, val=4, seed=3, image_side=128)


@pytest.fixture(scope="session")
def located(root: Path) -> LocatedImages:
    dataset = open_dataset(root=root, split="val", classes=None, invalid_boxes="error")
    return LocatedImages.of(dataset)
