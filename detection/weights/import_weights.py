"""A file of weights of any known package -> a checkpoint."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from detection.checkpoint import (
    Checkpoint,
    ClassifierCheckpoint,
    is_classifier,
    is_detector,
)
from detection.weights.exported import description_of
from detection.weights.file_content import read_content
from detection.weights.import_backbone import ClassifierPreset, import_backbone
from detection.weights.import_detector import DetectorPreset, import_detector, with_anchors
from detection.weights.input_format import GivenInput
from detection.weights.source import recognise

log = logging.getLogger(__name__)


def import_weights(
    path: Path,
    *,
    detector: Callable[[], DetectorPreset],
    classifier: Callable[[], ClassifierPreset],
    pixels: Mapping[str, Any] | None,
    stride_in_1x1: bool | None,
    class_names: Sequence[str] | None,
    entry: str | None = None,
    anchor_sizes: Sequence[float] | None = None,
    aspect_ratios: Sequence[float] | None = None,
) -> Checkpoint | ClassifierCheckpoint:
    """Recognises a file by its contents, and never runs code in it.

    ``path``: an ImageNet ResNet in one of the layouts of docs/weights.md; a Faster R-CNN C4 of
    detectron2 or mmdetection; or a checkpoint of this package, which is returned unchanged.
    ``detector``, ``classifier``: return what the file does not hold; only the one that is needed
    is called.
    ``pixels``: "order", "mean" and "std" as in PixelFormat.  None: as in the file.
    ``stride_in_1x1``: as in ResNet.  None: as in the file.
    ``class_names``: a detector's, in the file's order.  None: the file's own, COCO's or VOC's.
    ``anchor_sizes``, ``aspect_ratios``: of a detector, as in Anchors.  None: the ``detector``'s.
    ``entry``: which network of the file, by its name or a part of it.  None: see
    :func:`detection.weights.layouts.choose`.

    The log says what was found and left out.  Raises FileNotFoundError, or ValueError that names
    the file and what is missing, unknown or misshapen in it.
    """
    content = read_content(path)
    if is_detector(content.tree):
        return Checkpoint.load(path)
    if is_classifier(content.tree):
        return ClassifierCheckpoint.load(path)
    source = recognise(content, entry=entry)
    if source.choice:
        log.warning("%s: %s", path, source.choice)
    log.info("%s: %s, %d tensors", path, source.kind, len(source.weights))
    given = GivenInput(pixels=pixels, stride_in_1x1=stride_in_1x1)
    if source.kind.endswith("detector"):
        return import_detector(
            source,
            preset=with_anchors(detector(), anchor_sizes, aspect_ratios),
            given=given,
            class_names=class_names,
            said=description_of(content.tree),
        )
    return import_backbone(source, preset=classifier(), given=given)
