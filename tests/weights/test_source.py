"""Files of weights: recognised by their contents, every name used or listed, and their input."""

from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from detection.model.pixels import PixelFormat
from detection.model.resnet import ResNet
from detection.weights.import_backbone import input_format
from detection.weights.input_format import (
    MSRA,
    TORCHVISION,
    GivenInput,
    InputFormat,
    check_input_format,
    check_pixel_scale,
    from_description,
    reads_large_pixels,
)
from detection.weights.parameter import Parameter
from detection.weights.parameter_names import classifier_weights, parameter_name
from detection.weights.source import open_source

# Kinds.
B, D, M = "detectron2 backbone", "detectron2 detector", "mmdetection detector"
T, N = "transformers", "torchvision, numbered"
ONE = np.ones(2, dtype=np.float32)


def write_pickle(path: Path, content: Any) -> Path:
    path.write_bytes(pickle.dumps(content, protocol=2))
    return path


def resnet50_names() -> list[str]:
    with torch.device("meta"):
        own = ResNet(depth=50, stride_in_1x1=True, norm="trained", frozen_stages=[], bin_step=1)
    return list(own.state_dict())


@pytest.mark.parametrize(
    ("kind", "ours", "theirs"),
    [
        ("msra", "conv1.conv.weight", "conv1_w"),
        ("msra", "conv1.bn.bias", "res_conv1_bn_b"),
        ("msra", "conv2.0.conv_a.conv.weight", "res2_0_branch2a_w"),
        ("msra", "conv4.22.conv_c.bn.weight", "res4_22_branch2c_bn_s"),
        ("msra", "conv5.0.shortcut.conv.weight", "res5_0_branch1_w"),
        ("torchvision", "conv1.bn.running_mean", "bn1.running_mean"),
        ("torchvision", "conv3.0.shortcut.bn.weight", "layer2.0.downsample.1.weight"),
        ("torchvision", "conv2.1.conv_c.conv.weight", "layer1.1.conv3.weight"),
        (T, "conv1.bn.bias", "embedder.embedder.normalization.bias"),
        (T, "conv2.1.conv_c.bn.bias", "encoder.stages.0.layers.1.layer.2.normalization.bias"),
        (T, "conv5.0.shortcut.bn.bias", "encoder.stages.3.layers.0.shortcut.normalization.bias"),
        (N, "conv1.conv.weight", "0.weight"),
        (N, "conv1.bn.bias", "1.bias"),
        (N, "conv2.1.conv_c.bn.bias", "4.1.bn3.bias"),
        ("ours", "conv2.1.conv_c.bn.bias", "conv2.1.conv_c.bn.bias"),
        (B, "conv1.bn.weight", "stem.conv1.norm.weight"),
        (B, "conv3.0.conv_b.conv.weight", "res3.0.conv2.weight"),
        (B, "conv3.0.shortcut.bn.bias", "res3.0.shortcut.norm.bias"),
        (D, "backbone.conv4.5.conv_a.bn.bias", "backbone.res4.5.conv1.norm.bias"),
        (D, "backbone.conv5.0.conv_a.conv.weight", "roi_heads.res5.0.conv1.weight"),
        (D, "backbone.conv5_bn.weight", "roi_heads.res5.norm.weight"),
        (D, "roi_head.logits.bias", "roi_heads.box_predictor.cls_score.bias"),
        (M, "backbone.conv4.5.conv_a.bn.bias", "backbone.layer3.5.bn1.bias"),
        (M, "backbone.conv5.0.conv_a.conv.weight", "roi_head.shared_head.layer4.0.conv1.weight"),
        (M, "rpn.deltas.bias", "rpn_head.rpn_reg.bias"),
    ],
)  # fmt: skip
def test_names_in_every_scheme(kind: Any, ours: str, theirs: str) -> None:
    assert parameter_name(kind, ours) == theirs


@pytest.mark.parametrize("kind", ["msra", "torchvision", "ours", B, T, N])
def test_every_name_of_a_resnet_goes_there_and_back(tmp_path: Path, kind: Any) -> None:
    statistics = ("running_mean", "running_var")
    ours = [name for name in resnet50_names() if not name.endswith("num_batches_tracked")]
    if kind == "msra":
        ours = [name for name in ours if not name.endswith(statistics)]
    theirs = {parameter_name(kind, name): ONE for name in ours}
    assert len(theirs) == len(ours)
    source = open_source(write_pickle(tmp_path / "a.pkl", theirs))
    assert source.kind == kind
    weights, left_out = classifier_weights(source)
    assert left_out == []
    made = [name for name in weights if not (kind == "msra" and name.endswith(statistics))]
    assert [name.removeprefix("backbone.") for name in made] == ours


