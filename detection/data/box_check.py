"""Checks the boxes of a data set while it is read, and reports all invalid ones together."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from detection.data.findings import collect

log = logging.getLogger(__name__)

InvalidBoxes = Literal["error", "clip", "repair"]

# Annotation tools round: a box may exceed its image by this many pixels and is clipped silently.
TOLERANCE = 1.0
# Parts of a picture's size are rounded as well: so much over 1 is no pixel.
PARTS_TOLERANCE = 0.02
# The number of invalid boxes that a message lists.
SHOWN = 10
# What a report calls the boxes that "clip" has cut.
OVER_BORDER = "box over the border of its picture, cut"


class BoxCheck:
    """Is called for each image, then ``finish`` once.

    ``source``: the annotations, for the message.
    ``on_invalid``: "error" raises an error at the end; "clip" does so too, but boxes of which a
    part lies in their image are cut to it and collected in ``clipped``; "repair" cuts all, leaves
    out those that are not boxes at all, and reports how many there were.
    """

    def __init__(self, *, source: Path, on_invalid: InvalidBoxes) -> None:
        if on_invalid not in ("error", "clip", "repair"):
            raise ValueError(
                f"data.invalid_boxes must be clip, repair or error, got {on_invalid!r}"
            )
        self.source = source
        self.on_invalid = on_invalid
        self.clipped: list[str] = []
        self.count = 0
        self.largest = 0.0  # coordinate
        self.whole = True  # whether all coordinates are whole numbers
        self.problems: list[str] = []

    def __call__(
        self, boxes: NDArray[np.float32], size: tuple[int, int], where: Sequence[str]
    ) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Boxes [G, 4] clipped to an image of (height, width), and bool [G]: those to keep.

        Boxes without an area, or without one inside the image, are kept: see ``Example.has_area``.
        ``where``: the position of each box in the annotations, for the message.
        """
        height, width = size
        limit = np.array((width, height, width, height), dtype=np.float32)
        finite = np.logical_and.reduce(np.isfinite(boxes), axis=1)
        self.count += len(boxes)
        self.largest = max(self.largest, float(np.nan_to_num(boxes).max(initial=0)))
        self.whole = self.whole and bool((boxes == np.round(boxes)).all())
        beyond = (boxes < -TOLERANCE) | (boxes > limit + TOLERANCE)
        outside = np.logical_or.reduce(beyond, axis=1)
        clipped = np.clip(np.nan_to_num(boxes), 0, limit)
        empty = np.logical_or.reduce(clipped[:, 2:] - clipped[:, :2] <= 0, axis=1)
        for index in np.flatnonzero(~finite | outside | empty).tolist():
            rule = (
                "is not finite"
                if not finite[index]
                else "has x2 <= x1 or y2 <= y1"
                if (boxes[index, 2:] <= boxes[index, :2]).any()
                else f"lies outside the {width}x{height} image"
            )
            x1, y1, x2, y2 = (f"{value:g}" for value in boxes[index])
            problem = f"{where[index]}: box ({x1}, {y1}, {x2}, {y2}) {rule}"
            cut = self.on_invalid == "clip" and finite[index] and not empty[index]
            (self.clipped if cut else self.problems).append(problem)
        if self.on_invalid != "repair" and collect(()):
            return clipped, finite & ~empty
        ordered = finite & np.logical_and.reduce(boxes[:, 2:] >= boxes[:, :2], axis=1)
        return clipped, ordered if self.on_invalid == "repair" else np.ones_like(finite)

    def finish(self) -> None:
        """After reading: raises ValueError, or logs a warning, if there are invalid boxes."""
        if 0 < self.largest <= 1 + PARTS_TOLERANCE and not self.whole:
            tiny = (
                f"{self.source}: all {self.count} boxes lie in the first pixel of their pictures: "
                "their numbers are parts of the size, but this format has pixels; multiply them "
                "by width and height"
            )
            if not collect([tiny]):
                raise ValueError(tiny)
            return
        if len(self.clipped) > max(self.count / 2, 2):
            # Slips are few: then the boxes are meant otherwise.
            self.problems = self.clipped + self.problems
        if not self.problems or (self.on_invalid != "repair" and collect(self.problems)):
            return
        shown = "\n  ".join(self.problems[:SHOWN])
        more = len(self.problems) - SHOWN
        message = (
            f"{self.source}: {len(self.problems)} invalid boxes (x1, y1, x2, y2):\n  {shown}"
            + (f"\n  ... and {more} more" if more > 0 else "")
        )
        if self.on_invalid != "repair":
            raise ValueError(
                f"{message}\nCorrect the annotations (are they x, y, width, height or two corners, "
                "and of these pictures?), or set data.invalid_boxes=repair: boxes are then clipped "
                "to their image, and those left without an area are not trained on; detections are "
                "measured against all boxes as annotated"
            )
        log.warning("%s\n(clipped to the image; those without an area are not trained on)", message)
