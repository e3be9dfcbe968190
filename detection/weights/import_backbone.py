"""A file with an ImageNet ResNet -> the checkpoint of a classifier."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from detection.checkpoint import ClassifierCheckpoint
from detection.model.resnet import ResNet
from detection.weights.architecture import check_architecture, full_name, resnet_depth
from detection.weights.import_log import log_import
from detection.weights.input_format import (
    MSRA,
    TORCHVISION,
    GivenInput,
    InputFormat,
    from_description,
    of_pixel_buffers,
    reads_large_pixels,
)
from detection.weights.parameter_names import classifier_weights
from detection.weights.source import Source


@dataclass(frozen=True, kw_only=True)
class ClassifierPreset:
    """What a classifier's checkpoint needs besides the file.

    ``target``: the full name of the class that takes ``pixels``, ``backbone``, ``num_classes``.
    ``views``: the configuration of the crops that the classifier is tested on.
    """

    target: str
    views: dict[str, Any]


def import_backbone(
    source: Source, *, preset: ClassifierPreset, given: GivenInput
) -> ClassifierCheckpoint:
    """The ResNet with frozen BN, as a detector needs it, and its ``fc`` layer if the file has one.

    Raises ValueError, naming the file and the parameter, if the file is no ResNet of the paper, or
    if the input of the network cannot be told.
    """
    if source.kind == "torchvision's VGG":
        raise ValueError(
            f"{source.path}: VGG's convolutions, which go into weights= as they are; only ResNets "
            "are imported"
        )
    weights, left_out = classifier_weights(source)
    found = given.completed(lambda: input_format(source, weights))
    num_classes = len(weights["fc.weight"]) if "fc.weight" in weights else None
    model_config: dict[str, Any] = {
        "_target_": preset.target,
        "pixels": found.pixel_config(),
        "backbone": {
            "_target_": full_name(ResNet),
            "depth": resnet_depth(weights, path=source.path),
            "stride_in_1x1": found.stride_in_1x1,
            "norm": "frozen",
            "frozen_stages": [],
            "bin_step": 1,
        },
        "num_classes": num_classes,
    }
    check_architecture(model_config, weights, source=source)
    log_import(found, left_out=left_out)
    names = _imagenet_names() if num_classes == 1000 else []
    return ClassifierCheckpoint(
        weights=weights,
        model_config=model_config,
        class_names=names,
        views=preset.views,
    )


def _imagenet_names() -> list[str]:
    # Imported here: it takes as long as torch, and every training with weights= imports this file.
    from torchvision.models import ResNet50_Weights

    return list(ResNet50_Weights.IMAGENET1K_V1.meta["categories"])


def input_format(source: Source, weights: Mapping[str, Tensor]) -> InputFormat:
    """The input that the backbone in ``source`` was trained on: as described, or by its numbers.

    ``weights``: from :func:`classifier_weights`.  Raises ValueError if it cannot be told.
    """
    if source.kind == "msra":
        return MSRA
    described = from_description(source.described) or of_pixel_buffers(source.weights)
    if described:
        return described
    backbone = {name.removeprefix("backbone."): value for name, value in weights.items()}
    large = reads_large_pixels(backbone)
    if large is None and "encoder_q." not in source.prefix:  # MoCo's are known
        raise ValueError(
            f"{source.path}: its BN was never trained, or is folded, so nothing in it tells "
            "what its pixels were: give pixels= (torchvision, msra, detectron2) and stride_in_1x1="
        )
    if not large:
        return TORCHVISION
    if source.kind in ("detectron2 backbone", "detectron2 detector", "mmdetection detector"):
        return MSRA
    raise ValueError(
        f"{source.path}: has {source.kind}'s names, but its conv1 was trained on pixels of 0 ... "
        "255: say which with pixels= (msra, detectron2) and stride_in_1x1="
    )
