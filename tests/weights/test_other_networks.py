"""Networks that are not this project's are refused by name, in one line, under their own names."""

from __future__ import annotations

import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torchvision
from safetensors.torch import save_file
from torch import Tensor, nn

from detection.weights.backbone_file import read_backbone
from detection.weights.source import open_source

State = dict[str, Tensor]
pytestmark = pytest.mark.usefixtures("may_declare_more")
OURS = "this project has plain ResNets: 18, 34, 50, 101, 152"


def state_of(make: Callable[..., nn.Module], **arguments: Any) -> State:
    """The names and shapes of a network; each tensor is one number, stored once."""
    with torch.device("meta"):
        network = make(**arguments)
    return {n: torch.zeros(()).expand(v.shape) for n, v in network.state_dict().items()}


def one(*shape: int) -> Tensor:
    return torch.zeros(()).expand(shape)


def under(prefix: str, state: State) -> State:
    return {prefix + name: value for name, value in state.items()}


R50 = state_of(torchvision.models.resnet50)
R18 = state_of(torchvision.models.resnet18)


def without(start: str, state: State = R50) -> State:
    return {name: value for name, value in state.items() if not name.startswith(start)}


def group_norm() -> State:
    return state_of(torchvision.models.resnet50, norm_layer=lambda c: nn.GroupNorm(32, c))


def resnet(
    blocks: list[int], kind: Any = torchvision.models.resnet.Bottleneck, **options: Any
) -> State:
    return state_of(lambda: torchvision.models.resnet.ResNet(block=kind, layers=blocks, **options))


D_STEM = {"conv1.0.weight": one(32, 3, 3, 3), "conv1.3.weight": one(32, 32, 3, 3)}
D_SHORTCUT = {"layer1.0.downsample.1.weight": one(256, 64, 1, 1)}
CLIP_STEM = {f"conv{i}.weight": one(32, 3 if i == 1 else 32, 3, 3) for i in (1, 2, 3)}
CLIP = without("conv1.") | CLIP_STEM | {"attnpool.positional_embedding": one(50, 2048)}

