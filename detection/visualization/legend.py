"""The strip below a drawn picture, with what found no room in it.

Tags that became numbers stand there in full; of boxes without any, each class has its colour and
how many they are.  Where even that would be higher than the picture, the numbers go without.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from detection.visualization.colours import Colour
from detection.visualization.image import Image
from detection.visualization.letters import MIN_SIZE, shortened
from detection.visualization.tags import Tag, draw_tag, letter_sizes, tag_extent

PAPER = 32  # of 255: dark, as the edges of the frames
# A legend is at most so many times as high as the picture.
HIGHEST = 0.5

TIMES = "\N{MULTIPLICATION SIGN}"

Entry = tuple[str, Colour]


def lay_out_legend(size: tuple[int, int], entries: Sequence[Entry]) -> tuple[list[Tag], int] | None:
    """A tag for each entry, in rows from the picture's height on, and the height of them all.

    ``size``: (height, width) of the picture.  None where they find no room, even in small letters.
    """
    largest = letter_sizes(size, (0, 0, size[1], size[0]))[0]
    for letter in dict.fromkeys((largest, MIN_SIZE)):
        tags, height = _rows(size, entries, letter)
        if len(tags) == len(entries) and height <= HIGHEST * size[0]:
            return tags, height
    return None


def _rows(size: tuple[int, int], entries: Sequence[Entry], letter: int) -> tuple[list[Tag], int]:
    gap = max(2, letter // 4)
    bottom = y = size[0] + gap
    x = gap
    tags: list[Tag] = []
    for text, _ in entries:
        caption = shortened(text, letter, size[1] - 4 * gap)
        width, height = tag_extent(caption, letter)
        if x > gap and x + width + gap > size[1]:
            x, y = gap, bottom + gap
        if not caption or x + width > size[1]:
            return [], 0
        tags.append(Tag(caption, (x, y, x + width, y + height), letter))
        x += width + gap
        bottom = max(bottom, y + height)
    return tags, bottom + gap - size[0] if tags else 0


def counted(names: Sequence[str], colours: Sequence[Colour]) -> list[Entry]:
    """An entry for each name and colour, with how often it is there; the most frequent first."""
    counts = Counter(zip(names, colours, strict=True))
    return [(f"{name} {TIMES}{count}", colour) for (name, colour), count in counts.most_common()]


def draw_legend(canvas: Image, top: int, tags: Sequence[Tag], entries: Sequence[Entry]) -> None:
    """Draws in place, below row ``top`` of ``canvas``."""
    canvas[top:] = np.uint8(PAPER)
    for tag, (_, colour) in zip(tags, entries, strict=True):
        draw_tag(canvas, tag, colour)
