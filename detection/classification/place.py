"""Where a view lies in its image: what a box of one is in the other."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Boxes = NDArray[np.float32]


@dataclass(frozen=True)
class Place:
    """A view is cut out of the scaled image, and then mirrored.

    ``image``: (height, width) of the image; ``scaled``: after scaling.
    ``corner``: (top, left) of the view in the scaled image; ``size``: (height, width) of the view.
    ``flipped``: whether it is mirrored left to right.
    """

    image: tuple[int, int]
    scaled: tuple[int, int]
    corner: tuple[int, int]
    size: tuple[int, int]
    flipped: bool

    def to_view(self, boxes: Boxes) -> Boxes:
        """[..., 4] in pixels of the image -> in pixels of the view, and beyond its edges."""
        moved = boxes * self._scale - self._shift
        return self._mirrored(moved) if self.flipped else moved

    def to_image(self, boxes: Boxes) -> Boxes:
        """The inverse of :meth:`to_view`."""
        unflipped = self._mirrored(boxes) if self.flipped else boxes
        return (unflipped + self._shift) / self._scale

    @property
    def _scale(self) -> Boxes:
        y, x = (new / old for new, old in zip(self.scaled, self.image, strict=True))
        return np.array((x, y, x, y), dtype=np.float32)

    @property
    def _shift(self) -> Boxes:
        top, left = self.corner
        return np.array((left, top, left, top), dtype=np.float32)

    def _mirrored(self, boxes: Boxes) -> Boxes:
        x1, y1, x2, y2 = np.moveaxis(boxes, -1, 0)
        width = np.float32(self.size[1])
        return np.stack((width - x2, y1, width - x1, y2), axis=-1)
