"""Transforms of an image and its boxes together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from detection import boxes as box_ops
from detection.data.colour_jitter import ColourJitter, recoloured
from detection.data.random_crop import RandomCrop, Region, only_within
from detection.structures import Target


@dataclass(frozen=True, kw_only=True)
class Resize:
    """Scales an image so that its shorter side has a given length (He et al. 2015, appendix A).

    ``shorter_sides``: in pixels; of several, training samples one for each image, or for each
    mini-batch (scale jitter).
    ``longest``: the upper limit of the longer side, in pixels, which the shorter side yields to.
    """

    shorter_sides: Sequence[int]
    longest: int

    def size(self, size: tuple[int, int], shorter: int) -> tuple[int, int]:
        """The (height, width) that an image of ``size`` is scaled to."""
        scale = min(shorter / min(size), self.longest / max(size))
        return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))

    def __call__(self, image: NDArray[np.uint8], shorter: int) -> NDArray[np.uint8]:
        """uint8 [H, W, 3] -> uint8 [H', W', 3], bilinear."""
        return resized(image, self.size(image.shape[:2], shorter))


def _in_steps(side: int, step: int, longest: int) -> int:
    """The nearest multiple of ``step`` up to ``longest``."""
    return step * max(1, min(round(side / step), longest // step))


def resized(image: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """uint8 [H, W, 3] -> uint8 of ``size``, height and width, bilinear."""
    height, width = size
    return np.asarray(
        cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR), dtype=np.uint8
    )


@dataclass(frozen=True)
class Drawn:
    """What chance has decided for an image.

    ``shorter``: its shorter side, in pixels.  ``region``: of the stored image; None: all of it.
    ``colours``: the factors of brightness, contrast and saturation; None: they stay.
    """

    shorter: int
    flipped: bool
    region: Region | None
    colours: tuple[float, float, float] | None


@dataclass(frozen=True, kw_only=True)
class Augmentation:
    """The augmentation of a training image: a scale of ``resize``, a flip, a crop, other colours.

    ``flip_probability``: the probability of a horizontal flip, in [0, 1].
    ``crop``, ``colour``: None: all of each image, and its own colours.
    ``size_step``: heights and widths are multiples of so many pixels; None: they are exact.
    """

    resize: Resize
    flip_probability: float
    crop: RandomCrop | None = None
    colour: ColourJitter | None = None
    size_step: int | None = None

    def size(self, size: tuple[int, int], shorter: int) -> tuple[int, int]:
        """The (height, width) that an image of ``size`` is scaled to."""
        height, width = self.resize.size(size, shorter)
        if self.size_step is None:
            return height, width
        step, longest = self.size_step, self.resize.longest
        return _in_steps(height, step, longest), _in_steps(width, step, longest)

    def draw(
        self,
        size: tuple[int, int],
        target: Target,
        random: np.random.Generator,
        shorter: int | None = None,
    ) -> Drawn:
        """For an image of ``size``, height and width, with ``target`` in its pixels.

        ``shorter``: the shorter side, where its mini-batch has one; None: it is drawn here.
        """
        if shorter is None:
            shorter = int(random.choice(self.resize.shorter_sides))
        flipped = bool(random.random() < self.flip_probability)
        region = self.crop.draw(size, target, random) if self.crop else None
        return Drawn(shorter, flipped, region, self.colour.draw(random) if self.colour else None)

    def __call__(
        self,
        image: NDArray[np.uint8],
        target: Target,
        random: np.random.Generator,
        shorter: int | None = None,
    ) -> tuple[NDArray[np.uint8], Target]:
        """The new image and target; a target is in pixels of its image.

        A part takes the place of the whole image: its size is that which the whole would have.
        """
        drawn = self.draw(image.shape[:2], target, random, shorter)
        size = self.size(image.shape[:2], drawn.shorter)
        if drawn.region is not None:
            x1, y1, x2, y2 = drawn.region
            image, target = image[y1:y2, x1:x2], only_within(target, drawn.region)
        before = image.shape[:2]
        image = resized(image, size)
        if drawn.flipped:
            image = np.ascontiguousarray(image[:, ::-1])
        if drawn.colours is not None:
            image = recoloured(image, *drawn.colours)

        def move(boxes: torch.Tensor) -> torch.Tensor:
            boxes = box_ops.rescale(boxes, before, size)
            return box_ops.flip(boxes, size[1]) if drawn.flipped else boxes

        proposals = None if target.proposals is None else move(target.proposals)
        return image, replace(target, boxes=move(target.boxes), proposals=proposals)


def to_batch_pixels(images: Sequence[NDArray[np.uint8]]) -> torch.Tensor:
    """Images uint8 [H, W, 3] -> uint8 [N, max H, max W, 3]; zeros at the right and bottom."""
    height = max(image.shape[0] for image in images)
    width = max(image.shape[1] for image in images)
    pixels = torch.zeros((len(images), height, width, 3), dtype=torch.uint8)
    for padded, image in zip(pixels, images, strict=True):
        padded[: image.shape[0], : image.shape[1]] = torch.from_numpy(image)
    return pixels