def test_msras_folded_bn_becomes_the_affine_map_it_is(tmp_path: Path) -> None:
    given = {
        "conv1_w": ONE,
        "conv1_b": ONE,
        "res_conv1_bn_s": np.array([2, 3], dtype=np.float32),
        "res_conv1_bn_b": np.array([-1, 5], dtype=np.float32),
        "fc1000_w": ONE,
        "fc1000_b": ONE,
        "conv1_w_momentum": ONE,
    }
    source = open_source(write_pickle(tmp_path / "R-50.pkl", {"blobs": given, "cfg": "text"}))
    weights, left_out = classifier_weights(source)
    assert left_out == ["cfg", "conv1_b", "conv1_w_momentum"]
    bn = {name.rpartition(".")[2]: v for name, v in weights.items() if ".bn." in name}
    # (x - 0) / sqrt(1 - eps + eps) * s + b
    scale = bn["weight"] * (bn["running_var"] + 1e-5).rsqrt()
    assert scale.tolist() == pytest.approx([2, 3], abs=1e-6)
    assert (bn["bias"] - bn["running_mean"] * scale).tolist() == [-1, 5]
    assert {"fc.weight", "fc.bias"} <= weights.keys()
    assert input_format(source, weights) == MSRA


def test_mocos_checkpoint_gives_its_query_encoder(tmp_path: Path) -> None:
    state = {
        "module.encoder_q.conv1.weight": torch.ones(1),
        "module.encoder_q.bn1.num_batches_tracked": torch.tensor(3),
        "module.encoder_q.fc.2.bias": torch.ones(1),
        "module.encoder_k.conv1.weight": torch.zeros(1),
        "module.queue": torch.zeros(1),
        "module.queue_ptr": torch.zeros(1),
    }
    torch.save({"epoch": 200, "arch": "resnet50", "state_dict": state}, tmp_path / "moco.pth.tar")
    source = open_source(tmp_path / "moco.pth.tar")
    assert (source.kind, source.prefix) == ("torchvision", "module.encoder_q.")
    weights, left_out = classifier_weights(source)
    assert {name: value.tolist() for name, value in weights.items()} == {
        "backbone.conv1.conv.weight": [1]
    }
    accounted = set(left_out) - {"epoch", "arch"}
    assert accounted == state.keys() - {"module.encoder_q.conv1.weight"}
    assert input_format(source, weights) == TORCHVISION


def test_mocos_converted_file_has_a_projection_and_no_classifier(tmp_path: Path) -> None:
    model = {"stem.conv1.weight": ONE, "stem.fc.weight": ONE, "res2.0.conv1.norm.bias": ONE}
    content = {"model": model, "__author__": "MOCO", "matching_heuristics": True}
    source = open_source(write_pickle(tmp_path / "moco.pkl", content))
    weights, left_out = classifier_weights(source)
    assert list(weights) == ["backbone.conv1.conv.weight", "backbone.conv2.0.conv_a.bn.bias"]
    assert left_out == ["__author__", "matching_heuristics", "stem.fc.weight"]
    content["__author__"] = "torchvision"
    weights, _ = classifier_weights(open_source(write_pickle(tmp_path / "tv.pkl", content)))
    assert "fc.weight" in weights


def test_the_prefix_of_data_parallel_is_taken_away(tmp_path: Path) -> None:
    torch.save(
        {"state_dict": {"module.conv1.weight": torch.ones(1), "module.fc.bias": torch.ones(1)}},
        tmp_path / "a.pth",
    )
    weights, _ = classifier_weights(open_source(tmp_path / "a.pth"))
    assert list(weights) == ["backbone.conv1.conv.weight", "fc.bias"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"whatever": ONE}, "not the weights of a ResNet or of a Faster R-CNN C4"),
        ({"conv1_w": ONE, "conv_rpn_w": ONE}, "a detector of Caffe2's Detectron"),
        ({"conv1_w": ONE, "res2_0_branch2d_w": ONE}, "'res2_0_branch2d_w' is no parameter"),
        ({"conv1_w": ONE, "res2_0_branch2a_gn_s": ONE}, "'res2_0_branch2a_gn_s' is no parameter"),
        ({"stem.conv1.weight": ONE, "res6.0.conv1.weight": ONE}, "'res6.0.conv1.weight' is no"),
        ({"conv1.weight": ONE, "layer1.0.se.weight": ONE}, "'layer1.0.se.weight' is no parameter"),
        ([ONE], "holds a list, not weights"),
    ],
)
def test_what_is_not_known_is_an_error_that_names_file_and_parameter(
    tmp_path: Path, content: Any, message: str
) -> None:
    path = write_pickle(tmp_path / "odd.pkl", content)
    with pytest.raises(ValueError, match=r"odd\.pkl: ") as error:
        classifier_weights(open_source(path))
    assert message in str(error.value)


