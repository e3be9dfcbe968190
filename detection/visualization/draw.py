"""Detections and ground truth drawn on photos, for people.

Images are uint8 BGR [H, W, 3]; what is handed in is never changed.  A class keeps its colour in
every picture, whatever else is in it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from detection import boxes as box_ops
from detection.structures import Detections, Target
from detection.visualization.colours import Colour, class_colour
from detection.visualization.image import Image, check_image
from detection.visualization.tags import Corners, draw_tag, lay_out_tags

# The part of the background's brightness that the edges of a line keep.
EDGE = 3


def draw_detections(
    image: Image, detections: Detections, class_names: Sequence[str], *, min_score: float
) -> Image:
    """A copy of ``image`` with a frame and a tag "name score" for each detection.

    ``detections``: in pixels of ``image``, best first; those below ``min_score`` in [0, 1] are
    left out.  ``class_names[label - 1]`` names a label.

    Raises ValueError where the image is not uint8 [H, W, 3] or a label has no name.
    """
    shown = detections.cpu()
    shown = shown[shown.scores >= min_score]
    labels = shown.labels.tolist()
    names = _names(labels, class_names)
    captions = [f"{n} {s:.2f}" for n, s in zip(names, shown.scores.tolist(), strict=True)]
    return draw_boxes(image, shown.boxes, labels=labels, captions=captions)


def draw_target(image: Image, target: Target, class_names: Sequence[str]) -> Image:
    """A copy of ``image`` with its ground truth in dashed frames, tagged with the names.

    ``target``: in pixels of ``image``; ignored objects (crowd, difficult) have a tag in brackets.

    Raises ValueError where the image is not uint8 [H, W, 3] or a label has no name.
    """
    labels, ignored = target.labels.tolist(), target.ignored.tolist()
    names = zip(_names(labels, class_names), ignored, strict=True)
    captions = [f"({name})" if is_ignored else name for name, is_ignored in names]
    return draw_boxes(image, target.boxes, labels=labels, captions=captions, dashed=True)


def draw_boxes(
    image: Image,
    boxes: Tensor,
    *,
    labels: Sequence[int],
    captions: Sequence[str],
    dashed: bool = False,
) -> Image:
    """A copy of ``image`` with ``boxes`` [N, 4] drawn, the most important one first in the list.

    ``labels``: choose the colours.  ``captions``: the texts of the tags; a tag stays inside the
    image, and is left out where it would hide a more important one or could not be read.

    Raises ValueError where the image is not uint8 [H, W, 3].
    """
    check_image(image)
    canvas = image.copy()
    size = image.shape[0], image.shape[1]
    corners = _whole_pixels(boxes, size)
    thickness = _thickness(size)
    colours = [class_colour(label) for label in labels]
    # The most important one last, over the others; tags after all frames, or lines would cross.
    for box, colour in reversed(list(zip(corners, colours, strict=True))):
        _draw_frame(canvas, box, thickness, colour, dashed)
    tags = lay_out_tags(size, corners, captions)
    for tag, colour in reversed(list(zip(tags, colours, strict=True))):
        if tag is not None:
            draw_tag(canvas, tag, colour)
    return canvas


def _whole_pixels(boxes: Tensor, size: tuple[int, int]) -> list[Corners]:
    """Clipped to the image, at least one pixel wide and high."""
    height, width = size
    clipped = box_ops.clip(boxes.detach().cpu().float().reshape(-1, 4), size)
    corners = []
    for x1, y1, x2, y2 in torch.round(clipped).int().tolist():
        x1, y1 = min(x1, width - 1), min(y1, height - 1)
        corners.append((x1, y1, max(x2, x1 + 1), max(y2, y1 + 1)))
    return corners


def _thickness(size: tuple[int, int]) -> int:
    """Of the lines: 2 pixels at 400 x 400, 3 at 600 x 800, 5 at 1200 x 1000."""
    return max(1, round(float(np.sqrt(size[0] * size[1])) / 225))


def _draw_frame(canvas: Image, box: Corners, thickness: int, colour: Colour, dashed: bool) -> None:
    """Bright lines inside the box along its edges, between dark ones for light backgrounds."""
    x1, y1, x2, y2 = box
    edge = max(1, thickness // 2)
    outer = (max(x1 - edge, 0), max(y1 - edge, 0), x2 + edge, y2 + edge)
    for side in _sides(outer, thickness + 2 * edge):
        canvas[side] = canvas[side] // EDGE
    for side in _sides(box, thickness):
        line = canvas[side]
        if dashed:
            along = np.arange(max(line.shape[:2])) // (4 * thickness) % 2 == 0
            line[along if line.shape[0] == len(along) else (slice(None), along)] = colour
        else:
            line[:] = colour


def _sides(box: Corners, thickness: int) -> list[tuple[slice, slice]]:
    """The four sides as (rows, columns), without the pixels they share."""
    x1, y1, x2, y2 = box
    top, bottom = min(y1 + thickness, y2), max(y2 - thickness, y1)
    left, right = min(x1 + thickness, x2), max(x2 - thickness, x1)
    bottom, right = max(top, bottom), max(left, right)
    return [
        (slice(y1, top), slice(x1, x2)),
        (slice(bottom, y2), slice(x1, x2)),
        (slice(top, bottom), slice(x1, left)),
        (slice(top, bottom), slice(right, x2)),
    ]


def _names(labels: list[int], class_names: Sequence[str]) -> list[str]:
    for label in labels:
        if not 1 <= label <= len(class_names):
            raise ValueError(
                f"label {label} has no name: labels are 1 ... {len(class_names)} for these class "
                "names; use the names of the model or data set that the labels come from"
            )
    return [class_names[label - 1] for label in labels]
