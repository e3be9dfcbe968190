"""Which part of an image a classifier sees: random crops in training, fixed views in testing.

He et al. 2015, sections 3.4 (ImageNet) and 4.2 (CIFAR-10).  All take uint8 [H, W, 3], BGR.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]

# The principal components of ImageNet's RGB values in 0 ... 1 (Krizhevsky et al. 2012, section 4.1;
# the numbers of facebook/fb.resnet.torch, there in the order R, G, B; here B, G, R).
COLOUR_VALUES = np.array([0.2175, 0.0188, 0.0045])
COLOUR_VECTORS = np.array(
    [[-0.5836, -0.6948, 0.4203], [-0.5808, -0.0045, -0.8140], [-0.5675, 0.7192, 0.4009]]
)


class RandomCrop(Protocol):
    """An augmentation: the crop depends on nothing but the image and ``random``."""

    @property
    def side(self) -> int: ...

    def __call__(self, image: Image, random: np.random.Generator) -> Image: ...


class Views(Protocol):
    """What of an image is tested: [V, h, w, 3] arrays, over all of which scores are averaged."""

    def __call__(self, image: Image) -> list[Image]: ...


@dataclass(frozen=True, kw_only=True)
class ScaleCrop:
    """ImageNet: a crop of ``side``, its image scaled and perhaps mirrored, colours changed.

    ``shorter_sides``: the range, ends included, that the shorter side is drawn from.
    ``colour_std``: of the multiples of the principal components that are added; 0: none.
    """

    side: int
    shorter_sides: tuple[int, int]
    flip_probability: float
    colour_std: float

    def __post_init__(self) -> None:
        low, high = self.shorter_sides
        if not self.side <= low <= high:
            raise ValueError(
                f"a crop of {self.side} pixels needs shorter sides from there on, got "
                f"{list(self.shorter_sides)}"
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
            # rint: cutting off would darken by half a level on average.
            crop = np.clip(np.rint(crop + shift), 0, 255).astype(np.uint8)
        return np.ascontiguousarray(crop)


@dataclass(frozen=True, kw_only=True)
class PaddedCrop:
    """CIFAR: ``padding`` pixels on each side, and a crop of ``side`` of it or of its mirror image.

    ``fill``: the colour (BGR) that is padded with: the mean, so that it is close to zero once the
    mean has been subtracted.
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
        # The part of the crop that is image, in its own and in the image's rows and columns.
        top, left = (int(random.integers(r + 1)) - self.padding for r in room)
        rows = slice(max(top, 0), min(top + self.side, height))
        columns = slice(max(left, 0), min(left + self.side, width))
        crop = np.empty((self.side, self.side, 3), dtype=np.uint8)
        crop[:] = self.fill
        part = image[rows, columns]
        crop[rows.start - top : rows.stop - top, columns.start - left : columns.stop - left] = part
        return crop[:, ::-1] if random.random() < self.flip_probability else crop


@dataclass(frozen=True, kw_only=True)
class CentreCrop:
    """One view: the shorter side scaled, ``side`` pixels cut out of the middle."""

    side: int
    shorter_side: int

    def __call__(self, image: Image) -> list[Image]:
        image = scale_shorter(image, self.shorter_side)
        top, left = ((size - self.side) // 2 for size in image.shape[:2])
        return [_cut(image, top, left, self.side)[None]]


@dataclass(frozen=True, kw_only=True)
class TenCrop:
    """Standard 10-crop testing (Krizhevsky et al. 2012): corners, centre, and their mirrors."""

    side: int
    shorter_side: int

    def __call__(self, image: Image) -> list[Image]:
        image = scale_shorter(image, self.shorter_side)
        bottom, right = (size - self.side for size in image.shape[:2])
        places = [(0, 0), (0, right), (bottom, 0), (bottom, right), (bottom // 2, right // 2)]
        crops = np.stack([_cut(image, top, left, self.side) for top, left in places])
        return [np.concatenate([crops, crops[:, :, ::-1]])]


@dataclass(frozen=True, kw_only=True)
class MultiScale:
    """Fully convolutional testing: the whole image at each of ``shorter_sides``, and its mirror.

    In the paper 224, 256, 384, 480 and 640; the scores of all scales are averaged.
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
    # INTER_AREA averages what falls into a pixel: no moire where images shrink.
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(image, size, interpolation=method), dtype=np.uint8)


def _cut(image: Image, top: int, left: int, side: int) -> Image:
    if top < 0 or left < 0:
        raise ValueError(
            f"a crop of {side} does not fit into an image scaled to {image.shape[1]}x"
            f"{image.shape[0]}: the shorter side must not be less than the crop"
        )
    return image[top : top + side, left : left + side]
