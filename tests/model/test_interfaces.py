"""A backbone and a head of another package, chosen in the configuration."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from detection.cli.compose import compose_config
from detection.cli.objects import as_plain, make
from detection.model.alternating import network_to_train
from detection.model.faster_rcnn import FasterRCNN
from detection.model.frozen_bn import fold, use_winograd
from detection.structures import ImageBatch, Target

# It has what the protocols list and nothing else.  ``scale`` is a parameter of no submodule, the
# per-region layer lies inside another module.
THEIR_PACKAGE = """
import torch
from torch import nn
from detection.model.targets import RegionTargets
from detection.structures import RegionPredictions


class TheirBackbone(nn.Module):
    stride = 8
    bin_step = 1
    region_layers = ("body.last",)

    def __init__(self, *, width):
        super().__init__()
        self.feature_channels = width
        self.region_channels = 2 * width
        self.scale = nn.Parameter(torch.ones(()))
        self.body = nn.ModuleDict(
            {"first": nn.Conv2d(3, width, 8, stride=8), "last": nn.Conv2d(width, 2 * width, 1)}
        )

    def features(self, pixels):
        return self.scale * self.body["first"](pixels).relu()

    def region_features(self, pooled):
        return self.body["last"](pooled).mean(dim=(2, 3))


class TheirHead(nn.Module):
    class_layers = ("_both",)
    pooling = "roi_align"

    def __init__(self, *, in_channels, num_classes, pooled_size, sampling, box_weights, **_):
        super().__init__()
        self.num_classes = num_classes
        self.pooled_size = pooled_size
        self._sampling = sampling
        self._box_weights = tuple(box_weights)
        self._both = nn.Linear(in_channels, num_classes + 1 + 4 * num_classes)

    def forward(self, region_features):
        both = self._both(region_features)
        logits, deltas = both.split([self.num_classes + 1, 4 * self.num_classes], dim=1)
        return logits.float(), deltas.unflatten(1, (-1, 4)).float()

    def subsample(self, proposals, target):
        return self._sampling.targets(proposals, target, self._box_weights)

    def losses(self, logits, deltas, targets):
        labels = torch.cat([target.labels for target in targets])
        return nn.functional.cross_entropy(logits, labels), deltas.abs().mean()

    def predictions(self, logits, deltas, boxes, size):
        return RegionPredictions(logits.softmax(dim=1), boxes[:, None] + 0 * deltas)
"""


@pytest.fixture
def theirs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FasterRCNN:
    (tmp_path / "theirpackage.py").write_text(THEIR_PACKAGE)
    monkeypatch.syspath_prepend(tmp_path)
    config = compose_config(
        "train",
        [
            "data.root=x",
            "model.backbone._target_=theirpackage.TheirBackbone",
            "+model.backbone.width=4",
            "model.roi_head._target_=theirpackage.TheirHead",
            "model.rpn.anchors.stride=8",
            "model.rpn.sampling.cross_boundary=true",
        ],
    )
    model = make(as_plain(config.model) | {"num_classes": 3})
    assert isinstance(model, FasterRCNN)
    return model


def test_a_backbone_and_a_head_of_another_package_train_and_detect(
    theirs: FasterRCNN, image_batch: Callable[..., ImageBatch], target: Callable[..., Target]
) -> None:
    images = image_batch((64, 80))
    theirs.train()(images, [target([[8, 8, 40, 40]], labels=[2])]).total().backward()
    for name, parameter in theirs.named_parameters():
        assert parameter.grad is not None, name
    use_winograd(theirs.eval(), True)
    fold(theirs)
    with torch.no_grad():
        features, proposals = theirs.propose(images)
        (found,) = theirs.classify(features, [p.boxes for p in proposals], images.sizes)
    assert found.probabilities.shape == (len(proposals[0].boxes), 4)


def test_the_layers_of_another_package_are_fixed_in_4_step_training(theirs: FasterRCNN) -> None:
    network_to_train(theirs, train_only="fast_rcnn", shared_fixed=True)
    learning = {name for name, p in theirs.named_parameters() if p.requires_grad}
    layers = {name.rpartition(".")[0] for name in learning}
    assert layers == {"backbone.body.last", "roi_head._both"}


class Unfinished(nn.Module):
    stride = 16
    bin_step = 1
    feature_channels = 8
    region_channels = 8

    def features(self, pixels: Tensor) -> Tensor:
        return pixels


def test_what_a_backbone_lacks_is_named(detector: Callable[..., FasterRCNN]) -> None:
    with pytest.raises(
        ValueError, match=r"model\.backbone: .*Unfinished lacks region_layers, region_features;"
    ):
        detector(backbone=Unfinished())
    with pytest.raises(ValueError, match=r"model\.backbone must be a torch\.nn\.Module, got .*str"):
        detector(backbone="resnet")


def test_what_a_head_lacks_is_named(
    detector: Callable[..., FasterRCNN], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr("detection.model.roi_head.RoIHead.predictions")
    with pytest.raises(ValueError, match=r"model\.roi_head: .*RoIHead lacks predictions;"):
        detector(tiny=True)
