"""The built-in data set ``shapes``: drawn scenes with seven classes of objects, in two formats.

For demonstrations and tests that must not download anything.  Textures, sizes, proportions and
rotations are drawn alike for all classes, on textured and cluttered backgrounds, with objects that
overlap and leave the image.  What names the class is the silhouette and, as with things in
photographs, a typical colour, which ``typical_colours`` = 0 takes away: a much harder data set.

On disk, under one root::

    annotations/instances_<split>.json    COCO; category ids with gaps, as in COCO itself
    <split>/<split>_<index>.jpg           the images
    VOC/JPEGImages/                       the same files, linked
    VOC/Annotations/<split>_<index>.xml   VOC; 1-based inclusive integers
    VOC/ImageSets/Main/<split>.txt
    shapes.json                           the parameters, by which the same data is recognised

Every box has whole-numbered edges, so that both formats hold exactly the same boxes.
"""

from __future__ import annotations

import json
import logging
import os
import re
import shutil
import tempfile
import xml.etree.ElementTree as ET
import zlib
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from detection import boxes as box_ops

logger = logging.getLogger(__name__)

Floats = NDArray[np.float32]

# The gaps are deliberate: code that takes a category id for a class index fails on this data.
CATEGORY_IDS = {
    "circle": 1,
    "cross": 2,
    "moon": 4,
    "ring": 7,
    "square": 8,
    "star": 11,
    "triangle": 13,
}
CLASS_NAMES = tuple(CATEGORY_IDS)

# Stored beside the parameters; to be raised by whoever changes what the same seed draws.
VERSION = 4

# Standard deviation of an object's hue about its class's, in degrees; the classes' are 51 apart.
HUE_SPREAD = 12.0

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
# Euclidean distance in BGR between a fill and what it is painted on: the silhouette stays clear.
MIN_CONTRAST = 95.0
# Masks are drawn this much larger and averaged down: true coverage, to a fraction of a pixel.
SUPERSAMPLING = 4
# Room around an object's window for its shadow.
MARGIN = 8
JPEG_QUALITY = 92


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

    ``box``: (x1, y1, x2, y2) as :mod:`detection.boxes` has it, whole numbers, tight around the
    full shape (hidden parts included) and clipped to the image.  ``area``: square pixels of the
    full shape inside the image.  ``visible``: the fraction of the full shape that can be seen.
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


def generate(
    *,
    root: Path,
    splits: dict[str, int],
    seed: int,
    image_side: int = 320,
    max_objects: int = 6,
    empty_fraction: float = 0.05,
    typical_colours: float = 1.0,
) -> Path:
    """Writes the data set under ``root`` in both formats; returns ``root``.

    ``splits``: number of images by split name, e.g. ``{"train": 1000, "val": 200}``.
    The others: see :class:`Recipe`.  Image ``i`` of a split is the same however many images are
    asked for.  Where ``root`` holds the data of the same parameters already, nothing is done.  The
    data appears all at once: an interrupted run leaves no half-written ``root``.

    Raises ValueError for values out of range, and where ``root`` holds anything else.
    """
    recipe = Recipe(
        seed=seed,
        image_side=image_side,
        max_objects=max_objects,
        empty_fraction=empty_fraction,
        typical_colours=typical_colours,
    )
    _check_splits(splits)
    root = Path(root)
    record = {"version": VERSION, "splits": dict(splits), **asdict(recipe)}
    if _holds(root, record):
        logger.info("%s holds these shapes already: nothing to generate", root)
        return root
    root.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=root.parent, prefix=f".{root.name}-") as staging:
        # A folder inside: the temporary one itself is readable by its owner only.
        data = Path(staging) / "data"
        for split, count in splits.items():
            _write_split(data, split, count, recipe)
        (data / "shapes.json").write_text(json.dumps(record, indent=2) + "\n")
        if root.exists():
            root.rmdir()
        data.rename(root)
    logger.info("generated %d images of shapes in %s", sum(splits.values()), root)
    return root


