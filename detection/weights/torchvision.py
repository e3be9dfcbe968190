"""torchvision's parameter names -> ours, for ImageNet classification networks.

The MSRA weights of 2015 are commonly stored under these names too.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from torch import Tensor

from detection.weights.parameter import Parameter

# torchvision numbers the layers of VGG-16's "features", activations and poolings included.
_VGG_CONVS = {
    0: "conv1.0", 2: "conv1.1",
    5: "conv2.0", 7: "conv2.1",
    10: "conv3.0", 12: "conv3.1", 14: "conv3.2",
    17: "conv4.0", 19: "conv4.1", 21: "conv4.2",
    24: "conv5.0", 26: "conv5.1", 28: "conv5.2",
}  # fmt: skip
_VGG_LAYERS = {f"features.{i}": name for i, name in _VGG_CONVS.items()} | {
    "classifier.0": "fc6",
    "classifier.3": "fc7",
}

_RESNET_LAYER = re.compile(
    r"layer(?P<stage>[1-4])\.(?P<block>\d+)\."
    r"(?:(?P<kind>conv|bn)(?P<number>[123])|downsample\.(?P<shortcut>[01]))"
)


def from_torchvision(weights: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], list[str]]:
    """A ResNet's or VGG-16's state dict -> (ours for the backbone, the names left out).

    Left out are the ImageNet classifier and BN's batch counters.  Raises ValueError for a name
    that belongs to neither network.
    """
    renamed, left_out = {}, []
    for name, value in weights.items():
        ours = _vgg_name(name) if name.startswith(("features.", "classifier.")) else _name(name)
        if ours is None:
            left_out.append(name)
        else:
            renamed[ours] = value
    return renamed, left_out


def _vgg_name(name: str) -> str | None:
    layer, _, parameter = name.rpartition(".")
    if layer in _VGG_LAYERS:
        return f"{_VGG_LAYERS[layer]}.{parameter}"
    if layer == "classifier.6":
        return None
    raise ValueError(f"{name!r} is no parameter of torchvision's VGG-16 (without BN)")


def _name(name: str) -> str | None:
    if name in ("fc.weight", "fc.bias"):
        return None
    layer, _, parameter = name.rpartition(".")
    if layer in ("conv1", "bn1"):
        ours = f"conv1.{layer.removesuffix('1')}"
    elif match := _RESNET_LAYER.fullmatch(layer):
        # layer1.0.conv2 -> conv2.0.conv_b.conv: layer1 is the paper's conv2_x.
        stage = f"conv{int(match['stage']) + 1}.{match['block']}"
        if match["kind"]:
            ours = f"{stage}.conv_{'abc'[int(match['number']) - 1]}.{match['kind']}"
        else:
            ours = f"{stage}.shortcut.{('conv', 'bn')[int(match['shortcut'])]}"
    else:
        raise ValueError(f"{name!r} is no parameter of torchvision's ResNets")
    return None if parameter == "num_batches_tracked" else f"{ours}.{parameter}"


def torchvision_name(parameter: Parameter) -> str:
    """The inverse for ResNets: layer1.0.bn2.weight."""
    if parameter.stage == 1:
        return f"{parameter.kind}1.{parameter.name}"
    block = f"layer{parameter.stage - 1}.{parameter.block}"
    if parameter.layer < 0:
        return f"{block}.downsample.{('conv', 'bn').index(parameter.kind)}.{parameter.name}"
    return f"{block}.{parameter.kind}{parameter.layer + 1}.{parameter.name}"
