"""Where the shapes of a picture lie: random positions at which none hides too much of another."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from detection.shapes.outlines import CLASS_NAMES, outline
from detection.shapes.paint import MARGIN, Floats

# The sides of the objects as fractions of ``image_side``: 70 and 170 pixels of 320.
MIN_SIDE, MAX_SIDE = 0.22, 0.53
# The least visible fraction of an object; below it, another position is tried.
MIN_VISIBLE = 0.4
# The least fraction of an object that lies inside the image.
MIN_INSIDE = 0.65
# An object that finds no position in so many attempts is left out.
ATTEMPTS = 12
# Masks are drawn this much larger and averaged: coverage is exact to a fraction of a pixel.
SUPERSAMPLING = 4


@dataclass
class PlacedShape:
    """A shape in a window of the image.

    ``mask``: float32 [h, w] in [0, 1], the coverage of each pixel of the window.
    ``corner``: (x, y) of the upper left pixel of the window.
    ``pixels``: number of pixels of the whole shape; ``visible_pixels``: of those that can be seen.
    ``truncated``: whether the shape extends beyond the image.
    """

    name: str
    mask: Floats
    corner: tuple[int, int]
    pixels: int
    visible_pixels: int
    truncated: bool

    @property
    def window(self) -> tuple[slice, slice]:
        (x, y), (height, width) = self.corner, self.mask.shape
        return slice(y, y + height), slice(x, x + width)


def place_shapes(
    rng: np.random.Generator, size: tuple[int, int], image_side: int, count: int
) -> tuple[list[PlacedShape], NDArray[np.int64]]:
    """Up to ``count`` shapes in an image of ``size`` (height, width), the nearest one last.

    Also [H, W]: for each pixel the index of the shape that is visible there, -1 for none.
    """
    front = np.full(size, -1, np.int64)
    placed: list[PlacedShape] = []
    for _ in range(count):
        # Sampled before the attempts: otherwise shapes that fit easily would be more frequent.
        name = CLASS_NAMES[rng.integers(len(CLASS_NAMES))]
        # Uniform in the logarithm: as many objects of 70 to 100 pixels as of 100 to 143.
        side = image_side * float(np.exp(rng.uniform(np.log(MIN_SIDE), np.log(MAX_SIDE))))
        for _ in range(ATTEMPTS):
            shape = _random_shape(rng, name, side, size)
            if shape.visible_pixels >= MIN_INSIDE * shape.pixels and _cover(front, shape, placed):
                break
    return placed, front


def _cover(front: NDArray[np.int64], shape: PlacedShape, placed: list[PlacedShape]) -> bool:
    """Puts ``shape`` in front of ``placed``, unless too little of one of them would be visible."""
    inside = shape.mask > 0.5
    covered = front[shape.window]
    hidden = np.bincount(covered[inside] + 1, minlength=len(placed) + 1)[1:]
    pairs = list(zip(placed, hidden.tolist(), strict=True))
    if any(other.visible_pixels - lost < MIN_VISIBLE * other.pixels for other, lost in pairs):
        return False
    for other, lost in pairs:
        other.visible_pixels -= lost
    covered[inside] = len(placed)
    placed.append(shape)
    return True


def _random_shape(
    rng: np.random.Generator, name: str, side: float, size: tuple[int, int]
) -> PlacedShape:
    """A shape ``side`` pixels long with random proportions, rotation and position."""
    height, width = size
    # Rotated, narrowed as if seen at an angle, and rotated again: squares may become rhombi.
    turn, tilt = _rotation(rng.uniform(0, 2 * np.pi)), _rotation(rng.uniform(0, 2 * np.pi))
    stretch = rng.uniform(0.8, 1.0)
    contours = [(c @ turn) * (stretch, 1.0) @ tilt for c in outline(name)]
    low, high = contours[0].min(axis=0), contours[0].max(axis=0)
    scale = side / float((high - low).max())
    centre = rng.uniform((0.25 * side, 0.25 * side), (width - 0.25 * side, height - 0.25 * side))
    contours = [(c - (low + high) / 2) * scale + centre for c in contours]
    return _rasterise(name, contours, size)


def _rotation(angle: float) -> NDArray[np.float64]:
    return np.array([(np.cos(angle), np.sin(angle)), (-np.sin(angle), np.cos(angle))])


def _rasterise(name: str, contours: list[Any], size: tuple[int, int]) -> PlacedShape:
    low, high = contours[0].min(axis=0), contours[0].max(axis=0)
    x0, y0 = (np.floor(low).astype(int) - MARGIN).tolist()
    x1, y1 = (np.ceil(high).astype(int) + MARGIN).tolist()
    canvas = np.zeros(((y1 - y0) * SUPERSAMPLING, (x1 - x0) * SUPERSAMPLING), np.uint8)
    # cv2 counts from the centres of pixels, boxes from their edges: half a (small) pixel apart.
    # Four fractional bits (shift) keep the vertices at their exact positions.
    corners = [((c - (x0, y0)) * SUPERSAMPLING - 0.5) * 16 for c in contours]
    cv2.fillPoly(canvas, [np.round(c).astype(np.int32) for c in corners], 255, cv2.LINE_8, 4)
    small = cv2.resize(canvas, (x1 - x0, y1 - y0), interpolation=cv2.INTER_AREA)
    mask = np.asarray(small / np.float32(255), np.float32)
    left, top = max(0, -x0), max(0, -y0)
    clipped = mask[top : max(top, size[0] - y0), left : max(left, size[1] - x0)]
    pixels, inside = int((mask > 0.5).sum()), int((clipped > 0.5).sum())
    return PlacedShape(
        name=name,
        mask=clipped,
        corner=(max(x0, 0), max(y0, 0)),
        pixels=pixels,
        visible_pixels=inside,
        truncated=inside < pixels,
    )
