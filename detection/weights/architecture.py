"""The network that a file's parameters belong to: its depth, and whether all of them are there."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from detection.build import build
from detection.load_weights import check_weights
from detection.model.resnet import BLOCKS
from detection.weights.parameter_names import parameter_name
from detection.weights.source import Source


def resnet_depth(weights: Mapping[str, Tensor], *, path: Path) -> int:
    """The number of layers of the ResNet in table 1 that has as many blocks of the same kind.

    ``weights``: our names, with or without ``backbone.``.  Raises ValueError if there is none.
    """
    names = [name.removeprefix("backbone.").split(".") for name in weights]
    counts = tuple(
        1 + max((int(n[1]) for n in names if n[0] == f"conv{stage}"), default=-1)
        for stage in range(2, 6)
    )
    bottleneck = any("conv_c" in name for name in names)
    for depth, blocks in BLOCKS.items():
        if blocks == counts and (depth >= 50) == bottleneck:
            return depth
    raise ValueError(
        f"{path}: conv2_x to conv5_x have {counts} blocks, as no ResNet of the paper "
        f"({', '.join(map(str, BLOCKS))} layers) has: blocks are missing"
    )


def check_architecture(
    model_config: Mapping[str, Any], weights: Mapping[str, Tensor], *, source: Source
) -> None:
    """Raises ValueError that names what is missing, unknown or misshapen, as the file names it."""
    with torch.device("meta"):  # the shapes are enough
        model = build(model_config)
    check_weights(
        model,
        weights,
        source=str(source.path),
        show=lambda ours: f"{source.prefix}{parameter_name(source.kind, ours)} ({ours})",
    )


def full_name(kind: type) -> str:
    """The name of a class, as ``_target_`` needs it."""
    return f"{kind.__module__}.{kind.__name__}"
