"""One picture of the built-in data set: what is in it, where, and how it is painted.

Textures, sizes, proportions and rotations are drawn alike for all classes, on textured and
cluttered backgrounds, with objects that overlap and leave the image.  What names the class is the
silhouette and, as with things in photographs, a typical colour, which ``typical_colours`` = 0
takes away: a much harder data set.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from detection.shapes.paint import MARGIN, Floats, background, paint, photograph

CLASS_NAMES = ("circle", "cross", "moon", "ring", "square", "star", "triangle")

# Sides of the objects as fractions of ``image_side``: 70 and 170 pixels of 320.
MIN_SIDE, MAX_SIDE = 0.22, 0.53
# The shorter side of an image as a fraction of the longer one, at the least.
MIN_ASPECT = 0.72
# An object of which less can be seen is placed elsewhere or left out ...
MIN_VISIBLE = 0.4
# ... and one of which less than this can be seen is marked ``difficult``.
DIFFICULT_BELOW = 0.6
# How much of an object has to lie inside the image.
MIN_INSIDE = 0.65
PLACEMENT_ATTEMPTS = 12
# Masks are drawn this much larger and averaged down: true coverage, to a fraction of a pixel.
SUPERSAMPLING = 4


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """What decides the pixels of an image beside its split and its index.

    ``image_side``: the longer side of every image in pixels.  ``max_objects``: per image, at
    least 1.  ``empty_fraction``: the share of images without objects, in [0, 1].
    ``typical_colours``: the share of objects in a colour typical of their class, in [0, 1]; the
    others have any.
    """

    seed: int
    image_side: int
    max_objects: int
    empty_fraction: float
    typical_colours: float

    def __post_init__(self) -> None:
        if self.seed < 0:
            raise ValueError(f"seed must not be negative, got {self.seed}")
        if self.image_side < 128:
            raise ValueError(
                f"image_side must be at least 128 pixels, got {self.image_side}: "
                "the smallest objects would lose their silhouettes"
            )
        if self.max_objects < 1:
            raise ValueError(
                f"max_objects must be at least 1, got {self.max_objects}; "
                "for images without objects raise empty_fraction"
            )
        for name in ("empty_fraction", "typical_colours"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} must lie in [0, 1], got {getattr(self, name)}")


@dataclass(frozen=True)
class DrawnObject:
    """One object of a scene.

    ``box``: (x1, y1, x2, y2) as :mod:`detection.boxes` has it, whole numbers, tight around what
    can be seen, as VOC and COCO annotate.  ``area``: square pixels of that.  ``visible``: what part
    of the whole shape that is.  ``truncated``: whether the image ends within the shape.
    """

    name: str
    box: tuple[int, int, int, int]
    area: int
    visible: float
    truncated: bool

    @property
    def difficult(self) -> bool:
        return self.visible < DIFFICULT_BELOW


@dataclass(frozen=True)
class Scene:
    """``image``: uint8 BGR [H, W, 3].  ``objects``: from the farthest to the nearest."""

    image: NDArray[np.uint8]
    objects: list[DrawnObject]


def draw_scene(*, recipe: Recipe, split: str, index: int) -> Scene:
    """Image ``index`` of ``split``: depends on these three arguments alone."""
    rng = np.random.default_rng([recipe.seed, zlib.crc32(split.encode()), index])
    size = _image_size(rng, recipe.image_side)
    canvas = background(rng, size)
    # Few objects are as frequent as many.
    empty = rng.random() < recipe.empty_fraction
    count = 0 if empty else int(rng.integers(1, recipe.max_objects + 1))
    placed, owner = _place(rng, size, recipe.image_side, count)
    for item in placed:
        typical = rng.random() < recipe.typical_colours
        paint(rng, canvas[item.window], item.mask, _typical_hue(item.name) if typical else None)
    objects = [_describe(item, owner == index) for index, item in enumerate(placed)]
    return Scene(image=photograph(rng, canvas), objects=objects)


def outline(name: str) -> list[Floats]:
    """The closed contours [K, 2] of a class, about the origin, within a radius of sqrt(2).

    Where contours lie inside one another the inner one is a hole.
    """
    if name == "circle":
        return [_circle(1.0)]
    if name == "ring":
        return [_circle(1.0), _circle(0.55)]
    if name == "square":
        return [np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)], np.float32)]
    if name == "triangle":
        return [_spokes(np.ones(3))]
    if name == "star":
        return [_spokes(np.tile((1.0, 0.42), 5))]
    if name == "cross":
        return [_cross(0.34)]
    if name == "moon":
        return [_moon(0.8, 0.55)]
    raise ValueError(f"unknown shape {name!r}; there are {', '.join(CLASS_NAMES)}")


# -- outlines --------------------------------------------------------------------------------------


def _spokes(radii: NDArray[np.float64]) -> Floats:
    angles = 2 * np.pi * np.arange(len(radii)) / len(radii) - np.pi / 2
    return np.stack((radii * np.cos(angles), radii * np.sin(angles)), axis=1).astype(np.float32)


def _circle(radius: float) -> Floats:
    return _spokes(np.full(64, radius))


def _cross(half_width: float) -> Floats:
    w = half_width
    quarter = np.array([(w, -w), (1, -w), (1, w)], np.float32)
    turn = np.array([(0, -1), (1, 0)], np.float32)
    corners = [quarter]
    for _ in range(3):
        corners.append(corners[-1] @ turn.T)
    return np.concatenate(corners)


def _moon(radius: float, offset: float) -> Floats:
    """The unit disc without the disc of ``radius`` about (offset, 0)."""
    x = (1 + offset**2 - radius**2) / (2 * offset)  # where the circles meet
    outer = np.arccos(x)
    inner = np.arctan2(np.sqrt(1 - x**2), x - offset)
    out = np.linspace(outer, 2 * np.pi - outer, 40)
    back = np.linspace(2 * np.pi - inner, inner, 30)
    arc = np.stack((np.cos(out), np.sin(out)), axis=1)
    cut = np.stack((offset + radius * np.cos(back), radius * np.sin(back)), axis=1)
    return np.concatenate((arc, cut)).astype(np.float32)


# -- geometry of a scene ---------------------------------------------------------------------------


@dataclass
class _Placed:
    """A shape in a window of the image.

    ``mask``: float32 [h, w] in [0, 1], the coverage of each pixel of the window whose upper left
    corner is ``corner`` = (x, y).  ``full`` and ``seen``: its pixels in all and those
    that can be seen.  ``truncated``: whether the image ends within the shape.
    """

    name: str
    mask: Floats
    corner: tuple[int, int]
    full: int
    seen: int
    truncated: bool

    @property
    def window(self) -> tuple[slice, slice]:
        (x, y), (height, width) = self.corner, self.mask.shape
        return slice(y, y + height), slice(x, x + width)


def _image_size(rng: np.random.Generator, image_side: int) -> tuple[int, int]:
    shorter = round(image_side * rng.uniform(MIN_ASPECT, 1))
    return (shorter, image_side) if rng.random() < 0.5 else (image_side, shorter)


def _place(
    rng: np.random.Generator, size: tuple[int, int], image_side: int, count: int
) -> tuple[list[_Placed], NDArray[np.int64]]:
    """Up to ``count`` shapes, each over those before it; none hides too much of another.

    And, [H, W], the index of the shape that is seen at each pixel, -1 where there is none.
    """
    owner = np.full(size, -1, np.int64)  # the nearest object at each pixel
    placed: list[_Placed] = []
    for _ in range(count):
        # Chosen before the attempts: else shapes that are easy to place would be the more frequent.
        name = CLASS_NAMES[rng.integers(len(CLASS_NAMES))]
        # Uniform in the logarithm: as many objects between 24 and 48 pixels as between 48 and 96.
        side = image_side * float(np.exp(rng.uniform(np.log(MIN_SIDE), np.log(MAX_SIDE))))
        for _ in range(PLACEMENT_ATTEMPTS):
            item = _propose(rng, name, side, size)
            if item.seen >= MIN_INSIDE * item.full and _cover(owner, item, placed):
                break
    return placed, owner


def _cover(owner: NDArray[np.int64], item: _Placed, placed: list[_Placed]) -> bool:
    """Puts ``item`` over ``placed`` unless one of them would be hidden too far."""
    inside = item.mask > 0.5
    covered = owner[item.window]
    hidden = np.bincount(covered[inside] + 1, minlength=len(placed) + 1)[1:]
    pairs = list(zip(placed, hidden.tolist(), strict=True))
    if any(other.seen - lost < MIN_VISIBLE * other.full for other, lost in pairs):
        return False
    for other, lost in pairs:
        other.seen -= lost
    covered[inside] = len(placed)
    placed.append(item)
    return True


def _propose(rng: np.random.Generator, name: str, side: float, size: tuple[int, int]) -> _Placed:
    """A shape ``side`` pixels long with random proportions, rotation and place."""
    height, width = size
    # Turned, narrowed as if seen from aside, and turned again: squares become lozenges too.
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


def _rasterise(name: str, contours: list[Any], size: tuple[int, int]) -> _Placed:
    low, high = contours[0].min(axis=0), contours[0].max(axis=0)
    x0, y0 = (np.floor(low).astype(int) - MARGIN).tolist()
    x1, y1 = (np.ceil(high).astype(int) + MARGIN).tolist()
    canvas = np.zeros(((y1 - y0) * SUPERSAMPLING, (x1 - x0) * SUPERSAMPLING), np.uint8)
    # cv2 counts from pixel centres, boxes from pixel edges: half a (small) pixel apart.  Four
    # fractional bits (shift) keep the vertices where they are.
    corners = [((c - (x0, y0)) * SUPERSAMPLING - 0.5) * 16 for c in contours]
    cv2.fillPoly(canvas, [np.round(c).astype(np.int32) for c in corners], 255, cv2.LINE_8, 4)
    small = cv2.resize(canvas, (x1 - x0, y1 - y0), interpolation=cv2.INTER_AREA)
    mask = np.asarray(small / np.float32(255), np.float32)
    left, top = max(0, -x0), max(0, -y0)
    clipped = mask[top : max(top, size[0] - y0), left : max(left, size[1] - x0)]
    full, inside = int((mask > 0.5).sum()), int((clipped > 0.5).sum())
    return _Placed(
        name=name,
        mask=clipped,
        corner=(max(x0, 0), max(y0, 0)),
        full=full,
        seen=inside,
        truncated=inside < full,
    )


def _describe(item: _Placed, seen: NDArray[np.bool_]) -> DrawnObject:
    """``seen``: [H, W], where the shape can be seen: somewhere."""
    rows, columns = np.flatnonzero(seen.any(axis=1)), np.flatnonzero(seen.any(axis=0))
    return DrawnObject(
        name=item.name,
        box=(int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1),
        area=item.seen,
        visible=item.seen / item.full,
        truncated=item.truncated,
    )


def _typical_hue(name: str) -> float:
    """Degrees: the classes' hues are equally far apart."""
    return 360 * CLASS_NAMES.index(name) / len(CLASS_NAMES)
