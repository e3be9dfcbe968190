"""A detector for ``init=`` sets what its weights fit, where the command line does not."""

from __future__ import annotations

from pathlib import Path

import pytest
from omegaconf import DictConfig

from detection.build import build
from detection.checkpoint import Checkpoint
from detection.cli.compose import compose_config
from detection.cli.follow_detector import follow_detector
from detection.cli.objects import as_plain
from detection.weights.initialise import InitialWeights

# As schedule=auto leaves one of a CPU, trained from nothing.
OWN = [
    "model/backbone=resnet_basic",
    "model/pixels=torchvision",
    "model.backbone.norm=trained",
    "model.backbone.frozen_stages=[]",
    "model.rpn.hidden_channels=32",
    "model.rpn.anchors.sizes=[50,70]",
    "model.rpn.anchors.aspect_ratios=[0.9]",
    "model.roi_head.pooled_size=6",
    "model.roi_head.pooling=roi_align",
    "model.roi_head.sampling.per_image=16",
]


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("own") / "best.pt"
    config = compose_config("train", ["data.root=x", *OWN])
    model = as_plain(config.model) | {"num_classes": 2}
    Checkpoint(
        weights=build(model).state_dict(), model_config=model, class_names=["a", "b"],
        resize={}, inference={}, category_ids=[1, 2],
    ).save(path)  # fmt: skip
    return path


def following(path: Path, *given: str) -> DictConfig:
    config = compose_config("train", ["data.root=x", f"init='{path}'", *given])
    follow_detector(config, [override.partition("=")[0] for override in given])
    return config


@pytest.mark.parametrize("schedule", ["auto", "paper2015"])
def test_its_weights_fit_what_is_set(
    own: Path, schedule: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO"):
        config = following(own, f"schedule={schedule}")
    expected = compose_config("train", ["data.root=x", *OWN]).model
    assert config.model.pixels == expected.pixels
    assert config.model.rpn.anchors == expected.rpn.anchors
    assert config.model.roi_head.pooled_size == 6
    # What training costs is not the checkpoint's to say.
    assert config.model.roi_head.sampling.per_image == 128
    assert list(config.model.backbone.frozen_stages) == ["conv1", "conv2"]
    model = build(as_plain(config.model) | {"num_classes": 2})
    start = InitialWeights(backbone=None, entry=None, detector=own, new_classes=False)
    assert start.load_into(model, ["b", "a"])
    assert "model.rpn.hidden_channels" in caplog.text
    if schedule == "auto":
        given = config.schedule.recipe.given
        assert {"model.rpn.hidden_channels", "model.backbone.norm"} <= {*given}
        assert "model.backbone.frozen_stages" not in given


def test_what_is_given_stays(own: Path) -> None:
    model = following(own, "model.rpn.anchors.sizes=[9]", "model/pixels=msra").model
    assert list(model.rpn.anchors.sizes) == [9]
    assert list(model.rpn.anchors.aspect_ratios) == [0.9]
    assert model.pixels.order == "BGR"
    assert model.rpn.hidden_channels == 32
    whole = following(own, "model=modern_c4").model
    assert whole == compose_config("train", ["data.root=x", "model=modern_c4"]).model


def test_another_class_of_backbone_stays(own: Path) -> None:
    vgg = ["_target_=detection.model.vgg.VGG16", "dropout=0.5", "pooled_size=7"]
    words = [*(f"model.backbone.{word}" for word in vgg), "model.roi_head.pooled_size=7"]
    model = following(own, *words).model
    assert model.backbone == compose_config("train", ["data.root=x", *words]).model.backbone
    assert model.roi_head.pooled_size == 7


def test_what_is_no_checkpoint_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "x.pt"
    path.write_bytes(b"no checkpoint")
    assert following(path).model == compose_config("train", ["data.root=x"]).model
