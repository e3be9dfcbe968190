"""torchvision's ResNet with the weights, strides and frozen stages of a backbone of ours."""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torchvision
from torch import Tensor, nn
from torchvision.ops import FrozenBatchNorm2d

from detection.model.resnet import STAGES, ResNet
from detection.weights.parameter import Parameter
from detection.weights.torchvision import torchvision_name


def as_torchvision(backbone: ResNet) -> torchvision.models.ResNet:
    """Without its classifier, with copies of the weights and BN as operations of their own."""
    blocks = [len(backbone.get_submodule(stage)) for stage in STAGES[1:]]  # type: ignore[arg-type]
    with torch.device("meta"):  # no initial weights, which would be overwritten
        resnet = torchvision.models.ResNet(
            torchvision.models.resnet.Bottleneck, blocks, norm_layer=FrozenBatchNorm2d
        )
    del resnet.fc
    copies = {
        name: value.clone(memory_format=torch.contiguous_format)  # torchvision's own layout
        for name, value in _torchvision_names(backbone.state_dict()).items()
    }
    resnet.load_state_dict(copies, assign=True)
    for stage in STAGES[1:]:
        layer = resnet.get_submodule(f"layer{int(stage[-1]) - 1}")
        ours, theirs = backbone.get_submodule(f"{stage}.0"), layer.get_submodule("0")
        for name in ("a", "b"):
            stride = _convolution(ours, f"conv_{name}.conv").stride
            _convolution(theirs, f"conv{1 + 'ab'.index(name)}").stride = stride
    if backbone.bin_step == 2:  # torchvision pools all bins, so its conv5_1 strides
        _convolution(resnet.layer4, "0.conv1").stride = (2, 2)
        _convolution(resnet.layer4, "0.downsample.0").stride = (2, 2)
    frozen = {
        name for name, parameter in backbone.named_parameters() if not parameter.requires_grad
    }
    frozen_names = _torchvision_names({name: torch.empty(0) for name in frozen})
    for name, parameter in resnet.named_parameters():
        parameter.requires_grad_(name not in frozen_names)
    return resnet


def _convolution(owner: nn.Module, name: str) -> nn.Conv2d:
    layer = owner.get_submodule(name)
    assert isinstance(layer, nn.Conv2d)
    return layer


def _torchvision_names(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    parameters = {name: Parameter.parse(name) for name in weights}
    return {
        torchvision_name(parameter): weights[name]
        for name, parameter in parameters.items()
        if parameter is not None
    }
