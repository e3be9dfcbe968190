"""A detector of this package -> the contents of a detectron2 file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from detection.checkpoint import NETWORKS, Checkpoint, ClassifierCheckpoint
from detection.model.faster_rcnn import FasterRCNN
from detection.weights.detectron2 import to_detectron2


def as_detectron2(checkpoint: Checkpoint | ClassifierCheckpoint, *, source: Path) -> dict[str, Any]:
    """The contents of a .pth file: "model", the weights under detectron2's names, and "__author__".

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
    return {"model": weights, "__author__": "detection"}
