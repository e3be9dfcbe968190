"""How the pictures of the built-in data set are painted: background, shapes, shadows, camera.

Colours are BGR, float32, 0 ... 255.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

# Pixels around an object for its shadow.
MARGIN = 8
# Euclidean distance in BGR between a fill and the ground, so that the silhouette is visible.
MIN_CONTRAST = 95.0
# Standard deviation of the hues of a class, in degrees; the classes are 51 degrees apart.
HUE_SPREAD = 12.0


def _noise(rng: np.random.Generator, size: tuple[int, int], cell: float) -> Floats:
    """[h, w], about -1 ... 1, smooth over ``cell`` pixels."""
    rows, columns = (int(extent / cell) + 2 for extent in size)
    grid = rng.uniform(-1, 1, (rows, columns)).astype(np.float32)
    # Enlarged as a whole, then cropped: so the cells are square for every shape of the window.
    whole = (round(columns * cell), round(rows * cell))
    field = np.asarray(cv2.resize(grid, whole, interpolation=cv2.INTER_CUBIC), np.float32)
    y, x = (int(rng.integers(f - s + 1)) for f, s in zip(field.shape, size, strict=True))
    return field[y : y + size[0], x : x + size[1]]


def _ramp(rng: np.random.Generator, size: tuple[int, int]) -> Floats:
    """[h, w]: the position along a random direction in pixels, 0 in the middle."""
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


def _colours(rng: np.random.Generator, count: int, hue: float | None = None) -> Floats:
    """[count, 3] BGR, 0 ... 255, of all hues and greys, dark and bright; or of about ``hue``."""
    hsv = rng.uniform((0, 0, 40), (360, 1, 245), (1, count, 3)).astype(np.float32)
    if hue is not None:
        hsv[..., 0] = rng.normal(hue, HUE_SPREAD, (1, count)) % 360
        hsv[..., 1:] = rng.uniform((0.4, 90), (1, 245), (1, count, 2))
    return cv2.cvtColor(hsv, cv2.COLOR_HSV2BGR)[0]


def _tint(rng: np.random.Generator, strength: float) -> Floats:
    """[3]: what a texture adds to B, G and R at its maximum; mainly brightness."""
    return ((rng.uniform(0.5, 1) + rng.uniform(-0.5, 0.5, 3)) * strength).astype(np.float32)


def background(rng: np.random.Generator, size: tuple[int, int]) -> Floats:
    """[H, W, 3] BGR, 0 ... 255: two grounds, noise of several scales, a gradient, stripes."""
    # Drawn at half the size: nothing here is finer than a few pixels, and it is 4 times as fast.
    half = (size[0] + 1) // 2, (size[1] + 1) // 2
    side = max(half)
    textures = [_noise(rng, half, side * cell) for cell in (0.3, 0.08, 0.025)]
    textures += [_gradient(rng, half), _stripes(rng, half, side * rng.uniform(0.03, 0.15))]
    tints = [_tint(rng, strength * rng.uniform(0.2, 1)) for strength in (28, 28, 28, 40)]
    tints.append(_tint(rng, rng.choice((0.0, 18.0))))
    near, far = _colours(rng, 2)
    # Half of the images have a second ground in soft patches, of a colour near the first one.
    border = _noise(rng, half, side * rng.uniform(0.2, 0.6)) * np.float32(rng.uniform(2, 12))
    textures.append(np.clip(border, -1, 1))
    tints.append((far - near) * np.float32(rng.uniform(0.05, 0.25) * rng.integers(2)))
    canvas = np.stack(textures, axis=-1) @ np.stack(tints) + near
    canvas = cv2.resize(np.clip(canvas, 0, 255), size[::-1], interpolation=cv2.INTER_LINEAR)
    for _ in range(rng.integers(0, 9)):
        _clutter(rng, canvas)
    return canvas


def _clutter(rng: np.random.Generator, canvas: Floats) -> None:
    """Something that is not an object: a thread, a long bar or a splinter."""
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
        # A splinter at least four times as long as it is wide resembles none of the classes.
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


def paint(rng: np.random.Generator, ground: Floats, mask: Floats, hue: float | None) -> None:
    """Paints a shape onto ``ground`` [h, w, 3] in place: shadow, fill and rim.

    ``mask``: [h, w] in [0, 1], the coverage of each pixel.  ``hue``: in degrees; None: any.
    """
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
    """[h, w, 3]: a textured colour that differs clearly from the ground under the mask."""
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
    """[3]: a colour far from 85 % of the ground under the mask, which may have several colours."""
    under = ground[mask > 0.5]
    under = under[:: max(1, len(under) // 64)]
    candidates = _colours(rng, 24, hue)
    distances = np.linalg.norm(candidates[:, None] - under[None], axis=-1)
    nearest = np.quantile(distances, 0.15, axis=1)
    distinct = np.flatnonzero(nearest >= MIN_CONTRAST)
    return candidates[distinct[0] if len(distinct) else nearest.argmax()]


def photograph(rng: np.random.Generator, canvas: Floats) -> NDArray[np.uint8]:
    """uint8, with a lens's blur and a film's grain: edges as in photographs, not as in drawings."""
    if rng.random() < 0.5:
        canvas = np.asarray(cv2.GaussianBlur(canvas, (0, 0), rng.uniform(0.4, 1.0)), np.float32)
    height, width = canvas.shape[:2]
    # Bytes are by far the fastest random numbers; uniform grain looks the same as normal grain.
    noise = np.frombuffer(rng.bytes(height * width), np.int8).reshape(height, width)
    grain = cv2.merge([noise * np.float32(rng.uniform(2, 14) / 128)] * 3)
    return np.asarray(cv2.add(canvas, grain, dtype=cv2.CV_8U), np.uint8)
