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

from detection.classification.place import Place

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

    def places(self, size: tuple[int, int]) -> list[Place]:
        """Where all views of an image of ``size`` = (height, width) lie in it, in their order."""


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
        return self.with_place(image, random)[0]

    def with_place(self, image: Image, random: np.random.Generator) -> tuple[Image, Place]:
        """The crop, and where it lies in ``image``."""
        low, high = self.shorter_sides
        original = size_of(image)
        image = scale_shorter(image, int(random.integers(low, high + 1)))
        top, left = (int(random.integers(size - self.side + 1)) for size in image.shape[:2])
        crop = image[top : top + self.side, left : left + self.side]
        flipped = bool(random.random() < self.flip_probability)
        if flipped:
            crop = crop[:, ::-1]
        place = Place(original, size_of(image), (top, left), (self.side, self.side), flipped)
        if self.colour_std:
            shift = 255 * COLOUR_VECTORS @ (COLOUR_VALUES * random.normal(0, self.colour_std, 3))
            # rint, because truncation would darken the image by half a level on average.
            crop = np.clip(np.rint(crop + shift), 0, 255).astype(np.uint8)
        return np.ascontiguousarray(crop), place


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

    def places(self, size: tuple[int, int]) -> list[Place]:
        scaled = scaled_size(size, self.shorter_side)
        corner = ((scaled[0] - self.side) // 2, (scaled[1] - self.side) // 2)
        return [Place(size, scaled, corner, (self.side, self.side), flipped=False)]


@dataclass(frozen=True, kw_only=True)
class TenCrop:
    """Standard 10-crop testing (Krizhevsky et al. 2012): corners and centre, also flipped."""

    side: int
    shorter_side: int

    def __call__(self, image: Image) -> list[Image]:
        image = scale_shorter(image, self.shorter_side)
        corners = self._corners(size_of(image))
        crops = np.stack([_cut(image, top, left, self.side) for top, left in corners])
        return [np.concatenate([crops, crops[:, :, ::-1]])]

    def places(self, size: tuple[int, int]) -> list[Place]:
        scaled, side = scaled_size(size, self.shorter_side), (self.side, self.side)
        return [
            Place(size, scaled, corner, side, flipped)
            for flipped in (False, True)
            for corner in self._corners(scaled)
        ]

    def _corners(self, size: tuple[int, int]) -> list[tuple[int, int]]:
        bottom, right = size[0] - self.side, size[1] - self.side
        return [(0, 0), (0, right), (bottom, 0), (bottom, right), (bottom // 2, right // 2)]


@dataclass(frozen=True, kw_only=True)
class FullyConvolutionalViews:
    """Fully convolutional testing: the whole image, and flipped, at each of ``shorter_sides``.

    In the paper these are 224, 256, 384, 480 and 640 pixels.
    """

    shorter_sides: Sequence[int]

    def __call__(self, image: Image) -> list[Image]:
        scaled = [scale_shorter(image, side) for side in self.shorter_sides]
        return [np.stack([whole, whole[:, ::-1]]) for whole in scaled]

    def places(self, size: tuple[int, int]) -> list[Place]:
        scaled = [scaled_size(size, side) for side in self.shorter_sides]
        return [Place(size, s, (0, 0), s, flipped) for s in scaled for flipped in (False, True)]


def scale_shorter(image: Image, shorter: int) -> Image:
    """Scales the shorter side to ``shorter`` pixels, keeping the aspect ratio."""
    if shorter == min(image.shape[:2]):
        return image
    height, width = scaled_size(size_of(image), shorter)
    # INTER_AREA averages all source pixels of a pixel: no aliasing when an image shrinks.
    method = cv2.INTER_AREA if shorter < min(image.shape[:2]) else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(image, (width, height), interpolation=method), dtype=np.uint8)


def scaled_size(size: tuple[int, int], shorter: int) -> tuple[int, int]:
    """(height, width) -> that of :func:`scale_shorter`'s image."""
    scale = shorter / min(size)
    return max(shorter, round(size[0] * scale)), max(shorter, round(size[1] * scale))


def size_of(image: Image) -> tuple[int, int]:
    """(height, width)."""
    return image.shape[0], image.shape[1]


def _cut(image: Image, top: int, left: int, side: int) -> Image:
    if top < 0 or left < 0:
        raise ValueError(
            f"a crop of {side} does not fit into an image scaled to {image.shape[1]}x"
            f"{image.shape[0]}: the shorter side must not be less than the crop"
        )
    return image[top : top + side, left : left + side]
