"""The tags of drawn boxes: a caption in a rectangle of the class's colour, at its box.

Tags stay inside the image and leave one another readable; one that finds no position is left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from detection.visualization.colours import Colour
from detection.visualization.image import Image

Corners = tuple[int, int, int, int]  # (x1, y1, x2, y2), whole pixels inside the image

FONT = cv2.FONT_HERSHEY_SIMPLEX
# Below this height in pixels letters cannot be read: the tag is left out.
MIN_TEXT_HEIGHT = 8
# Two tags may share so much of the smaller one's area; beyond it the weaker detection has none.
MAX_TAG_OVERLAP = 0.1
# A tag may cover so much of a box, its own or another's; where it would cover more it goes
# elsewhere, and where it covers MAX_COVERED of one everywhere, it is left out.
LITTLE_COVERED, MAX_COVERED = 0.25, 0.6


@dataclass(frozen=True)
class Tag:
    """A caption in the rectangle ``box`` = (x1, y1, x2, y2), whole pixels inside the image."""

    caption: str
    box: Corners
    font_scale: float


def lay_out_tags(
    size: tuple[int, int], corners: list[Corners], captions: Sequence[str]
) -> list[Tag | None]:
    """A free position for each tag, the most important first; None where there is none.

    ``size``: (height, width) of the image.  ``corners``: of the boxes that ``captions`` belong to.
    """
    tags: list[Tag | None] = []
    taken = np.zeros((0, 4))
    boxes = np.array(corners, np.float64).reshape(-1, 4)
    for box, caption in zip(corners, captions, strict=True):
        extent, font_scale = _tag_extent(caption, size)
        positions = _positions(box, extent, size) if extent is not None else np.zeros((0, 4))
        overlaps = _worst_overlap(positions, taken)
        covered = _most_covered(positions, boxes)
        covered[covered <= LITTLE_COVERED] = 0.0
        fits = (overlaps <= MAX_TAG_OVERLAP) & (covered <= MAX_COVERED)
        if not fits.any():
            tags.append(None)
            continue
        # The first of those that cover least, which is the most natural one.
        order = np.lexsort((overlaps, covered, ~fits))
        x1, y1, x2, y2 = positions[order[0]].astype(int).tolist()
        tags.append(Tag(caption, (x1, y1, x2, y2), font_scale))
        taken = np.concatenate((taken, [(x1, y1, x2, y2)]))
    return tags


def _tag_extent(caption: str, size: tuple[int, int]) -> tuple[tuple[int, int] | None, float]:
    """(width, height) of a tag and its font scale; no extent where the image is too small."""
    height, width = size
    font_scale = _font_scale(size)
    while True:
        (text_width, text_height), baseline = cv2.getTextSize(caption, FONT, font_scale, 1)
        padding = _padding(font_scale)
        extent = text_width + 2 * padding, text_height + baseline + 2 * padding
        if extent[0] <= width and extent[1] <= height:
            return extent, font_scale
        if text_height <= MIN_TEXT_HEIGHT:
            return None, font_scale
        font_scale *= 0.9


def _font_scale(size: tuple[int, int]) -> float:
    """Letters 10 pixels high at 320 x 240, 15 at 600 x 800, 24 at 1200 x 1000."""
    return max(0.35, float(np.sqrt(size[0] * size[1])) / 1250)


def _padding(font_scale: float) -> int:
    return max(1, round(4 * font_scale))


def _positions(box: Corners, extent: tuple[int, int], size: tuple[int, int]) -> NDArray[np.float64]:
    """[P, 4]: rectangles for a tag, the most natural first, all inside the image."""
    x1, y1, x2, y2 = box
    width, height = extent
    left, right = x1, x2 - width
    # On the upper edge, inside under it, below the box, inside at its foot; then down its sides.
    positions = [(x, y) for y in (y1 - height, y1, y2, y2 - height) for x in (left, right)]
    positions += [(x, y) for y in range(y1, y2, height) for x in (left, right, x2, x1 - width)]
    origin = np.array(positions, np.float64)
    origin = np.clip(origin, 0, (size[1] - width, size[0] - height))
    return np.concatenate((origin, origin + np.array(extent)), axis=1)


def _most_covered(
    positions: NDArray[np.float64], boxes: NDArray[np.float64]
) -> NDArray[np.float64]:
    """[P, 4], [N, 4] -> [P]: the greatest share of a box that a tag there would cover."""
    common = _common(positions, boxes)
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(axis=-1)
    return np.max(common / np.maximum(areas, 1), axis=1, initial=0.0)


def _common(first: NDArray[np.float64], second: NDArray[np.float64]) -> NDArray[np.float64]:
    """[P, 4], [Q, 4] -> [P, Q]: square pixels that both have."""
    low = np.maximum(first[:, None, :2], second[None, :, :2])
    high = np.minimum(first[:, None, 2:], second[None, :, 2:])
    return np.clip(high - low, 0, None).prod(axis=-1)


def _worst_overlap(
    positions: NDArray[np.float64], taken: NDArray[np.float64]
) -> NDArray[np.float64]:
    """[P, 4], [T, 4] -> [P]: the greatest share of the smaller one of two rectangles."""
    common = _common(positions, taken)
    areas = [(boxes[:, 2:] - boxes[:, :2]).prod(axis=-1) for boxes in (positions, taken)]
    smaller = np.minimum(areas[0][:, None], areas[1][None])
    return np.max(common / np.maximum(smaller, 1), axis=1, initial=0.0)


def draw_tag(canvas: Image, tag: Tag, colour: Colour) -> None:
    """Draws ``tag`` in place, in black or white letters on ``colour``."""
    x1, y1, x2, y2 = tag.box
    patch = np.empty((y2 - y1, x2 - x1, 3), np.uint8)
    patch[:] = colour
    padding = _padding(tag.font_scale)
    (_, text_height), _ = cv2.getTextSize(tag.caption, FONT, tag.font_scale, 1)
    # Rec. 601 luma: black letters on light colours, white ones on dark.
    luma = float(np.dot(colour, (0.114, 0.587, 0.299)))
    ink = (0, 0, 0) if luma > 128 else (255, 255, 255)
    origin = (padding, padding + text_height)
    cv2.putText(patch, tag.caption, origin, FONT, tag.font_scale, ink, 1, cv2.LINE_AA)
    canvas[y1:y2, x1:x2] = patch
