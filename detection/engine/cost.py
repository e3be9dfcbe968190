"""What a network costs: parameters, and the multiply-adds of a forward pass.

Table 1 of He et al. 2015 counts multiply-adds and calls them FLOPs: 3.8e9 of ResNet-50 on 224x224
pixels.  Convolutions and matrix products are counted; BN, ReLU and pooling are not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import chain
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from detection.model.faster_rcnn import FasterRCNN

Result = TypeVar("Result")


@dataclass(frozen=True)
class Cost:
    """Of one part of a network.

    ``parameters``: with the statistics of BN.  ``learnt``: those that learn.  ``multiply_adds``: of
    one pass.
    """

    part: str
    parameters: int
    learnt: int
    multiply_adds: int


@dataclass(frozen=True)
class DetectorCost:
    """``shared`` and ``rpn``: of one picture.  ``regions``: of one region; with conv5."""

    shared: Cost
    rpn: Cost
    regions: Cost

    @property
    def parameters(self) -> int:
        return sum(part.parameters for part in (self.shared, self.rpn, self.regions))

    @property
    def learnt(self) -> int:
        return sum(part.learnt for part in (self.shared, self.rpn, self.regions))

    def multiply_adds(self, regions: int) -> int:
        """Of a picture with so many regions; global context is one more."""
        once = self.shared.multiply_adds + self.rpn.multiply_adds
        return once + regions * self.regions.multiply_adds


def detector_cost(model: FasterRCNN, *, height: int, width: int) -> DetectorCost:
    """``model``: on any device; meta is enough.  ``height``, ``width``: of the picture."""
    backbone, rpn, head = model.backbone, model.rpn, model.roi_head
    assert isinstance(backbone, nn.Module)
    assert isinstance(head, nn.Module)
    pixels = torch.empty(1, 3, height, width, device=_device(model))
    vector = pixels.new_empty(1, backbone.region_channels * (2 if model.has_context else 1))
    bins = -(-head.pooled_size // backbone.bin_step)
    pooled = pixels.new_empty(1, backbone.feature_channels, bins, bins)
    model.eval()
    with torch.no_grad():
        features, shared = _counted(lambda: backbone.features(pixels))
        _, proposing = _counted(lambda: rpn(features))
        _, of_region = _counted(lambda: (backbone.region_features(pooled), head(vector)))
    layers = [backbone.get_submodule(name) for name in backbone.region_layers]
    regions = [*chain.from_iterable(map(_tensors, layers)), *_tensors(head)]
    of_regions = {id(tensor) for tensor in regions}
    rest = [tensor for tensor in _tensors(backbone) if id(tensor) not in of_regions]
    return DetectorCost(
        shared=_cost("shared", rest, shared),
        rpn=_cost("RPN", _tensors(rpn), proposing),
        regions=_cost("region", regions, of_region),
    )


def classifier_cost(backbone: nn.Module, classes: int, *, side: int) -> Cost:
    """Of one crop of ``side`` pixels: ``backbone`` and an fc layer for the classes."""
    pixels = torch.empty(1, 3, side, side, device=_device(backbone))
    backbone.eval()
    with torch.no_grad():
        vector, count = _counted(lambda: backbone(pixels))
        fc = nn.Linear(vector.shape[1], classes, device=pixels.device)
        count += _counted(lambda: fc(vector))[1]
    return _cost("classifier", [*_tensors(backbone), *_tensors(fc)], count)


def _counted(run: Callable[[], Result]) -> tuple[Result, int]:
    """What it returns, and its multiply-adds."""
    with FlopCounterMode(display=False) as counter:
        result = run()
    return result, int(counter.get_total_flops()) // 2


def _tensors(module: nn.Module) -> list[Tensor]:
    return [*module.parameters(), *module.buffers()]


def _cost(part: str, tensors: Iterable[Tensor], multiply_adds: int) -> Cost:
    own = [tensor for tensor in tensors if tensor.is_floating_point()]
    learnt = sum(tensor.numel() for tensor in own if tensor.requires_grad)
    return Cost(part, sum(tensor.numel() for tensor in own), learnt, multiply_adds)


def _device(model: nn.Module) -> torch.device:
    return next(model.parameters()).device
