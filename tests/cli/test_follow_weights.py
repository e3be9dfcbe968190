"""A file for ``weights=`` sets what it says of the model, where the command line does not."""

from __future__ import annotations

import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torchvision
from omegaconf import DictConfig

from detection.build import build
from detection.checkpoint import ClassifierCheckpoint
from detection.cli.commands import COMMANDS
from detection.cli.compose import compose_config
from detection.cli.follow_weights import follow_file
from detection.cli.from_python import configuration
from detection.cli.launch import launch
from detection.cli.objects import as_plain
from detection.weights import backbone_file, file_content


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """torchvision's ResNet-50, under torchvision's names."""
    path = tmp_path_factory.mktemp("weights") / "resnet50-0.pth"
    network = torchvision.models.resnet50(weights=None)
    network(3 * torch.randn(4, 3, 32, 32))  # BN has seen pixels: of these it tells the scale
    torch.save(network.half().state_dict(), path)
    return path


def following(path: Path, *given: str) -> DictConfig:
    composed = compose_config("train", ["data.root=data", f"weights='{path}'", *given])
    follow_file(composed, [override.partition("=")[0] for override in given])
    return composed.model


def test_depth_pixels_and_stride_are_those_of_the_file(
    published: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO"):
        model = following(published)
    assert model.backbone.depth == 50
    assert (model.backbone.stride_in_1x1, model.backbone.bin_step) == (False, 1)
    assert model.pixels.order == "RGB"
    assert list(model.pixels.mean) == pytest.approx([123.675, 116.28, 103.53])
    assert list(model.pixels.std) == pytest.approx([58.395, 57.12, 57.375])
    (line,) = [line for line in caplog.messages if "sets" in line]
    assert "model.backbone.depth=50" in line
    assert "model.backbone.bin_step=1" in line


@pytest.mark.parametrize("given", [[], ["experiment=demo"]])
@pytest.mark.parametrize("in_1x1", [True, False])
def test_a_network_of_two_convolutions_a_block_strides_in_none_of_1x1(
    in_1x1: bool, given: list[str], tmp_path: Path
) -> None:
    # The classifier's own configuration says either, which changes nothing in it.
    path = tmp_path / "classifier.pt"
    config = compose_config("classifier", ["data.root=d", "model.backbone.depth=18"])
    model_config = as_plain(config.model) | {"num_classes": 2}
    model_config["backbone"]["stride_in_1x1"] = in_1x1
    ClassifierCheckpoint(
        weights=build(model_config).state_dict(), model_config=model_config,
        views=as_plain(config.data.views), class_names=["a", "b"],
    ).save(path)  # fmt: skip
    backbone = following(path, *given).backbone
    assert (backbone.depth, backbone.bin_step, backbone.stride_in_1x1) == (18, 1, False)


def test_what_is_given_stays(published: Path) -> None:
    model = following(
        published, "model.backbone.depth=101", "model/pixels=msra", "model.backbone.bin_step=2"
    )
    assert (model.backbone.depth, model.backbone.stride_in_1x1) == (101, True)
    assert model.pixels.order == "BGR"


def test_a_model_that_fits_stays(published: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO"):
        model = following(published, "experiment=moco_voc")
    assert model.backbone.norm == "trained_extra"
    assert "sets" not in caplog.text


def test_a_file_that_says_nothing_changes_nothing(tmp_path: Path) -> None:
    (tmp_path / "text.pth").write_text("no weights")
    assert following(tmp_path / "text.pth").backbone.depth == 101
    assert following(tmp_path / "missing.pth").backbone.depth == 101


def test_the_file_is_glanced_at_and_not_read(
    published: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loads = []
    load = torch.load
    monkeypatch.setattr(torch, "load", lambda *a, **k: loads.append(k["mmap"]) or load(*a, **k))
    # Its bytes are checked where they are used.
    monkeypatch.setattr(file_content, "check_archive", None)
    monkeypatch.setattr(backbone_file, "check_finite", None)
    before = torch.get_rng_state()
    assert following(published).backbone.depth == 50
    assert loads == [True]
    assert torch.equal(torch.get_rng_state(), before)  # nor is a network filled


def test_a_glance_into_a_compressed_archive_reads_it(tmp_path: Path) -> None:
    torch.save({"a": torch.arange(300.0)}, tmp_path / "s.pth")
    with (
        zipfile.ZipFile(tmp_path / "s.pth") as given,
        zipfile.ZipFile(tmp_path / "c.pth", "w", zipfile.ZIP_DEFLATED) as compressed,
    ):
        for name in given.namelist():
            compressed.writestr(name, given.read(name))
    for name in ("s.pth", "c.pth"):
        tree = file_content.read_content(tmp_path / name, glance=True).tree
        assert torch.equal(tree["a"], torch.arange(300.0))


@pytest.mark.slow
def test_a_damaged_file_is_left_to_the_training_to_refuse(published: Path, tmp_path: Path) -> None:
    content = bytearray(published.read_bytes())
    content[-40:] = bytes(40)  # the end of the archive's directory
    for number, damaged in enumerate((bytes(content), published.read_bytes()[:-1000])):
        path = tmp_path / f"{number}.pth"
        path.write_bytes(damaged)
        assert following(path).backbone.depth == 101


@pytest.mark.parametrize("weights", ["msra_r50", "file"])
def test_what_a_file_of_values_says_stays(
    weights: str,
    published: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "keeps_what_it_gets.py").write_text(
        "got = []\n\n\ndef main(config):\n    got.append(config)\n"
    )
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    own = tmp_path / "own.yaml"
    own.write_text("model: {backbone: {depth: 101}, pixels: {order: BGR}}\n")
    command = replace(COMMANDS["train"], module="keeps_what_it_gets", computes=False)
    given = published if weights == "file" else weights
    with caplog.at_level("INFO"):
        launch(command, ["detection train", "data", f"weights={given}", "--config", str(own)])
    import keeps_what_it_gets  # type: ignore[import-not-found]

    model = keeps_what_it_gets.got[-1].model
    assert model.backbone.depth == 101
    assert model.pixels.order == "BGR"
    assert "depth" not in caplog.text


def test_the_recipe_leaves_alone_what_a_file_sets(published: Path) -> None:
    config = compose_config("train", ["data.root=x", f"weights={published}", "schedule=auto"])
    follow_file(config, set())
    assert "model.backbone.depth" in config.schedule.recipe.given


@pytest.mark.parametrize("weights", ["msra_r101", "msra_r50"])
def test_the_recipe_leaves_the_depth_of_published_weights_alone(weights: str) -> None:
    config = compose_config("train", ["data.root=x", f"weights={weights}", "schedule=auto"])
    assert "model.backbone.depth" in config.schedule.recipe.given
    assert config.model.backbone.depth == int(weights.removeprefix("msra_r"))


def test_a_detector_of_the_zoo_brings_its_model() -> None:
    words = ["data.root=x", "init=coco_r101_c4"]
    auto = compose_config("train", [*words, "schedule=auto"])
    assert auto.model.backbone.depth == 101
    assert "model.backbone.depth" in auto.schedule.recipe.given
    paper = compose_config("train", [*words, "schedule=paper2015"])
    zoo = compose_config("train", ["data.root=x", "model=modern_c4", "model.backbone.depth=101"])
    assert paper.model == zoo.model
    own = compose_config("train", [*words, "model.rpn.hidden_channels=64"])
    assert own.model.rpn.hidden_channels == 64
    assert own.model.roi_head.sampling.per_image == 128


def test_a_name_says_the_same_from_python() -> None:
    words = compose_config("train", ["data.root=x", "weights=torchvision_r50_v2"])
    python = configuration("train", {"data.root": "x"}, paths={"weights": "torchvision_r50_v2"})
    assert python == words
    assert python.model.backbone.depth == 50
