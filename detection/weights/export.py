"""Checkpoints of this package -> the contents of other packages' files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import Tensor

from detection.checkpoint import NETWORKS, Checkpoint, ClassifierCheckpoint
from detection.model.faster_rcnn import FasterRCNN
from detection.weights.architecture import resnet_depth
from detection.weights.detectron2 import to_detectron2
from detection.weights.exported import ENTRY, description
from detection.weights.parameter import Parameter
from detection.weights.torchvision import torchvision_name


def as_detectron2(checkpoint: Checkpoint | ClassifierCheckpoint, *, source: Path) -> dict[str, Any]:
    """The contents of a .pth file: "model", the weights under detectron2's names, and "__author__".

    And :mod:`detection.weights.exported`'s entry, of which detectron2 takes no notice.

    ``source``: the file of ``checkpoint``, for errors.  Raises ValueError for a classifier, for a
    detector with an untrained network, and for layers that detectron2's C4 does not have.
    """
    if isinstance(checkpoint, Checkpoint):
        checkpoint.check_trained(NETWORKS, source=source)
    model = checkpoint.build_model()
    if not isinstance(model, FasterRCNN):
        raise ValueError("to=detectron2 exports detectors; this checkpoint holds a backbone")
    if model.has_context:
        raise ValueError("detectron2's C4 has no global context, and this detector does")
    anchors = checkpoint.model_config["rpn"]["anchors"]
    weights = to_detectron2(
        checkpoint.weights, sizes=len(anchors["sizes"]), ratios=len(anchors["aspect_ratios"])
    )
    assert isinstance(checkpoint, Checkpoint)
    return {"model": weights, "__author__": "detection", ENTRY: description(checkpoint)}


def as_torchvision(
    checkpoint: Checkpoint | ClassifierCheckpoint, *, source: Path
) -> tuple[dict[str, Tensor], list[str]]:
    """The ResNet under torchvision's names, and ``fc`` of a classifier -> (it, the names left out).

    Left out are a detector's heads, and the BN that MoCo's protocol adds behind conv5_x.
    ``source``: the file of ``checkpoint``, for errors.  Raises ValueError for another backbone.
    """
    weights, left_out = {}, []
    ours = {
        name: value
        for name, value in checkpoint.weights.items()
        if name.startswith("backbone.") and Parameter.parse(name.removeprefix("backbone."))
    }
    resnet_depth(ours, path=source)
    for name, value in checkpoint.weights.items():
        parameter = Parameter.parse(name.removeprefix("backbone.")) if name in ours else None
        if parameter is not None:
            weights[torchvision_name(parameter)] = value
        elif name in ("fc.weight", "fc.bias"):
            weights[name] = value
        else:
            left_out.append(name)
    return weights, left_out
