"""A file of weights of any known package -> a checkpoint."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from detection.checkpoint import (
    Checkpoint,
    ClassifierCheckpoint,
    is_checkpoint,
    is_classifier,
    load_plain,
)
from detection.weights.import_backbone import ClassifierPreset, import_backbone
from detection.weights.import_detector import DetectorPreset, import_detector
from detection.weights.input_format import GivenInput
from detection.weights.source import open_source

log = logging.getLogger(__name__)


def import_weights(
    path: Path,
    *,
    detector: Callable[[], DetectorPreset],
    classifier: Callable[[], ClassifierPreset],
    pixels: Mapping[str, Any] | None,
    stride_in_1x1: bool | None,
    class_names: Sequence[str] | None,
) -> Checkpoint | ClassifierCheckpoint:
    """Recognises a file by its contents, and never runs code in it.

    ``path``: an ImageNet ResNet of MSRA, torchvision, detectron2 or MoCo; a Faster R-CNN C4 of
    detectron2; or a checkpoint of this package, which is returned unchanged.
    ``detector``, ``classifier``: return what the file does not hold; only the one that is needed
    is called.
    ``pixels``: "order", "mean" and "std" as in PixelFormat.  None: as in the file.
    ``stride_in_1x1``: as in ResNet.  None: as in the file.
    ``class_names``: a detector's, in the file's order.  None: COCO's 80 or VOC's 20, by number.

    The log says what was found and left out.  Raises FileNotFoundError, or ValueError that names
    the file and what is missing, unknown or misshapen in it.
    """
    if is_checkpoint(path):
        kind = ClassifierCheckpoint if is_classifier(load_plain(path)) else Checkpoint
        return kind.load(path)
    source = open_source(path)
    log.info("%s: %s, %d tensors", path, source.kind, len(source.weights))
    given = GivenInput(pixels=pixels, stride_in_1x1=stride_in_1x1)
    if source.kind == "detectron2 detector":
        return import_detector(source, preset=detector(), given=given, class_names=class_names)
    return import_backbone(source, preset=classifier(), given=given)
