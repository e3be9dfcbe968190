"""One picture of the built-in data set: its objects, their boxes, and the painted image.

Textures, sizes, proportions and rotations are sampled in the same way for all classes.  The
backgrounds are textured and cluttered; objects overlap and extend beyond the image.  A class is
recognised by its silhouette and, as many things in photographs, by a typical colour;
``typical_colours`` = 0 takes the colour away, which makes the data set much harder.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from detection.shapes.outlines import CLASS_NAMES
from detection.shapes.paint import background, paint, photograph
from detection.shapes.placement import PlacedShape, place_shapes

# The shorter side of an image is at least this fraction of the longer one.
MIN_ASPECT = 0.72
# An object of which a smaller fraction is visible is marked ``difficult``.
DIFFICULT_BELOW = 0.6


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """The parameters of all images; with them, split and index determine the pixels.

    ``image_side``: the longer side of every image, in pixels.
    ``max_objects``: in one image, at least 1.
    ``empty_fraction``: the fraction of images without objects, in [0, 1].
    ``typical_colours``: the fraction of objects in a colour typical of their class, in [0, 1]; the
    others have any colour.
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

    ``box``: (x1, y1, x2, y2) in the convention of `detection.boxes`, whole numbers, tight around
    the visible pixels, as VOC and COCO annotate.
    ``area``: number of visible pixels.  ``visible``: their fraction of the whole shape.
    ``truncated``: whether the shape extends beyond the image.
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
    """``image``: uint8 [H, W, 3], BGR.  ``objects``: from the farthest to the nearest."""

    image: NDArray[np.uint8]
    objects: list[DrawnObject]


def draw_scene(*, recipe: Recipe, split: str, index: int) -> Scene:
    """Image ``index`` of ``split``: it depends on these three arguments alone."""
    rng = np.random.default_rng([recipe.seed, zlib.crc32(split.encode()), index])
    size = _image_size(rng, recipe.image_side)
    canvas = background(rng, size)
    # All numbers of objects are equally frequent.
    empty = rng.random() < recipe.empty_fraction
    count = 0 if empty else int(rng.integers(1, recipe.max_objects + 1))
    placed, front = place_shapes(rng, size, recipe.image_side, count)
    for shape in placed:
        typical = rng.random() < recipe.typical_colours
        paint(rng, canvas[shape.window], shape.mask, _typical_hue(shape.name) if typical else None)
    objects = [_describe(shape, front == number) for number, shape in enumerate(placed)]
    return Scene(image=photograph(rng, canvas), objects=objects)


def _image_size(rng: np.random.Generator, image_side: int) -> tuple[int, int]:
    shorter = round(image_side * rng.uniform(MIN_ASPECT, 1))
    return (shorter, image_side) if rng.random() < 0.5 else (image_side, shorter)


def _describe(shape: PlacedShape, visible: NDArray[np.bool_]) -> DrawnObject:
    """``visible``: [H, W], the pixels where the shape can be seen, at least one."""
    rows, columns = np.flatnonzero(visible.any(axis=1)), np.flatnonzero(visible.any(axis=0))
    return DrawnObject(
        name=shape.name,
        box=(int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1),
        area=shape.visible_pixels,
        visible=shape.visible_pixels / shape.pixels,
        truncated=shape.truncated,
    )


def _typical_hue(name: str) -> float:
    """In degrees; the hues of the classes are spaced equally."""
    return 360 * CLASS_NAMES.index(name) / len(CLASS_NAMES)