def draw_scene(*, recipe: Recipe, split: str, index: int) -> Scene:
    """Image ``index`` of ``split``: depends on these three arguments alone."""
    rng = np.random.default_rng([recipe.seed, zlib.crc32(split.encode()), index])
    size = _image_size(rng, recipe.image_side)
    canvas = _background(rng, size)
    placed: list[_Placed] = []
    if rng.random() >= recipe.empty_fraction:
        # Few objects are as frequent as many.
        count = int(rng.integers(1, recipe.max_objects + 1))
        placed = _place(rng, size, recipe.image_side, count)
    for item in placed:
        typical = rng.random() < recipe.typical_colours
        _paint(rng, canvas, item, _typical_hue(item.name) if typical else None)
    objects = [_describe(item, size) for item in placed]
    return Scene(image=_photograph(rng, canvas), objects=objects)


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
    corner is ``corner`` = (x, y).  ``bounds``: the shape's extent, not clipped.  ``full`` and
    ``seen``: its pixels in all and those that can be seen.
    """

    name: str
    mask: Floats
    corner: tuple[int, int]
    bounds: tuple[float, float, float, float]
    full: int
    seen: int

    @property
    def window(self) -> tuple[slice, slice]:
        (x, y), (height, width) = self.corner, self.mask.shape
        return slice(y, y + height), slice(x, x + width)


def _image_size(rng: np.random.Generator, image_side: int) -> tuple[int, int]:
    shorter = round(image_side * rng.uniform(MIN_ASPECT, 1))
    return (shorter, image_side) if rng.random() < 0.5 else (image_side, shorter)


def _place(
    rng: np.random.Generator, size: tuple[int, int], image_side: int, count: int
) -> list[_Placed]:
    """Up to ``count`` shapes, each over those before it; none hides too much of another."""
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
    return placed


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
    return _Placed(
        name=name,
        mask=clipped,
        corner=(max(x0, 0), max(y0, 0)),
        bounds=(*low.tolist(), *high.tolist()),
        full=int((mask > 0.5).sum()),
        seen=int((clipped > 0.5).sum()),
    )


def _describe(item: _Placed, size: tuple[int, int]) -> DrawnObject:
    height, width = size
    x1, y1, x2, y2 = (round(edge) for edge in item.bounds)
    clipped = (max(x1, 0), max(y1, 0), min(x2, width), min(y2, height))
    return DrawnObject(
        name=item.name,
        box=clipped,
        area=int((item.mask > 0.5).sum()),
        visible=item.seen / item.full,
        truncated=clipped != (x1, y1, x2, y2),
    )


# -- paint -----------------------------------------------------------------------------------------


def _noise(rng: np.random.Generator, size: tuple[int, int], cell: float) -> Floats:
    """[h, w], about -1 ... 1, smooth over ``cell`` pixels."""
    rows, columns = (int(extent / cell) + 2 for extent in size)
    grid = rng.uniform(-1, 1, (rows, columns)).astype(np.float32)
    # Enlarged as a whole and cut: the cells are square whatever the window's proportions.
    whole = (round(columns * cell), round(rows * cell))
    field = np.asarray(cv2.resize(grid, whole, interpolation=cv2.INTER_CUBIC), np.float32)
    y, x = (int(rng.integers(f - s + 1)) for f, s in zip(field.shape, size, strict=True))
    return field[y : y + size[0], x : x + size[1]]


def _ramp(rng: np.random.Generator, size: tuple[int, int]) -> Floats:
    """[h, w]: pixels along a random direction, 0 in the middle."""
    angle = rng.uniform(0, 2 * np.pi)
    x = np.arange(size[1], dtype=np.float32) - size[1] / 2
    y = np.arange(size[0], dtype=np.float32) - size[0] / 2
    return (x * np.cos(angle))[None, :] + (y * np.sin(angle))[:, None]


def _gradient(rng: np.random.Generator, size: tuple[int, int]) -> Floats:
    return _ramp(rng, size) * np.float32(2 / max(size))


def _stripes(rng: np.random.Generator, size: tuple[int, int], period: float) -> Floats:
    """Waves with crests of random sharpness."""
    wave = np.sin(_ramp(rng, size) * np.float32(2 * np.pi / period))
    return np.clip(wave * np.float32(rng.uniform(1, 4)), -1, 1)


def _typical_hue(name: str) -> float:
    """Degrees: the classes' hues are equally far apart."""
    return 360 * CLASS_NAMES.index(name) / len(CLASS_NAMES)


