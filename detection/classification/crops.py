"""The crops of an image that a classifier gets: random in training, fixed views in testing.

He et al. 2015, sections 3.4 (ImageNet) and 4.2 (CIFAR-10).  All images are uint8 [H, W, 3], BGR.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]

# The principal components of ImageNet's pixels in [0, 1] (Krizhevsky et al. 2012, section 4.1; the
# numbers are from facebook/fb.resnet.torch, there in the order R, G, B, here in B, G, R).
COLOUR_VALUES = np.array([0.2175, 0.0188, 0.0045])
COLOUR_VECTORS = np.array(
    [[-0.5836, -0.6948, 0.4203], [-0.5808, -0.0045, -0.8140], [-0.5675, 0.7192, 0.4009]]
)


class RandomCrop(Protocol):
    """A crop and augmentation for training; it depends on the image and ``random`` alone."""

    @property
    def side(self) -> int: ...

    def __call__(self, image: Image, random: np.random.Generator) -> Image: ...


class Views(Protocol):
    """The views that an image is tested in: arrays [V, h, w, 3]; the scores are averaged."""

    def __call__(self, image: Image) -> list[Image]: ...


@dataclass(frozen=True, kw_only=True)
class ScaleCrop:
    """ImageNet: a random scale, crop, horizontal flip and shift of the colours.

    ``side``: of the crop in pixels.
    ``shorter_sides``: (lowest, highest); the image's shorter side is sampled between, inclusively.
    ``flip_probability``: in [0, 1].
    ``colour_std``: standard deviation of the factors of the principal components that are added to
    the pixels; 0: none.
    """

    side: int
    shorter_sides: tuple[int, int]
    flip_probability: float
    colour_std: float

    def __post_init__(self) -> None:
        low, high = self.shorter_sides
        if not self.side <= low <= high:
            raise ValueError(
                f"a crop of {self.side} pixels needs shorter sides of at least that, in ascending "
                f"order, got {list(self.shorter_sides)}: set data.crop.shorter_sides"
            )

    def __call__(self, image: Image, random: np.random.Generator) -> Image:
        low, high = self.shorter_sides
        image = scale_shorter(image, int(random.integers(low, high + 1)))
        top, left = (int(random.integers(size - self.side + 1)) for size in image.shape[:2])
        crop = image[top : top + self.side, left : left + self.side]
        if random.random() < self.flip_probability:
            crop = crop[:, ::-1]
        if self.colour_std:
            shift = 255 * COLOUR_VECTORS @ (COLOUR_VALUES * random.normal(0, self.colour_std, 3))
            # rint, because truncation would darken the image by half a level on average.
            crop = np.clip(np.rint(crop + shift), 0, 255).astype(np.uint8)
        return np.ascontiguousarray(crop)


@dataclass(frozen=True, kw_only=True)
class PaddedCrop:
    """CIFAR: a random crop of the padded image, and a random horizontal flip.

    ``side``: of the crop in pixels.  ``padding``: pixels on each side of the image.
    ``flip_probability``: in [0, 1].
    ``fill``: the colour (BGR) of the padding: the mean, which is about zero after normalisation.
    """

    side: int
    padding: int
    flip_probability: float
    fill: Sequence[int]

    def __call__(self, image: Image, random: np.random.Generator) -> Image:
        height, width = image.shape[:2]
        room = (height + 2 * self.padding - self.side, width + 2 * self.padding - self.side)
        if min(room) < 0:
            raise ValueError(
                f"an image of {width}x{height} with {self.padding} pixels around it is too small "
                f"for crops of {self.side}: set data.crop.side or data.crop.padding"
            )
        # The rows and columns of the image inside the crop; the rest of the crop is padding.
        top, left = (int(random.integers(r + 1)) - self.padding for r in room)
        rows = slice(max(top, 0), min(top + self.side, height))
        columns = slice(max(left, 0), min(left + self.side, width))
        crop = np.empty((self.side, self.side, 3), dtype=np.uint8)
        crop[:] = self.fill
        inside = (
            slice(rows.start - top, rows.stop - top),
            slice(columns.start - left, columns.stop - left),
        )
        crop[inside] = image[rows, columns]
        return crop[:, ::-1] if random.random() < self.flip_probability else crop


@dataclass(frozen=True, kw_only=True)
class CentreCrop:
    """One view: the shorter side is scaled to ``shorter_side``, then the centre is cropped."""

    side: int
    shorter_side: int

    def __call__(self, image: Image) -> list[Image]:
        image = scale_shorter(image, self.shorter_side)
        top, left = ((size - self.side) // 2 for size in image.shape[:2])
        return [_cut(image, top, left, self.side)[None]]


@dataclass(frozen=True, kw_only=True)
class TenCrop:
    """Standard 10-crop testing (Krizhevsky et al. 2012): corners and centre, also flipped."""

    side: int
    shorter_side: int

    def __call__(self, image: Image) -> list[Image]:
        image = scale_shorter(image, self.shorter_side)
        bottom, right = (size - self.side for size in image.shape[:2])
        positions = [(0, 0), (0, right), (bottom, 0), (bottom, right), (bottom // 2, right // 2)]
        crops = np.stack([_cut(image, top, left, self.side) for top, left in positions])
        return [np.concatenate([crops, crops[:, :, ::-1]])]


@dataclass(frozen=True, kw_only=True)
class FullyConvolutionalViews:
    """Fully convolutional testing: the whole image, and flipped, at each of ``shorter_sides``.

    In the paper these are 224, 256, 384, 480 and 640 pixels.
    """

    shorter_sides: Sequence[int]

    def __call__(self, image: Image) -> list[Image]:
        scaled = [scale_shorter(image, side) for side in self.shorter_sides]
        return [np.stack([whole, whole[:, ::-1]]) for whole in scaled]


def scale_shorter(image: Image, shorter: int) -> Image:
    """Scales the shorter side to ``shorter`` pixels, keeping the aspect ratio."""
    height, width = image.shape[:2]
    scale = shorter / min(height, width)
    if scale == 1:
        return image
    size = (max(shorter, round(width * scale)), max(shorter, round(height * scale)))
    # INTER_AREA averages all source pixels of a pixel: no aliasing when an image shrinks.
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(image, size, interpolation=method), dtype=np.uint8)


def _cut(image: Image, top: int, left: int, side: int) -> Image:
    if top < 0 or left < 0:
        raise ValueError(
            f"a crop of {side} does not fit into an image scaled to {image.shape[1]}x"
            f"{image.shape[0]}: the shorter side must not be less than the crop"
        )
    return image[top : top + side, left : left + side]
