"""Other brightness, contrast and saturation for a training image."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

# How bright blue, green and red look (ITU-R BT.601).
_GREY = np.array([0.114, 0.587, 0.299])


@dataclass(frozen=True, kw_only=True)
class ColourJitter:
    """Three factors for each image, from 1 - ``most`` to 1 + ``most``; ``most`` in [0, 1]."""

    most: float

    def draw(self, random: np.random.Generator) -> tuple[float, float, float]:
        """Of brightness, contrast and saturation."""
        brightness, contrast, saturation = random.uniform(1 - self.most, 1 + self.most, 3).tolist()
        return brightness, contrast, saturation


def recoloured(
    image: NDArray[np.uint8], brightness: float, contrast: float, saturation: float
) -> NDArray[np.uint8]:
    """uint8 [H, W, 3], BGR -> the same: darker below 1, flatter about its mean, greyer.

    The three are one linear map of a pixel's colours, so they take a single pass.
    """
    mean = float(np.dot(cv2.mean(image)[:3], _GREY))
    mix = saturation * np.eye(3) + (1 - saturation) * _GREY
    offset = np.full((3, 1), (1 - contrast) * brightness * mean)
    matrix = np.concatenate((contrast * brightness * mix, offset), axis=1)
    return np.asarray(cv2.transform(image, matrix), dtype=np.uint8)