# The file -> what is said of it.
VARIANTS: list[tuple[State, str]] = [
    (
        state_of(torchvision.models.resnext50_32x4d),
        "this is a ResNeXt-50 32x4d: its 3x3 convolutions are in 32 groups",
    ),
    (
        under("module.", resnet([3, 4, 23, 3], groups=64, width_per_group=4)),
        "this is a ResNeXt-101 64x4d: its 3x3 convolutions are in 64 groups",
    ),
    (state_of(torchvision.models.wide_resnet50_2), "a wide ResNet-50: .* 128 channels"),
    (
        R50 | {"conv1.weight": one(128, 3, 7, 7)},
        "this is a ResNet-50: its conv1 has 128 channels, the paper's 64",
    ),
    (resnet([2, 2, 2, 2]), "this is a ResNet-26: its stages have 2, 2, 2, 2 blocks"),
    (without("conv1.") | D_STEM, r"a ResNet-50-C: 'conv1\.0\.weight' is one of several"),
    (
        without("conv1.") | D_STEM | D_SHORTCUT,
        r"a ResNet-50-D \(vd\): 'conv1\.0\.weight' is one of several .*deep stem",
    ),
    (R50 | D_SHORTCUT, r"a ResNet-50 with the shortcuts of ResNet-D: 'layer1\.0\.downsample\.1"),
    (under("visual.", CLIP), "this is CLIP's ResNet-50: .*three convolutions .*attention"),
    (group_norm(), r"a ResNet-50 with GroupNorm: 'layer1\.0\.bn1' has no running statistics"),
    (
        {f"backbone.{n.replace('bn', 'gn')}": v for n, v in group_norm().items()},
        r"a ResNet-50 with GroupNorm \('layer1\.0\.gn1\.weight'\), and not BN",
    ),
    (
        {n: v for n, v in R50.items() if ".bn" not in n} | {"layer1.0.conv1.bias": one(64)},
        "a ResNet-50 whose BN is folded into its convolutions",
    ),
    (
        R50 | {"layer1.0.se.fc1.weight": one(8, 256, 1, 1)},
        r"an SE-ResNet-50: 'layer1\.0\.se\.fc1\.weight'",
    ),
    (
        state_of(torchvision.models.resnext50_32x4d) | {"layer2.1.se_module.fc1.weight": one(8)},
        r"an SE-ResNeXt-50 32x4d: 'layer2\.1\.se_module",
    ),
    (R50 | {"layer1.0.se.conv.weight": one(1, 1, 3)}, "an ECA-ResNet-50: "),
    (R50 | {"layer2.0.conv2.conv_offset.weight": one(18, 128, 3, 3)}, "a deformable ResNet-50"),
    (R50 | {"layer1.0.convs.0.weight": one(26, 26, 3, 3)}, "a Res2Net-like ResNet-50"),
    (
        R18 | {"conv1.weight": one(64, 3, 3, 3)},
        r"a ResNet-18 for small pictures: its conv1 is of 3x3, the paper's of 7x7",
    ),
    (R50 | {"conv1.weight": one(64, 1, 7, 7)}, "other pictures: its conv1 reads 1 channels"),
    (R50 | {"stage2.0.branches.0.0.conv1.weight": one(32, 32, 3, 3)}, "an HRNet"),
    (
        {
            "regnet.embedder.embedder.convolution.weight": one(32, 3, 3, 3),
            "regnet.encoder.stages.0.layers.0.layer.0.convolution.weight": one(48, 32, 1, 1),
        },
        "this is a RegNet",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("content", "message"), VARIANTS, ids=[m[:50] for _, m in VARIANTS])
def test_a_resnet_that_is_not_the_papers_is_named(
    content: State, message: str, tmp_path: Path
) -> None:
    # The BN of one block tells as much as that of all.
    few = {n: v for n, v in content.items() if ".bn" not in n or "layer1.0." in n}
    torch.save({"state_dict": few}, tmp_path / "a.pth")
    with pytest.raises(ValueError, match=message) as error:
        open_source(tmp_path / "a.pth")
    assert str(error.value).endswith(OURS)
    assert "\n" not in str(error.value)


# A name of each that no other has, as its own code writes it.
FAMILIES: list[tuple[str, str]] = [
    ("patch_embed.proj.weight blocks.0.attn.qkv.weight", "a Vision Transformer"),
    ("class_token encoder.layers.encoder_layer_0.ln_1.weight", "a Vision Transformer"),
    ("vit.encoder.layer.0.attention.attention.query.weight", "a Vision Transformer"),
    ("visual.conv1.weight visual.transformer.resblocks.0.attn.in_proj_weight", "a ViT of CLIP"),
    ("layers.0.blocks.0.attn.relative_position_bias_table", "a Swin"),
    ("features.1.0.attn.relative_position_bias_table features.0.0.weight", "a Swin"),
    ("stem.0.weight stages.0.blocks.0.conv_dw.weight", "a ConvNeXt"),
    ("downsample_layers.0.0.weight stages.0.0.dwconv.weight", "a ConvNeXt"),
    ("convnext.encoder.stages.0.layers.0.dwconv.weight", "a ConvNeXt"),
    ("features.0.0.weight features.1.0.layer_scale", "a ConvNeXt"),
    ("stem.conv.weight stages.0.blocks.0.norm3.weight", "a ResNet-v2 or BiT"),
    ("bit.encoder.stages.0.layers.0.norm3.weight", "a ResNet-v2 or BiT"),
    (
        "stem.conv1.conv.weight stages.0.0.conv1_1x1.conv.weight",
        "a network of timm's ByobNet .CLIP's ResNets",
    ),
    ("stages.0.0.conv1.gain", "an NFNet"),
    ("s1.b1.conv1.conv.weight", "a RegNet"),
    ("trunk_output.block1.block1-0.f.a.0.weight", "a RegNet"),
    ("features.0.0.weight features.1.conv.0.0.weight", "a MobileNet or an EfficientNet"),
    ("features.0.0.weight features.1.0.block.0.0.weight", "a MobileNet or an EfficientNet"),
    ("conv_stem.weight blocks.0.0.conv_dw.weight", "a MobileNet or an EfficientNet"),
    ("features.conv0.weight features.denseblock1.denselayer1.conv1.weight", "a DenseNet"),
    ("Mixed_5b.branch1x1.conv.weight", "an Inception"),
    ("conv1.conv.weight inception3a.branch1.conv.weight", "an Inception"),
    ("features.0.weight features.3.squeeze.weight", "a SqueezeNet"),
    ("conv1.0.weight stage2.0.branch1.0.weight", "a ShuffleNet"),
    ("backbone.features.0.weight backbone.extra.0.1.weight", "an SSD"),
    ("model.0.conv.weight model.22.cv2.0.0.conv.weight", "a YOLO"),
    ("backbone.backbone.dark2.0.conv.weight", "a YOLO"),
    ("features.0.weight features.8.weight", "an AlexNet, or a VGG other than VGG-16"),
    ("model.layers.0.self_attn.q_proj.weight", "a language model"),
]


@pytest.mark.parametrize(("names", "what"), FAMILIES)
def test_another_family_is_named(names: str, what: str, tmp_path: Path) -> None:
    save_file({name: torch.zeros(1) for name in names.split()}, tmp_path / "a.safetensors")
    with pytest.raises(ValueError, match=rf"a\.safetensors: this is {what}.*; {OURS}") as error:
        open_source(tmp_path / "a.safetensors")
    assert "\n" not in str(error.value)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("make", "what"),
    [
        ("vit_b_16", "a Vision Transformer"),
        ("swin_t", "a Swin Transformer"),
        ("convnext_tiny", "a ConvNeXt"),
        ("mobilenet_v3_small", "a MobileNet"),
        ("squeezenet1_1", "a SqueezeNet"),
        ("alexnet", "an AlexNet"),
        ("vgg11_bn", "an AlexNet, or a VGG"),
    ],
)
def test_torchvisions_own_networks_are_named(make: str, what: str, tmp_path: Path) -> None:
    torch.save(state_of(getattr(torchvision.models, make)), tmp_path / "a.pth")
    with pytest.raises(ValueError, match=rf"this is {what}"):
        open_source(tmp_path / "a.pth")


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("fasterrcnn_resnet50_fpn", "a Faster R-CNN"),
        ("maskrcnn_resnet50_fpn", "a Mask R-CNN"),
        ("keypointrcnn_resnet50_fpn", "a Keypoint R-CNN"),
        ("retinanet_resnet50_fpn", "a RetinaNet"),
    ],
)
def test_a_detector_with_a_pyramid_is_named(name: str, what: str, tmp_path: Path) -> None:
    heads = {
        "fasterrcnn_resnet50_fpn": "roi_heads.box_predictor.cls_score.weight",
        "maskrcnn_resnet50_fpn": "roi_heads.mask_predictor.conv5_mask.weight",
        "keypointrcnn_resnet50_fpn": "roi_heads.keypoint_predictor.kps_score_lowres.weight",
        "retinanet_resnet50_fpn": "head.classification_head.cls_logits.weight",
    }
    content = under("backbone.body.", without("fc.")) | {
        "backbone.fpn.inner_blocks.0.0.weight": one(256, 256, 1, 1),
        "roi_heads.box_head.fc6.weight" if "rcnn" in name else "head.x": one(4, 4),
        heads[name]: one(4, 4),
    }
    torch.save(content, tmp_path / "a.pth")
    with pytest.raises(ValueError, match=rf"this is {what} with a feature pyramid \(FPN\): 'back"):
        open_source(tmp_path / "a.pth")