class Calls:
    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.marker),)


@pytest.mark.parametrize("name", ["evil.pkl", "evil.pth", "torch.pkl", "torch.pth"])
def test_a_hostile_file_is_refused_by_the_name_it_wants_and_does_nothing(
    tmp_path: Path, name: str
) -> None:
    path, marker = tmp_path / name, tmp_path / "was_run"
    content = {"model": {"conv1.weight": torch.ones(1), "payload": Calls(marker)}}
    if name.startswith("torch"):
        torch.save(content, path)
    else:
        write_pickle(path, {"payload": Calls(marker), "conv1_w": ONE})
    with pytest.raises(ValueError, match=r"(evil|torch)\.(pkl|pth): .*(posix|nt)\.mkdir"):
        open_source(path)
    assert not marker.exists()


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no\.pkl: no such file of weights"):
        open_source(tmp_path / "no.pkl")


# ---- The input -----------------------------------------------------------------------------------


def conv1(deviation: float) -> dict[str, Tensor]:
    """A conv1 that saw pixels of this deviation: outputs vary by it, times the filter's length."""
    weight = torch.randn(64, 3, 7, 7)
    variance = weight.square().sum(dim=(1, 2, 3)) * deviation**2
    return {
        "conv1.conv.weight": weight,
        "conv1.bn.running_mean": torch.randn(64),
        "conv1.bn.running_var": variance,
    }


def test_the_scale_of_the_pixels_shows_in_conv1s_statistics() -> None:
    assert reads_large_pixels(conv1(60)) is True
    assert reads_large_pixels(conv1(1)) is False
    untrained = conv1(60) | {"conv1.bn.running_mean": torch.zeros(64)}
    assert reads_large_pixels(untrained) is None
    assert reads_large_pixels({"conv1.conv.weight": torch.ones(64, 3, 7, 7)}) is None


def pixels(given: InputFormat) -> PixelFormat:
    return PixelFormat(order=given.order, mean=given.mean, std=given.std)  # type: ignore[arg-type]


def test_pixels_of_another_scale_than_the_weights_are_an_error_with_the_remedy() -> None:
    check_pixel_scale(conv1(60), pixels=pixels(MSRA), source="a.pth")
    check_pixel_scale(conv1(1), pixels=pixels(TORCHVISION), source="a.pth")
    with pytest.raises(ValueError, match=r"a\.pth: .*choose model/pixels=torchvision"):
        check_pixel_scale(conv1(1), pixels=pixels(MSRA), source="a.pth")
    with pytest.raises(ValueError, match=r"a\.pth: .*choose model/pixels=msra"):
        check_pixel_scale(conv1(60), pixels=pixels(TORCHVISION), source="a.pth")


def resnet(depth: int = 50, stride_in_1x1: bool = True) -> ResNet:
    with torch.device("meta"):
        return ResNet(
            depth=depth,
            stride_in_1x1=stride_in_1x1,
            norm="frozen",
            frozen_stages=[],
            bin_step=1,
        )


def changed(**values: Any) -> InputFormat:
    return InputFormat(**(vars(MSRA) | values))


@pytest.mark.parametrize(
    ("given", "fits"),
    [
        (MSRA, True),
        (changed(mean=[102.9801, 115.9465, 122.7717]), True),  # py-faster-rcnn's mean
        (changed(mean=[103.939, 116.779, 123.68]), True),  # Keras's
        (changed(stride_in_1x1=None), True),
        (changed(stride_in_1x1=False), False),
        (changed(order="RGB"), False),
        (changed(mean=[123.675, 116.28, 103.53]), False),
        (changed(std=[57.375, 57.12, 58.395]), False),
        (TORCHVISION, False),
    ],
)
def test_weights_of_another_input_are_an_error_that_says_the_right_one(
    given: InputFormat, fits: bool
) -> None:
    def check() -> None:
        check_input_format(given, pixels=pixels(MSRA), backbone=resnet(), source="r50.pt")

    if fits:
        check()
        return
    with pytest.raises(ValueError, match=r"r50\.pt was trained on other input") as error:
        check()
    assert str(given) in str(error.value)
    assert "model.backbone.stride_in_1x1=true model.backbone.bin_step=2" in str(error.value)


