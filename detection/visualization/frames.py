"""Frames around boxes: lines that stand outside of what they mark.

A line is as wide as the picture asks for, and no wider than a small part of its box.  Where a
line would run through an object that is small beside it, it is interrupted there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from detection.visualization.colours import Colour
from detection.visualization.image import Image

Corners = tuple[int, int, int, int]  # (x1, y1, x2, y2), whole pixels inside the image

# A line is at most one such part of its box's shorter side wide, but a pixel at least.
PART_OF_BOX = 12
# It lies inside, at the end of the picture, where it is at most one such part.
PART_INSIDE = 24
# The part of the background's brightness that the edges of a line keep.
EDGE = 3
# Lines of larger boxes do not run through an object narrower than so many widths of a line.
SMALL = 10


@dataclass(frozen=True)
class Frame:
    """``box``: what it marks.  The line lies between ``inner`` and ``outer``.

    Beside it are dark edges for light backgrounds, out to ``around`` and in to ``within``.
    """

    box: Corners
    inner: Corners
    outer: Corners
    within: Corners
    around: Corners
    width: int


def picture_width(size: tuple[int, int]) -> int:
    """Of lines that the picture (height, width) asks for: 2 pixels at 640 x 480, 12 at 12 MP."""
    return max(1, round(float(np.sqrt(size[0] * size[1])) / 280))


def lay_out_frames(
    size: tuple[int, int], corners: Sequence[Corners], *, width: int | None
) -> list[Frame]:
    """A frame for each box.  ``width``: of all lines; None: by the picture and the box."""
    return [_frame(size, box, width) for box in corners]


def _frame(size: tuple[int, int], box: Corners, width: int | None) -> Frame:
    x1, y1, x2, y2 = box
    shorter = min(x2 - x1, y2 - y1)
    line = width or min(picture_width(size), max(1, shorter // PART_OF_BOX))
    # A line of one pixel has its dark edge outside alone.
    gap = line // 2
    rooms = (x1, y1, size[1] - x2, size[0] - y2)
    sides = [_side(room, line, gap, is_large=shorter >= PART_INSIDE * line) for room in rooms]
    inner, outer, within, around = (
        (x1 - left, y1 - top, x2 + right, y2 + bottom)
        for left, top, right, bottom in zip(*sides, strict=True)
    )
    return Frame(box, inner, outer, within, around, line)


def _side(room: int, line: int, gap: int, *, is_large: bool) -> tuple[int, int, int, int]:
    """How far outside of the box line and edges end: inner, outer, within, around.

    ``room``: pixels between the box and the end of the picture.  Where the line finds none, it
    moves into a box that is large; at a small one it is left out.
    """
    if room < line and not is_large:
        return room, room, min(0, room), room
    inner = min(gap, room - line)
    outer = inner + line
    return inner, outer, min(inner, 0), min(outer + max(1, gap), room)


def draw_frames(
    canvas: Image,
    image: Image,
    frames: Sequence[Frame],
    colours: Sequence[Colour],
    *,
    dashed: bool,
) -> None:
    """Draws on ``canvas``, which begins with the pixels of ``image``.

    The smaller a box, the later it comes; of equal ones the first comes last.
    """
    size = image.shape[0], image.shape[1]
    small = SMALL * max([picture_width(size), *(frame.width for frame in frames)])
    order = sorted(range(len(frames)), key=lambda index: (-_area(frames[index].box), -index))
    for index in order:
        frame = frames[index]
        x1, y1, x2, y2 = frame.box
        if min(x2 - x1, y2 - y1) < small:
            canvas[y1:y2, x1:x2] = image[y1:y2, x1:x2]
        _draw(canvas, frame, colours[index], dashed)


def _area(box: Corners) -> int:
    return (box[2] - box[0]) * (box[3] - box[1])


def _draw(canvas: Image, frame: Frame, colour: Colour, dashed: bool) -> None:
    for x1, y1, x2, y2 in _sides(frame.around, frame.within):
        canvas[y1:y2, x1:x2] //= EDGE
    for side in _sides(frame.outer, frame.inner):
        for x1, y1, x2, y2 in _dashes(side, 4 * frame.width) if dashed else (side,):
            if x1 < x2 and y1 < y2:
                # Five times as fast as assigning to the pixels.
                cv2.rectangle(canvas, (x1, y1), (x2 - 1, y2 - 1), colour, cv2.FILLED)


def _dashes(side: Corners, length: int) -> list[Corners]:
    """Along the longer edges of a side: as long as the gaps between them."""
    x1, y1, x2, y2 = side
    if x2 - x1 > y2 - y1:
        return [(x, y1, min(x + length, x2), y2) for x in range(x1, x2, 2 * length)]
    return [(x1, y, x2, min(y + length, y2)) for y in range(y1, y2, 2 * length)]


def _sides(outer: Corners, inner: Corners) -> list[Corners]:
    """What lies between two rectangles, in four parts, none of which overlap."""
    x1, y1, x2, y2 = outer
    left, top, right, bottom = inner
    return [
        (x1, y1, x2, top),
        (x1, bottom, x2, y2),
        (x1, top, left, bottom),
        (right, top, x2, bottom),
    ]
