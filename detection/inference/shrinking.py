"""When a picture is made so small for the network that its objects are lost."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from detection import boxes as box_ops
from detection.inference.detector import Detector
from detection.structures import Detections

log = logging.getLogger("detect")

# Photos of 12 megapixels are shrunk five times, as everybody's are; this is said of more.
_MUCH = 1 / 8
# The longer side's limit makes a long picture so much smaller than the shorter side's length would.
_BY_LIMIT = 1 / 2
# Pictures of a shorter side than this never are.
_LEAST = 1024


def shrinking_line(size: tuple[int, int], detector: Detector) -> str | None:
    """What to say of a picture of ``size`` = (height, width); None: it is large enough."""
    if max(size) < _LEAST:
        return None
    resize = detector.resize
    by_shorter, by_longest = resize.shorter_sides[0] / min(size), resize.longest / max(size)
    scale = min(by_shorter, by_longest)
    is_long = by_longest < _BY_LIMIT * by_shorter and scale < _BY_LIMIT
    if scale > _MUCH and not is_long:
        return None
    anchors = detector.models[0].rpn.anchors.at_origin
    smallest = float(box_ops.area(anchors).sqrt().min())
    return (
        f"{size[1]} x {size[0]} pixels are seen at {scale:.2f} of their size, where objects of "
        f"less than {smallest / scale:.0f} pixels are smaller than the smallest anchor "
        f"({smallest:.0f}): consider tile=1024"
    )


def detects_and_says(
    detector: Detector,
) -> Callable[[Sequence[NDArray[np.uint8]]], list[Detections]]:
    """``detector.detect_arrays``, which says it of the first such picture."""
    lines: list[str] = []

    def detect(images: Sequence[NDArray[np.uint8]]) -> list[Detections]:
        for height, width in (image.shape[:2] for image in images):
            if not lines and (line := shrinking_line((height, width), detector)):
                lines.append(line)
                log.info("%s", line)
        return detector.detect_arrays(images)

    return detect