def test_a_backbone_that_does_not_say_where_it_strides_passes() -> None:
    foreign = torch.nn.Conv2d(3, 8, 3)  # of another package: no stride_in_1x1
    config = {
        "pixels": {"order": "BGR", "mean": MSRA.mean, "std": MSRA.std},
        "backbone": {"_target_": "other_package.Backbone"},
    }
    given = InputFormat.of_model(config, {})
    assert given == changed(stride_in_1x1=None)
    for trained_on in (given, MSRA, changed(stride_in_1x1=False)):
        check_input_format(trained_on, pixels=pixels(MSRA), backbone=foreign, source="a.pt")
    check_input_format(given, pixels=pixels(MSRA), backbone=resnet(), source="a.pt")
    with pytest.raises(ValueError, match="was trained on other input") as error:
        check_input_format(given, pixels=pixels(TORCHVISION), backbone=foreign, source="a.pt")
    assert "stride_in_1x1" not in str(error.value)


def test_what_the_user_says_of_the_input_stands_in_place_of_what_the_file_says() -> None:
    def fails() -> InputFormat:
        raise ValueError("cannot be told")

    rgb = {"order": "RGB", "mean": TORCHVISION.mean, "std": TORCHVISION.std}
    assert GivenInput(pixels=rgb, stride_in_1x1=False).completed(fails) == TORCHVISION
    assert GivenInput(pixels=rgb, stride_in_1x1=None).completed(lambda: MSRA) == InputFormat(
        **(vars(TORCHVISION) | {"stride_in_1x1": True})
    )
    assert GivenInput(pixels=None, stride_in_1x1=None).completed(lambda: MSRA) == MSRA
    with pytest.raises(ValueError, match="cannot be told"):
        GivenInput(pixels=None, stride_in_1x1=True).completed(fails)


def test_where_basic_blocks_stride_is_no_question() -> None:
    check_input_format(
        MSRA, pixels=pixels(MSRA), backbone=resnet(depth=18, stride_in_1x1=False), source="a"
    )


@pytest.mark.parametrize(
    ("described", "expected"),
    [
        (
            {
                "input": "BGR, 0-255, mean subtracted 103.939 116.779 123.68, std 1",
                "stride_2": "1x1 convolution (original MSRA/Caffe)",
            },
            changed(mean=[103.939, 116.779, 123.68]),
        ),
        (
            {
                "input": "RGB mean 123.675 116.28 103.53 std 58.395 57.12 57.375",
                "stride_2": "3x3 convolution",
            },
            TORCHVISION,
        ),
        ({"input": "RGB mean 1 2 3 std 1"}, None),
        ({"input": "mean 1 2 3 std 1", "stride_2": "1x1"}, None),
        ({"input": "RGB mean 1 2 std 1", "stride_2": "1x1"}, None),
        ({"format": "pt"}, None),
    ],
)
def test_what_a_safetensors_file_says_of_its_input(
    described: dict[str, str], expected: InputFormat | None
) -> None:
    assert from_description(described) == expected


def test_a_described_safetensors_file_is_believed(tmp_path: Path) -> None:
    said = {"input": "BGR mean 103.53 116.28 123.675 std 1", "stride_2": "1x1"}
    save_file({"conv1.weight": torch.ones(1)}, tmp_path / "a.safetensors", metadata=said)
    source = open_source(tmp_path / "a.safetensors")
    assert input_format(source, classifier_weights(source)[0]) == MSRA


def test_weights_whose_bn_tells_nothing_are_asked_about(tmp_path: Path) -> None:
    save_file(
        {
            "conv1.weight": torch.randn(64, 3, 7, 7),
            "bn1.running_mean": torch.zeros(64),
            "bn1.running_var": torch.ones(64),
        },
        tmp_path / "a.safetensors",
    )
    source = open_source(tmp_path / "a.safetensors")
    with pytest.raises(ValueError, match=r"a\.safetensors: .*give pixels="):
        input_format(source, classifier_weights(source)[0])


def test_torchvisions_names_with_msras_numbers_are_asked_about(tmp_path: Path) -> None:
    names = {"weight": "conv1.weight", "running_mean": "bn1.running_mean"}
    names["running_var"] = "bn1.running_var"
    given = {names[name.rpartition(".")[2]]: value for name, value in conv1(60).items()}
    save_file(given, tmp_path / "a.safetensors")
    source = open_source(tmp_path / "a.safetensors")
    weights, _ = classifier_weights(source)
    with pytest.raises(ValueError, match=r"a\.safetensors: .*say which with pixels="):
        input_format(source, weights)


@pytest.mark.parametrize(
    "name", ["conv1.0.conv_a.conv.weight", "conv2.conv.weight", "conv6.0.conv_a.conv.weight", "fc"]
)
def test_what_is_in_no_stage_is_no_parameter_of_one(name: str) -> None:
    assert Parameter.parse(name) is None