def _colours(rng: np.random.Generator, count: int, hue: float | None = None) -> Floats:
    """[count, 3] BGR, 0 ... 255: hues and greys, dark and bright; with ``hue``, around that one."""
    hsv = rng.uniform((0, 0, 40), (360, 1, 245), (1, count, 3)).astype(np.float32)
    if hue is not None:
        hsv[..., 0] = rng.normal(hue, HUE_SPREAD, (1, count)) % 360
        hsv[..., 1:] = rng.uniform((0.4, 90), (1, 245), (1, count, 2))
    return cv2.cvtColor(hsv, cv2.COLOR_HSV2BGR)[0]


def _tint(rng: np.random.Generator, strength: float) -> Floats:
    """[3]: what a texture adds to B, G and R at its maximum; chiefly brightness."""
    return ((rng.uniform(0.5, 1) + rng.uniform(-0.5, 0.5, 3)) * strength).astype(np.float32)


def _background(rng: np.random.Generator, size: tuple[int, int]) -> Floats:
    """[H, W, 3] BGR, 0 ... 255: two grounds, noise of several scales, a gradient, stripes."""
    # Drawn at half the size: nothing here is finer than a few pixels, and it takes a quarter.
    half = (size[0] + 1) // 2, (size[1] + 1) // 2
    side = max(half)
    textures = [_noise(rng, half, side * cell) for cell in (0.3, 0.08, 0.025)]
    textures += [_gradient(rng, half), _stripes(rng, half, side * rng.uniform(0.03, 0.15))]
    tints = [_tint(rng, strength * rng.uniform(0.2, 1)) for strength in (28, 28, 28, 40)]
    tints.append(_tint(rng, rng.choice((0.0, 18.0))))
    near, far = _colours(rng, 2)
    # Half of the images have a second ground, in soft patches; it is no more than half as far away.
    border = _noise(rng, half, side * rng.uniform(0.2, 0.6)) * np.float32(rng.uniform(2, 12))
    textures.append(np.clip(border, -1, 1))
    tints.append((far - near) * np.float32(rng.uniform(0.05, 0.25) * rng.integers(2)))
    canvas = np.stack(textures, axis=-1) @ np.stack(tints) + near
    canvas = cv2.resize(np.clip(canvas, 0, 255), size[::-1], interpolation=cv2.INTER_LINEAR)
    for _ in range(rng.integers(0, 9)):
        _clutter(rng, canvas)
    return canvas


