"""Transforms that move an image and its boxes together."""

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

    ``shorter_sides``: one length, or several to draw from (scale jitter), in pixels.
    ``longest``: the longer side becomes no longer than this; the shorter one follows.
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
    """What happens to a training image: a scale out of ``resize``, then perhaps a mirror.

    ``flip_probability``: of mirroring left to right, in [0, 1].
    """

    resize: Resize
    flip_probability: float

    def __call__(
        self, image: NDArray[np.uint8], target: Target, random: np.random.Generator
    ) -> tuple[NDArray[np.uint8], Target]:
        """``target`` is in pixels of ``image`` before and after."""
        before = image.shape[:2]
        image = self.resize(image, int(random.choice(self.resize.shorter_sides)))
        mirrored = random.random() < self.flip_probability
        if mirrored:
            image = np.ascontiguousarray(image[:, ::-1])

        def move(boxes: torch.Tensor) -> torch.Tensor:
            boxes = box_ops.rescale(boxes, before, image.shape[:2])
            return box_ops.flip(boxes, image.shape[1]) if mirrored else boxes

        proposals = None if target.proposals is None else move(target.proposals)
        return image, replace(target, boxes=move(target.boxes), proposals=proposals)


def to_batch_pixels(images: Sequence[NDArray[np.uint8]]) -> torch.Tensor:
    """Images uint8 [H, W, 3] -> uint8 [N, max H, max W, 3], zeros at the right and the bottom."""
    height = max(image.shape[0] for image in images)
    width = max(image.shape[1] for image in images)
    pixels = torch.zeros((len(images), height, width, 3), dtype=torch.uint8)
    for place, image in zip(pixels, images, strict=True):
        place[: image.shape[0], : image.shape[1]] = torch.from_numpy(image)
    return pixels
