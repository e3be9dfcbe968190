"""Pictures for people: detections and ground truth drawn on photos, contact sheets.

Images are uint8 BGR [H, W, 3]; what is handed in is never changed.  A class keeps its colour in
every picture, whatever else is in it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from detection import boxes as box_ops
from detection.structures import Detections, Target

Image = NDArray[np.uint8]
Colour = tuple[int, int, int]

FONT = cv2.FONT_HERSHEY_SIMPLEX
# Below this height in pixels letters cannot be read: the tag is left out.
MIN_TEXT_HEIGHT = 8
# Two tags may share so much of the smaller one's area; beyond it the weaker detection has none.
MAX_TAG_OVERLAP = 0.1
PALETTE_SIZE = 80


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
    _check(image)
    canvas = image.copy()
    size = image.shape[0], image.shape[1]
    corners = _whole_pixels(boxes, size)
    thickness = _thickness(size)
    colours = [class_colour(label) for label in labels]
    # The most important one last, over the others; tags after all frames, or lines would cross.
    for box, colour in reversed(list(zip(corners, colours, strict=True))):
        _draw_frame(canvas, box, thickness, colour, dashed)
    tags = _lay_out_tags(size, corners, captions)
    for tag, colour in reversed(list(zip(tags, colours, strict=True))):
        if tag is not None:
            _draw_tag(canvas, tag, colour)
    return canvas


def class_colour(label: int) -> Colour:
    """(B, G, R), 0 ... 255, of class ``label``: the same in every picture.

    The colours of the first :data:`PALETTE_SIZE` labels differ; then they come round again.
    """
    return _palette()[(label - 1) % PALETTE_SIZE]


def contact_sheet(images: Sequence[Image], *, columns: int, width: int) -> Image:
    """Images in rows of ``columns`` on one sheet ``width`` pixels wide, in their proportions.

    The images of a row have one height, chosen so that the row fills the sheet; none is made
    higher than the highest of its row was.

    Raises ValueError for no images, an image that is not uint8 [H, W, 3], less than one column,
    or a sheet too narrow for its columns.
    """
    if not images:
        raise ValueError("a contact sheet needs at least one image, got none")
    if columns < 1:
        raise ValueError(f"columns must be at least 1, got {columns}")
    if width < 16 * columns:
        raise ValueError(
            f"a sheet {width} pixels wide is too narrow for {columns} columns of at least 16 "
            "pixels: raise width or lower columns"
        )
    for image in images:
        _check(image)
    gap = max(1, width // 200)
    rows = [images[start : start + columns] for start in range(0, len(images), columns)]
    heights = [_row_height(row, gap, width) for row in rows]
    if len(rows[-1]) < columns and len(rows) > 1:
        # What is left over is not blown up to fill its row.
        heights[-1] = min(heights[-1], round(float(np.mean(heights[:-1]))))
    strips = [_strip(row, h, gap, width) for row, h in zip(rows, heights, strict=True)]
    return np.concatenate([*strips, _paper(gap, width)])


# -- geometry --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Tag:
    """A caption in the rectangle ``box`` = (x1, y1, x2, y2), whole pixels inside the image."""

    caption: str
    box: tuple[int, int, int, int]
    font_scale: float


def _whole_pixels(boxes: Tensor, size: tuple[int, int]) -> list[tuple[int, int, int, int]]:
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


def _font_scale(size: tuple[int, int]) -> float:
    """Letters 10 pixels high at 320 x 240, 15 at 600 x 800, 24 at 1200 x 1000."""
    return max(0.35, float(np.sqrt(size[0] * size[1])) / 1250)


def _lay_out_tags(
    size: tuple[int, int], corners: list[tuple[int, int, int, int]], captions: Sequence[str]
) -> list[_Tag | None]:
    """A free place for each tag, the most important first; None where there is none."""
    tags: list[_Tag | None] = []
    taken = np.zeros((0, 4))
    for box, caption in zip(corners, captions, strict=True):
        extent, font_scale = _tag_extent(caption, size)
        places = _places(box, extent, size) if extent is not None else np.zeros((0, 4))
        overlaps = _worst_overlap(places, taken)
        if not len(places) or overlaps.min() > MAX_TAG_OVERLAP:
            tags.append(None)
            continue
        # The first of the best, which is the most natural one.
        x1, y1, x2, y2 = places[overlaps.argmin()].astype(int).tolist()
        tags.append(_Tag(caption, (x1, y1, x2, y2), font_scale))
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


def _padding(font_scale: float) -> int:
    return max(1, round(4 * font_scale))


def _places(
    box: tuple[int, int, int, int], extent: tuple[int, int], size: tuple[int, int]
) -> NDArray[np.float64]:
    """[P, 4]: rectangles for a tag, the most natural first, all inside the image."""
    x1, y1, x2, y2 = box
    width, height = extent
    left, right = x1, x2 - width
    # On the upper edge, inside under it, below the box, inside at its foot; then down its sides.
    places = [(x, y) for y in (y1 - height, y1, y2, y2 - height) for x in (left, right)]
    places += [(x, y) for y in range(y1, y2, height) for x in (left, right, x2, x1 - width)]
    origin = np.array(places, np.float64)
    origin = np.clip(origin, 0, (size[1] - width, size[0] - height))
    return np.concatenate((origin, origin + np.array(extent)), axis=1)


def _worst_overlap(places: NDArray[np.float64], taken: NDArray[np.float64]) -> NDArray[np.float64]:
    """[P, 4], [T, 4] -> [P]: the greatest share of the smaller one of two rectangles."""
    low = np.maximum(places[:, None, :2], taken[None, :, :2])
    high = np.minimum(places[:, None, 2:], taken[None, :, 2:])
    common = np.clip(high - low, 0, None).prod(axis=-1)
    areas = [(boxes[:, 2:] - boxes[:, :2]).prod(axis=-1) for boxes in (places, taken)]
    smaller = np.minimum(areas[0][:, None], areas[1][None])
    return np.max(common / np.maximum(smaller, 1), axis=1, initial=0.0)


# -- pixels ----------------------------------------------------------------------------------------


def _draw_frame(
    canvas: Image, box: tuple[int, int, int, int], thickness: int, colour: Colour, dashed: bool
) -> None:
    """Lines inside the box along its edges, with a dark line around them for any background."""
    x1, y1, x2, y2 = box
    outer = (max(x1 - 1, 0), max(y1 - 1, 0), x2 + 1, y2 + 1)
    for side in _sides(outer, thickness + 2):
        canvas[side] = canvas[side] // 2
    for side in _sides(box, thickness):
        line = canvas[side]
        if dashed:
            along = np.arange(max(line.shape[:2])) // (4 * thickness) % 2 == 0
            line[along if line.shape[0] == len(along) else (slice(None), along)] = colour
        else:
            line[:] = colour


def _sides(box: tuple[int, int, int, int], thickness: int) -> list[tuple[slice, slice]]:
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


def _draw_tag(canvas: Image, tag: _Tag, colour: Colour) -> None:
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


@cache
def _palette() -> list[Colour]:
    """Farthest-first traversal of the vivid colours (Gonzalez 1985), beginning with an orange.

    Each is as far as can be from all before it in CIE Lab, where distances are those that people
    see: a data set of few classes gets the most different colours of all.
    """
    levels = np.linspace(0, 1, 12, dtype=np.float32)
    bgr = np.stack(np.meshgrid(levels, levels, levels), axis=-1).reshape(1, -1, 3)
    lab = cv2.cvtColor(bgr, cv2.COLOR_BGR2Lab)[0]
    # Neither grey nor nearly black or white, which photos are full of.
    vivid = (np.hypot(lab[:, 1], lab[:, 2]) > 45) & (lab[:, 0] > 35) & (lab[:, 0] < 90)
    bgr, lab = bgr[0, vivid], lab[vivid]
    chosen = [int(np.linalg.norm(bgr - (0, 0.5, 1), axis=1).argmin())]
    distance = np.full(len(lab), np.inf)
    while len(chosen) < PALETTE_SIZE:
        distance = np.minimum(distance, np.linalg.norm(lab - lab[chosen[-1]], axis=1))
        chosen.append(int(distance.argmax()))
    whole = np.round(bgr[chosen] * 255).astype(int).tolist()
    return [(blue, green, red) for blue, green, red in whole]


def _row_height(row: Sequence[Image], gap: int, width: int) -> int:
    """At which the row just fills the sheet, at most that of its highest image."""
    proportions = sum(image.shape[1] / image.shape[0] for image in row)
    fitting = (width - gap * (len(row) + 1)) / proportions
    return max(1, int(min(fitting, max(image.shape[0] for image in row))))


def _strip(row: Sequence[Image], height: int, gap: int, width: int) -> Image:
    strip = _paper(gap + height, width)
    x = gap
    for image in row:
        # Not beyond the sheet: widths are rounded, and at least one pixel.
        across = max(1, min(round(image.shape[1] * height / image.shape[0]), width - x))
        shrinks = height < image.shape[0]
        method = cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC
        strip[gap:, x : x + across] = cv2.resize(image, (across, height), interpolation=method)
        x += across + gap
    return strip


def _paper(height: int, width: int) -> Image:
    return np.full((height, width, 3), 255, np.uint8)


def _names(labels: list[int], class_names: Sequence[str]) -> list[str]:
    for label in labels:
        if not 1 <= label <= len(class_names):
            raise ValueError(
                f"label {label} has no name: labels are 1 ... {len(class_names)} for these class "
                "names; use the names of the model or data set that the labels come from"
            )
    return [class_names[label - 1] for label in labels]


def _check(image: Image) -> None:
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or not image.size:
        raise ValueError(
            f"an image must be uint8 BGR [height, width, 3], got {image.dtype} {image.shape}"
        )