def _clutter(rng: np.random.Generator, canvas: Floats) -> None:
    """Something that is no object: a thread, a long bar or a splinter."""
    height, width = canvas.shape[:2]
    side = max(height, width)
    colour = _colours(rng, 1)[0] * 0.6 + canvas[height // 2, width // 2] * 0.4
    start = rng.uniform((0, 0), (width, height))
    heading = rng.uniform(0, 2 * np.pi)
    kind = rng.integers(3)
    steps = 12 if kind == 0 else 1
    turns = np.cumsum(rng.normal(0, 0.35, steps)) + heading
    length = side * rng.uniform(0.15, 0.6) / steps
    path = start + np.cumsum(np.stack((np.cos(turns), np.sin(turns)), axis=1) * length, axis=0)
    points = np.concatenate((start[None], path))
    if kind == 2:
        # A splinter at least four times as long as wide resembles none of the classes.
        across = np.array((-np.sin(heading), np.cos(heading))) * length * rng.uniform(0.03, 0.12)
        points = np.stack(
            (points[0], points[0] + (points[1] - points[0]) * 0.6 + across, points[1])
        )
        cv2.fillPoly(canvas, [_fixed(points)], colour.tolist(), cv2.LINE_AA, 4)
        return
    thickness = (
        int(rng.integers(1, 3)) if kind == 0 else max(1, round(side * rng.uniform(0.006, 0.02)))
    )
    cv2.polylines(canvas, [_fixed(points)], False, colour.tolist(), thickness, cv2.LINE_AA, 4)


def _fixed(points: NDArray[np.float64]) -> NDArray[np.int32]:
    """cv2's fixed-point coordinates with four fractional bits."""
    return np.round((points - 0.5) * 16).astype(np.int32)


def _paint(rng: np.random.Generator, canvas: Floats, item: _Placed, hue: float | None) -> None:
    """Paints the shape on ``canvas`` in place: shadow, fill and rim.  ``hue``: None for any."""
    ground = canvas[item.window]
    mask = item.mask
    if rng.random() < 0.5:
        _cast_shadow(rng, ground, mask)
    fill = _fill(rng, ground, mask, hue)
    if rng.random() < 0.5:
        rim = mask - cv2.erode(mask, np.ones((3, 3), np.uint8), iterations=int(rng.integers(1, 3)))
        fill *= 1 - rim[..., None] * np.float32(rng.uniform(0.2, 0.6))
    ground += (fill - ground) * mask[..., None]


def _cast_shadow(rng: np.random.Generator, ground: Floats, mask: Floats) -> None:
    reach = MARGIN / 2
    dx, dy = rng.uniform(-reach, reach, 2)
    shift = np.array([(1, 0, dx), (0, 1, dy)])
    moved = cv2.warpAffine(mask, shift, mask.shape[::-1])
    soft = cv2.GaussianBlur(moved, (0, 0), float(rng.uniform(1, reach / 2)))
    ground *= 1 - soft[..., None] * np.float32(rng.uniform(0.2, 0.5))


def _fill(rng: np.random.Generator, ground: Floats, mask: Floats, hue: float | None) -> Floats:
    """[h, w, 3]: a colour that stands out from the ground under the mask, textured."""
    size = mask.shape[0], mask.shape[1]
    textures, tints = [_gradient(rng, size)], [_tint(rng, 35)]
    kind = rng.integers(4)  # 0: none
    if kind == 1:
        textures.append(_stripes(rng, size, rng.uniform(5, 16)))
    elif kind == 2:
        textures.append(_stripes(rng, size, rng.uniform(6, 12)))
        textures[-1] *= _stripes(rng, size, rng.uniform(6, 12))
    elif kind == 3:
        textures.append(_noise(rng, size, rng.uniform(3, 12)))
    tints += [_tint(rng, 28)] * (len(textures) - 1)
    colour = _distinct_colour(rng, ground, mask, hue)
    fill = np.stack(textures, axis=-1) @ np.stack(tints) + colour
    return np.clip(fill, 0, 255)


def _distinct_colour(
    rng: np.random.Generator, ground: Floats, mask: Floats, hue: float | None
) -> Floats:
    """[3]: far from nearly all of the ground under the mask, which may have several colours."""
    under = ground[mask > 0.5]
    under = under[:: max(1, len(under) // 64)]
    candidates = _colours(rng, 24, hue)
    distances = np.linalg.norm(candidates[:, None] - under[None], axis=-1)
    nearest = np.quantile(distances, 0.15, axis=1)
    distinct = np.flatnonzero(nearest >= MIN_CONTRAST)
    return candidates[distinct[0] if len(distinct) else nearest.argmax()]


def _photograph(rng: np.random.Generator, canvas: Floats) -> NDArray[np.uint8]:
    """Blur of the lens and grain of the film: edges are not those of a drawing."""
    if rng.random() < 0.5:
        canvas = np.asarray(cv2.GaussianBlur(canvas, (0, 0), rng.uniform(0.4, 1.0)), np.float32)
    height, width = canvas.shape[:2]
    # Bytes are by far the cheapest random numbers; uniform grain looks no different from normal.
    noise = np.frombuffer(rng.bytes(height * width), np.int8).reshape(height, width)
    grain = cv2.merge([noise * np.float32(rng.uniform(2, 14) / 128)] * 3)
    return np.asarray(cv2.add(canvas, grain, dtype=cv2.CV_8U), np.uint8)


# -- files -----------------------------------------------------------------------------------------


def _check_splits(splits: dict[str, int]) -> None:
    if not splits:
        raise ValueError('splits is empty: give at least one, e.g. {"train": 1000, "val": 200}')
    for split, count in splits.items():
        if not re.fullmatch(r"[A-Za-z0-9_-]+", split) or split in ("annotations", "VOC"):
            raise ValueError(
                f"split {split!r} cannot name a folder: use letters, digits, '-' and '_', "
                "and neither 'annotations' nor 'VOC'"
            )
        if count < 1:
            raise ValueError(f"split {split!r} must have at least 1 image, got {count}")


def _holds(root: Path, record: dict[str, Any]) -> bool:
    """Whether the data described by ``record`` is there; raises where something else is."""
    remedy = "remove it, or choose another root"
    if root.exists() and not root.is_dir():
        raise ValueError(f"{root} is a file, root must be a folder: {remedy}")
    if not root.exists() or not any(root.iterdir()):
        return False
    path = root / "shapes.json"
    if not path.is_file():
        raise ValueError(f"{root} is not empty and holds no generated shapes: {remedy}")
    try:
        found = json.loads(path.read_text())
    except json.JSONDecodeError as error:
        raise ValueError(f"{path} is not valid JSON ({error}): {remedy}") from error
    if found == record:
        return True
    if not isinstance(found, dict):
        raise ValueError(f"{path} does not describe generated shapes: {remedy}")
    keys = [key for key in record if found.get(key) != record[key]]
    differences = ", ".join(f"{k}: {found.get(k)!r} instead of {record[k]!r}" for k in keys)
    raise ValueError(f"{root} holds other shapes ({differences}): {remedy}")


def _write_split(root: Path, split: str, count: int, recipe: Recipe) -> None:
    voc = root / "VOC"
    for folder in (root / split, root / "annotations", voc / "JPEGImages", voc / "Annotations"):
        folder.mkdir(parents=True, exist_ok=True)
    names, coco = [], _empty_coco()
    for index in tqdm(range(count), desc=f"shapes {split}", unit="image", disable=None):
        scene = draw_scene(recipe=recipe, split=split, index=index)
        name = f"{split}_{index:06d}"
        _write_jpeg(root / split / f"{name}.jpg", scene.image)
        _link(root / split / f"{name}.jpg", voc / "JPEGImages" / f"{name}.jpg")
        _append_coco(coco, scene, index + 1, f"{name}.jpg")
        _write_voc(voc / "Annotations" / f"{name}.xml", scene, f"{name}.jpg")
        names.append(name)
    (root / "annotations" / f"instances_{split}.json").write_text(json.dumps(coco))
    lists = voc / "ImageSets" / "Main"
    lists.mkdir(parents=True, exist_ok=True)
    (lists / f"{split}.txt").write_text("".join(f"{name}\n" for name in names))


def _write_jpeg(path: Path, image: NDArray[np.uint8]) -> None:
    encoded, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    assert encoded
    path.write_bytes(data.tobytes())


def _link(source: Path, target: Path) -> None:
    """One file under two names; where the file system has no links, a copy."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def _empty_coco() -> dict[str, Any]:
    categories = [
        {"id": number, "name": name, "supercategory": "shape"}
        for name, number in CATEGORY_IDS.items()
    ]
    return {"images": [], "annotations": [], "categories": categories}


def _append_coco(coco: dict[str, Any], scene: Scene, image_id: int, file_name: str) -> None:
    height, width = scene.image.shape[:2]
    coco["images"].append(
        {"id": image_id, "file_name": file_name, "width": width, "height": height}
    )
    for item in scene.objects:
        box = box_ops.to_coco(np.array(item.box, np.float32))
        coco["annotations"].append(
            {
                "id": len(coco["annotations"]) + 1,
                "image_id": image_id,
                "category_id": CATEGORY_IDS[item.name],
                "bbox": box.astype(int).tolist(),
                "area": item.area,
                "iscrowd": 0,
                "difficult": int(item.difficult),
            }
        )


def _write_voc(path: Path, scene: Scene, file_name: str) -> None:
    height, width, depth = scene.image.shape
    annotation = ET.Element("annotation")
    _add(annotation, folder="VOC", filename=file_name)
    _add(ET.SubElement(annotation, "size"), width=width, height=height, depth=depth)
    _add(annotation, segmented=0)
    for item in scene.objects:
        element = ET.SubElement(annotation, "object")
        flags = {"truncated": int(item.truncated), "difficult": int(item.difficult)}
        _add(element, name=item.name, pose="Unspecified", **flags)
        corners = box_ops.to_voc(np.array(item.box, np.float32)).astype(int).tolist()
        names = ("xmin", "ymin", "xmax", "ymax")
        _add(ET.SubElement(element, "bndbox"), **dict(zip(names, corners, strict=True)))
    ET.indent(annotation)
    path.write_text(ET.tostring(annotation, encoding="unicode") + "\n")


def _add(parent: ET.Element, **texts: object) -> None:
    for tag, text in texts.items():
        ET.SubElement(parent, tag).text = str(text)
