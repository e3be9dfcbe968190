"""The tags of drawn boxes: a caption in a rectangle of the class's colour, at its box.

A tag hides no other one and, but for a small part, no object.  Where its caption finds no room it
becomes a number, which the legend explains; where the number finds none either, there is no tag.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray

from detection.visualization.colours import Colour
from detection.visualization.frames import Corners, Frame
from detection.visualization.image import Image
from detection.visualization.letters import MIN_SIZE, letters, shortened

# The share of an object, its own or another's, that one tag and that all of them may cover.
ONE_COVERS, ALL_COVER = 0.1, 0.25
# Sizes of letters: each is so many times the one before, so that few are made.
STEP = 1.15
# How many positions along each edge of a large box are tried.
ALONG = 8


@dataclass(frozen=True)
class Tag:
    """A caption in the rectangle ``box``, whole pixels inside the image.

    ``size``: of its letters' em, in pixels.  ``number``: 1, 2 ... where the caption is one.
    """

    caption: str
    box: Corners
    size: int
    number: int | None = None


def lay_out_tags(
    size: tuple[int, int], frames: Sequence[Frame], captions: Sequence[str], *, numbered: bool
) -> list[Tag | None]:
    """A free position for each tag, the most important first; None where there is none.

    ``size``: (height, width) of the image.  ``frames``: of the boxes that ``captions`` belong to;
    an empty caption has no tag.  ``numbered``: whether a number may take the caption's place.
    """
    room = _Room(size, frames)
    tags: list[Tag | None] = []
    number = 1
    for frame, caption in zip(frames, captions, strict=True):
        tag = None
        for letter in letter_sizes(size, frame.box) if caption else ():
            tag = tag or room.place(frame, caption, letter)
        if tag is None and caption and numbered:
            found = room.place(frame, str(number), MIN_SIZE)
            if found is not None:
                tag = Tag(found.caption, found.box, found.size, number)
                number += 1
        tags.append(tag)
    return tags


def letter_sizes(size: tuple[int, int], box: Corners) -> list[int]:
    """Of an em, in pixels, the wanted one first and then a smaller one, where room is short.

    As the picture asks for, 12 at 640 x 480, 75 at 12 MP; less at a small box.
    """
    side = math.sqrt((box[2] - box[0]) * (box[3] - box[1]))
    picture = math.sqrt(size[0] * size[1]) / 46
    return list(dict.fromkeys(_step(min(picture, side / part)) for part in (2, 5)))


def _step(wanted: float) -> int:
    steps = int(math.log(max(wanted / MIN_SIZE, 1.0), STEP) + 0.01)
    return round(MIN_SIZE * STEP**steps)


def tag_extent(caption: str, size: int) -> tuple[int, int]:
    """(width, height) of a tag: its letters with a margin."""
    height, width = letters(caption, size).shape
    across, down = _margin(size)
    return width + 2 * across, height + 2 * down


def _margin(size: int) -> tuple[int, int]:
    return max(2, size // 4), max(1, size // 6)


class _Room:
    """What is still free in a picture."""

    def __init__(self, size: tuple[int, int], frames: Sequence[Frame]) -> None:
        self._height, self._width = size
        # The objects with their frames, then the tags as they come.
        self._boxes = np.zeros((2 * len(frames), 4), np.int64)
        self._boxes[: len(frames)] = [f.around for f in frames] or np.zeros((0, 4))
        extents = self._boxes[: len(frames), 2:] - self._boxes[: len(frames), :2]
        self._areas = extents.prod(axis=-1)
        self._covered = np.zeros(len(frames))
        self._count = len(frames)

    def place(self, frame: Frame, caption: str, size: int) -> Tag | None:
        """Takes the most natural of the positions that hide least."""
        caption = shortened(caption, size, self._width - 2 * _margin(size)[0])
        extent = tag_extent(caption, size)
        if not caption or extent[0] > self._width or extent[1] > self._height:
            return None
        near = self._near(frame, extent)
        # Most find room around; the other positions are many, and take longer than all the rest.
        box = self._free(_around(frame, extent), extent, near)
        if box is None:
            every = [*_around(frame, extent), *_inside(frame, extent), *_along(frame, extent)]
            box = self._best(every, extent, near)
        if box is None:
            return None
        self._boxes[self._count] = box
        self._count += 1
        return Tag(caption, box, size)

    def _near(self, frame: Frame, extent: tuple[int, int]) -> NDArray[np.int64]:
        """The indices of what reaches to where a tag of the frame may be."""
        width, height = extent
        x1, y1, x2, y2 = frame.around
        lefts, tops, rights, bottoms = self._boxes[: self._count].T
        in_columns = (lefts < x2 + width) & (rights > x1 - width)
        return np.flatnonzero(in_columns & (tops < y2 + height) & (bottoms > y1 - height))

    def _free(
        self, corners: Iterable[tuple[int, int]], extent: tuple[int, int], near: NDArray[np.int64]
    ) -> Corners | None:
        """The first place that covers nothing."""
        width, height = extent
        most_x, most_y = self._width - width, self._height - height
        boxes = self._boxes[near].tolist()
        for x, y in corners:
            x1, y1 = min(max(x, 0), most_x), min(max(y, 0), most_y)
            x2, y2 = x1 + width, y1 + height
            if not any(a < x2 and c > x1 and b < y2 and d > y1 for a, b, c, d in boxes):
                return x1, y1, x2, y2
        return None

    def _best(
        self, corners: Sequence[tuple[int, int]], extent: tuple[int, int], near: NDArray[np.int64]
    ) -> Corners | None:
        """The one that covers least of the objects, none of them too much, and no tag."""
        origins = np.array(corners, np.int64)
        origins = np.clip(origins, 0, (self._width - extent[0], self._height - extent[1]))
        found = np.concatenate((origins, origins + np.array(extent)), axis=1)
        objects, tags = near[near < len(self._areas)], near[near >= len(self._areas)]
        found = found[~_common(found, self._boxes[tags]).any(axis=1)]
        share = _common(found, self._boxes[objects]) / self._areas[objects]
        fits = (share <= ONE_COVERS) & (share + self._covered[objects] <= ALL_COVER)
        rows = np.flatnonzero(fits.all(axis=1))
        if not len(rows):
            return None
        best = rows[share[rows].sum(axis=1).argmin()]  # the first of equal ones
        self._covered[objects] += share[best]
        x1, y1, x2, y2 = found[best].tolist()
        return x1, y1, x2, y2


def _around(frame: Frame, extent: tuple[int, int]) -> Iterator[tuple[int, int]]:
    """Upper left corners of a tag, the most natural first.

    On the upper edge, under the lower one, at the sides, at the corners.
    """
    width, height = extent
    x1, y1, x2, y2 = frame.around
    above, before = y1 - height, x1 - width
    centre, middle = (x1 + x2 - width) // 2, (y1 + y2 - height) // 2
    for y in (above, y2):
        yield from ((x1, y), (x2 - width, y), (centre, y))
    for y in (y1, y2 - height, middle, above, y2):
        yield from ((x2, y), (before, y))


def _inside(frame: Frame, extent: tuple[int, int]) -> list[tuple[int, int]]:
    """In the corners of the box, within its lines."""
    width, height = extent
    left, top = max(frame.box[0], frame.inner[0]), max(frame.box[1], frame.inner[1])
    right, bottom = min(frame.box[2], frame.inner[2]), min(frame.box[3], frame.inner[3])
    return [(x, y) for y in (top, bottom - height) for x in (left, right - width)]


def _along(frame: Frame, extent: tuple[int, int]) -> list[tuple[int, int]]:
    """Between the corners of a large box, outside and inside of its edges."""
    width, height = extent
    x1, y1, x2, y2 = frame.around
    (left, top), *_, (right, bottom) = _inside(frame, extent)
    flat = range(x1 + width, x2 - width, max(width, (x2 - x1) // ALONG))
    steep = range(y1 + height, y2 - height, max(height, (y2 - y1) // ALONG))
    return [
        *((x, y) for x in flat for y in (y1 - height, y2, top, bottom)),
        *((x, y) for y in steep for x in (x2, x1 - width, left, right)),
    ]


def _common(first: NDArray[np.int64], second: NDArray[np.int64]) -> NDArray[np.int64]:
    """[P, 4], [Q, 4] -> [P, Q]: square pixels that both have."""
    low_x = np.maximum(first[:, None, 0], second[:, 0])
    low_y = np.maximum(first[:, None, 1], second[:, 1])
    across = np.minimum(first[:, None, 2], second[:, 2]) - low_x
    down = np.minimum(first[:, None, 3], second[:, 3]) - low_y
    return np.maximum(across, 0) * np.maximum(down, 0)


def draw_tag(canvas: Image, tag: Tag, colour: Colour) -> None:
    """Draws ``tag`` in place, in black or white letters on ``colour``."""
    x1, y1, x2, y2 = tag.box
    cv2.rectangle(canvas, (x1, y1), (x2 - 1, y2 - 1), colour, cv2.FILLED)
    found = letters(tag.caption, tag.size)
    across, down = _margin(tag.size)
    ink = canvas[y1 + down : y2 - down, x1 + across : x2 - across]
    ink[:] = cv2.applyColorMap(found, _shades(colour))


@cache
def _shades(colour: Colour) -> NDArray[np.uint8]:
    """[256, 1, 3]: from the paper to the ink."""
    # Rec. 601 luma: black letters on light colours, white ones on dark.
    luma = float(np.dot(colour, (0.114, 0.587, 0.299)))
    ink = 0.0 if luma > 128 else 255.0
    part = np.arange(256)[:, None, None] / 255
    return np.round(np.array(colour) * (1 - part) + ink * part).astype(np.uint8)
