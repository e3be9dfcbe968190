"""Weights from disk into a backbone: all of them, or an error that says which."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Any

import pytest
import torch
import torchvision
from safetensors.torch import load_file, save_file
from torch import Tensor

from detection.model.frozen_bn import Norm
from detection.model.pixels import PixelFormat
from detection.model.resnet import ResNet
from detection.model.vgg import VGG16
from detection.weights.backbone_file import read_backbone
from detection.weights.initialise import (
    check_backbone_input,
    check_random_start,
    initialise_backbone,
)
from detection.weights.input_format import MSRA, TORCHVISION


def resnet18() -> ResNet:
    return ResNet(depth=18, stride_in_1x1=False, norm="frozen", frozen_stages=[], bin_step=1)


def fill(backbone: torch.nn.Module, path: Path) -> None:
    initialise_backbone(backbone, read_backbone(path, backbone))


@pytest.fixture(scope="module")
def given() -> dict[str, Tensor]:
    return torchvision.models.resnet18().state_dict()


@pytest.mark.parametrize("suffix", [".pth", ".pt", ".safetensors"])
def test_torchvisions_weights_are_loaded_from_either_kind_of_file(
    tmp_path: Path, given: dict[str, Tensor], suffix: str, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / f"resnet18{suffix}"
    if suffix == ".safetensors":
        save_file(given, path)
    else:
        torch.save(given, path)
    own = resnet18()
    with caplog.at_level(logging.INFO):
        fill(own, path)
    assert torch.equal(own.conv1.conv.weight, given["conv1.weight"])
    assert torch.equal(own.conv5[1].conv_b.bn.running_var, given["layer4.1.bn2.running_var"])
    # 20 convolutions and 20 times four entries of BN.
    assert "100 tensors into the backbone" in caplog.text
    assert "left out:" in caplog.text
    assert "fc.weight" in caplog.text


def test_our_own_names_are_taken_as_they_are(tmp_path: Path) -> None:
    first, second = resnet18(), resnet18()
    torch.save(first.state_dict(), tmp_path / "own.pt")
    fill(second, tmp_path / "own.pt")
    for name, value in first.state_dict().items():
        assert torch.equal(second.state_dict()[name], value)


def test_half_precision_becomes_single(tmp_path: Path, given: dict[str, Tensor]) -> None:
    half = {name: value.half() if value.ndim == 4 else value for name, value in given.items()}
    torch.save(half, tmp_path / "half.pth")
    own = resnet18()
    fill(own, tmp_path / "half.pth")
    assert own.conv1.conv.weight.dtype == torch.float32
    assert torch.equal(own.conv1.conv.weight, given["conv1.weight"].half().float())


def test_weights_of_another_depth_are_refused(tmp_path: Path, given: dict[str, Tensor]) -> None:
    torch.save(given, tmp_path / "resnet18.pth")
    with torch.device("meta"):
        deeper = ResNet(depth=34, stride_in_1x1=False, norm="frozen", frozen_stages=[], bin_step=1)
    with pytest.raises(ValueError, match=r"resnet18\.pth does not fit the model"):
        fill(deeper, tmp_path / "resnet18.pth")


def test_all_keys_that_a_file_needs_are_said_at_once(
    tmp_path: Path, given: dict[str, Tensor]
) -> None:
    shown = {"bn1.running_mean": torch.ones(64), "bn1.running_var": torch.ones(64)}
    torch.save(given | shown, tmp_path / "resnet18.pth")
    with torch.device("meta"):
        deeper = ResNet(depth=34, stride_in_1x1=False, norm="frozen", frozen_stages=[], bin_step=1)
    file = read_backbone(tmp_path / "resnet18.pth", deeper)
    for pixels, message in (
        (MSRA, r"choose model/pixels=torchvision.* model\.backbone\.depth=18"),
        (TORCHVISION, r"a ResNet-18, and the model is a ResNet-34: set model\.backbone\.depth=18"),
    ):
        configured = PixelFormat(order=pixels.order, mean=pixels.mean, std=pixels.std)  # type: ignore[arg-type]
        with pytest.raises(ValueError, match=message):
            check_backbone_input(file, pixels=configured, backbone=deeper)


def test_a_missing_weight_is_named(tmp_path: Path, given: dict[str, Tensor]) -> None:
    fewer = {name: value for name, value in given.items() if name != "layer4.1.conv2.weight"}
    torch.save(fewer, tmp_path / "fewer.pth")
    with pytest.raises(ValueError, match=r"conv5\.1\.conv_b\.conv\.weight is missing"):
        fill(resnet18(), tmp_path / "fewer.pth")


def test_an_unknown_name_is_an_error_that_names_the_file(
    tmp_path: Path, given: dict[str, Tensor]
) -> None:
    torch.save(given | {"layer4.1.se.weight": torch.ones(1)}, tmp_path / "more.pth")
    with pytest.raises(ValueError, match=r"more\.pth: 'layer4\.1\.se\.weight' is no parameter"):
        fill(resnet18(), tmp_path / "more.pth")


def test_vggs_fc_layers_may_be_missing_and_keep_their_values(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    features = _vgg_features()
    save_file(features, tmp_path / "vgg.safetensors")
    own = VGG16(frozen_stages=[], dropout=0.5, pooled_size=1)
    fc6 = own.fc6.weight.clone()
    with caplog.at_level(logging.INFO):
        fill(own, tmp_path / "vgg.safetensors")
    assert torch.equal(own.conv5[2].weight, features["features.28.weight"])
    assert torch.equal(own.fc6.weight, fc6)
    assert "26 tensors into the backbone" in caplog.text  # 13 weights and 13 biases
    assert "not in the file: fc6.weight, fc6.bias, fc7.weight, fc7.bias" in caplog.text


def _vgg_features() -> dict[str, Tensor]:
    layers = torchvision.models.vgg.make_layers(torchvision.models.vgg.cfgs["D"])
    return {f"features.{name}": value for name, value in layers.state_dict().items()}


class _MakesFolder:
    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.marker),)


def test_code_in_a_file_of_weights_is_not_run(tmp_path: Path) -> None:
    torch.save({"conv1.weight": _MakesFolder(tmp_path / "was_run")}, tmp_path / "evil.pth")
    with pytest.raises(ValueError, match=r"evil\.pth"):
        read_backbone(tmp_path / "evil.pth", resnet18())
    assert not (tmp_path / "was_run").exists()


@pytest.mark.parametrize("name", ["weights.safetensors", "weights.pth"])
@pytest.mark.parametrize("content", [b"", b"hello there"])
def test_a_file_that_holds_no_weights_is_named(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=f"{name}: not a readable file of weights"):
        read_backbone(tmp_path / name, resnet18())


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"net": {"blocks.0.attn.w": torch.ones(1)}}, r"it holds net: blocks\.0\.attn\.w"),
        (torch.nn.Linear(1, 1), "a pickled torch.nn.modules.linear.Linear, .* its state_dict"),
        ({"model": torch.nn.Linear(1, 1)}, "model is a pickled torch.nn.modules.linear.Linear"),
        (3, "holds a int, not weights"),
    ],
)
def test_a_file_of_something_else_is_named(tmp_path: Path, content: Any, message: str) -> None:
    torch.save(content, tmp_path / "other.pth")
    with pytest.raises(ValueError, match=rf"other\.pth: .*{message}"):
        read_backbone(tmp_path / "other.pth", resnet18())


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"nothing\.pth: no such file of weights"):
        read_backbone(tmp_path / "nothing.pth", resnet18())


def test_every_msra_weight_is_used(data_folder: Path) -> None:
    path = data_folder / "weights" / "resnet50_msra_fp16.safetensors"
    own = ResNet(depth=50, stride_in_1x1=True, norm="frozen", frozen_stages=[], bin_step=2)
    with torch.no_grad():
        for tensor in own.state_dict().values():
            tensor.fill_(float("nan"))
    fill(own, path)
    assert all(bool(tensor.isfinite().all()) for tensor in own.state_dict().values())
    # Everything in the file but the classifier and BN's counters is in the network.
    file = load_file(path)
    used = {n: v for n, v in file.items() if not n.startswith("fc.") and "num_batches" not in n}
    assert len(used) == len(own.state_dict())
    assert sum(v.float().double().sum().item() for v in used.values()) == pytest.approx(
        sum(v.double().sum().item() for v in own.state_dict().values())
    )


def test_every_convolution_of_vgg16_is_used(data_folder: Path) -> None:
    path = data_folder / "weights" / "vgg16_features_fp16.safetensors"
    own = VGG16(frozen_stages=[], dropout=0.5, pooled_size=1)
    fill(own, path)
    file = load_file(path)
    assert len(file) == 26
    assert torch.equal(own.conv1[0].weight, file["features.0.weight"].float())


@pytest.mark.parametrize(
    ("norm", "frozen_stages", "said"),
    [
        ("frozen", ["conv1", "conv2"], r"conv1, conv2 fixed at random .* and BN fixed as the ide"),
        ("frozen", [], r"with BN fixed as the identity\. "),
        ("trained", ["conv1"], r"with conv1 fixed at random numbers \([0-9]+ tensors\)\. "),
        ("trained", [], None),
    ],
)
def test_layers_are_fixed_at_pretrained_numbers_alone(
    norm: Norm, frozen_stages: list[str], said: str | None
) -> None:
    backbone = ResNet(
        depth=18, stride_in_1x1=False, norm=norm, frozen_stages=frozen_stages, bin_step=1
    )
    if said is None:
        check_random_start(backbone)
        return
    with pytest.raises(ValueError, match=said) as error:
        check_random_start(backbone)
    for remedy in ("model.backbone.frozen_stages=[]", "model.backbone.norm=trained"):
        assert remedy in str(error.value)
