"""Counts a classifier's parameters and multiply-adds: python tools/describe_classifier.py

Nothing is trained or read: it is the network of the configuration, by the keys of
train_classifier.py.  He et al. 2015 call multiply-adds FLOPs (table 1).
"""

from __future__ import annotations

import torch
from omegaconf import DictConfig

from detection.cli.describe import amount
from detection.cli.objects import make
from detection.engine.cost import classifier_cost

# CIFAR-10's, and ImageNet's.
_SMALL, _CLASSES = 32, (10, 1000)


def main(config: DictConfig) -> None:
    side = config.data.crop.side
    classes = config.model.num_classes or _CLASSES[side > _SMALL]
    with torch.device("meta"):
        backbone = make(config.model.backbone)
    cost = classifier_cost(backbone, classes, side=side)
    print(
        f"{classes} classes, {side}x{side} pixels: {amount(cost.parameters)} parameters, of which "
        f"{amount(cost.learnt)} learn; {amount(cost.multiply_adds)} multiply-adds"
    )