def test_a_quantised_network_is_named(tmp_path: Path) -> None:
    weight = torch.quantize_per_tensor(torch.ones(64, 3, 7, 7), 0.1, 0, torch.qint8)
    content = {
        "conv1.weight": weight,
        "conv1.scale": torch.tensor(0.1),
        "conv1.zero_point": torch.tensor(0),
        "layer1.0.conv1.weight": weight,
        "fc._packed_params.dtype": torch.qint8,
    }
    torch.save(content, tmp_path / "a.pth")
    with pytest.raises(ValueError, match="this is a quantised network, in whole numbers"):
        open_source(tmp_path / "a.pth")


def test_the_file_of_a_yolo_is_named_without_its_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tasks = types.ModuleType("ultralytics.nn.tasks")
    tasks.DetectionModel = type("DetectionModel", (), {"__module__": tasks.__name__})  # type: ignore[attr-defined]
    with monkeypatch.context() as patch:
        for name in ("ultralytics", "ultralytics.nn"):
            patch.setitem(sys.modules, name, types.ModuleType(name))
        patch.setitem(sys.modules, tasks.__name__, tasks)
        torch.save({"epoch": -1, "model": tasks.DetectionModel(), "ema": None}, tmp_path / "a.pt")
    with pytest.raises(ValueError, match=r"a\.pt: this is a YOLO detector.*pickled ultralytics"):
        open_source(tmp_path / "a.pt")


def test_an_empty_file_of_weights_says_so(tmp_path: Path) -> None:
    torch.save({}, tmp_path / "a.pth")
    with pytest.raises(ValueError, match=r"a\.pth: it is empty"):
        open_source(tmp_path / "a.pth")


def test_a_backbone_of_ones_own_is_filled_whatever_family_it_is(tmp_path: Path) -> None:
    class Own(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv_stem = nn.Conv2d(3, 4, 3)

    torch.save({"model": under("net.", Own().state_dict())}, tmp_path / "a.pth")
    found = read_backbone(tmp_path / "a.pth", Own())  # type: ignore[arg-type]
    assert found.weights.keys() == {"conv_stem.weight", "conv_stem.bias"}


@pytest.mark.parametrize("state", [R18, R50], ids=["18", "50"])
def test_plain_resnets_pass(state: State, tmp_path: Path) -> None:
    torch.save(state, tmp_path / "a.pth")
    assert open_source(tmp_path / "a.pth").kind == "torchvision"
