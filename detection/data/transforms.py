"""Transforms of an image and its boxes together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from detection import boxes as box_ops
from detection.structures import Target


@dataclass(frozen=True, kw_only=True)
class Resize:
    """Scales an image so that its shorter side has a given length (He et al. 2015, appendix A).

    ``shorter_sides``: in pixels; of several, training samples one per image (scale jitter).
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
        height, width = self.size(image.shape[:2], shorter)
        return np.asarray(
            cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR), dtype=np.uint8
        )


@dataclass(frozen=True, kw_only=True)
class Augmentation:
    """The augmentation of a training image: a random scale of ``resize``, then a random flip.

    ``flip_probability``: the probability of a horizontal flip, in [0, 1].
    """

    resize: Resize
    flip_probability: float

    def draw(self, random: np.random.Generator) -> tuple[int, bool]:
        """The shorter side of an image, in pixels, and whether it is flipped."""
        shorter = int(random.choice(self.resize.shorter_sides))
        return shorter, random.random() < self.flip_probability

    def __call__(
        self, image: NDArray[np.uint8], target: Target, random: np.random.Generator
    ) -> tuple[NDArray[np.uint8], Target]:
        """The new image and target; a target is in pixels of its image."""
        before = image.shape[:2]
        shorter, flipped = self.draw(random)
        image = self.resize(image, shorter)
        if flipped:
            image = np.ascontiguousarray(image[:, ::-1])

        def move(boxes: torch.Tensor) -> torch.Tensor:
            boxes = box_ops.rescale(boxes, before, image.shape[:2])
            return box_ops.flip(boxes, image.shape[1]) if flipped else boxes

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
