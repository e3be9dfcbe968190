"""The MSRA ImageNet ResNets of 2015 as Caffe2 and Detectron keep them: their names -> ours.

Their BN has no statistics, only a scale and a shift per channel ("AffineChannel").
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch
from torch import Tensor

from detection.weights.parameter import Parameter

# FrozenBN's default.  A running variance of 1 - eps makes it the affine map, as in detectron2.
EPS = 1e-5

_LAYER = re.compile(
    r"res(?P<stage>[2-5])_(?P<block>\d+)_branch(?:(?P<shortcut>1)|2(?P<layer>[abc]))"
    r"_(?P<parameter>w|bn_s|bn_b)"
)
_PARAMETERS = {"w": ("conv", "weight"), "bn_s": ("bn", "weight"), "bn_b": ("bn", "bias")}
_STEM = {"conv1_w": "w", "res_conv1_bn_s": "bn_s", "res_conv1_bn_b": "bn_b"}
_CLASSIFIER = {"fc1000_w": "fc.weight", "fc1000_b": "fc.bias"} | {
    "pred_w": "fc.weight",
    "pred_b": "fc.bias",
}


def from_msra(weights: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], list[str]]:
    """``res2_0_branch2a_w`` ... -> (ours: a classifier's, the names left out).

    Left out are conv1's bias (the shift of its BN includes it; detectron2 does the same) and the
    optimizer's ``*_momentum``.  Raises ValueError for any other name.
    """
    renamed: dict[str, Tensor] = {}
    left_out = []
    for name, value in weights.items():
        if name == "conv1_b" or name.endswith("_momentum"):
            left_out.append(name)
        elif name in _CLASSIFIER:
            renamed[_CLASSIFIER[name]] = value
        else:
            parameter = _parse(name)
            renamed[f"backbone.{parameter.ours()}"] = value
            if parameter.kind == "bn" and parameter.name == "weight":
                layer = f"backbone.{parameter.ours().removesuffix('weight')}"
                renamed[f"{layer}running_mean"] = torch.zeros_like(value)
                renamed[f"{layer}running_var"] = torch.full_like(value, 1 - EPS)
    return renamed, left_out


def msra_name(parameter: Parameter) -> str:
    """``res2_0_branch2a_bn_s``; also for the statistics, which Caffe2's files do not have."""
    kind = "w" if parameter.kind == "conv" else "bn_b" if parameter.name == "bias" else "bn_s"
    if parameter.stage == 1:
        return next(name for name, parameter_kind in _STEM.items() if parameter_kind == kind)
    branch = "1" if parameter.layer < 0 else f"2{'abc'[parameter.layer]}"
    return f"res{parameter.stage}_{parameter.block}_branch{branch}_{kind}"


def _parse(name: str) -> Parameter:
    if name in _STEM:
        return Parameter(1, 0, 0, *_PARAMETERS[_STEM[name]])
    found = _LAYER.fullmatch(name)
    if not found:
        raise ValueError(f"{name!r} is no parameter of Caffe2's ResNet-50, -101 or -152")
    layer = -1 if found["shortcut"] else "abc".index(found["layer"])
    return Parameter(
        int(found["stage"]), int(found["block"]), layer, *_PARAMETERS[found["parameter"]]
    )
