"""The image that everything here draws on: uint8 [H, W, 3], channels in the order BGR."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]


def check_image(image: Image) -> None:
    """Raises ValueError where ``image`` is not uint8 [H, W, 3]."""
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or not image.size:
        raise ValueError(
            f"an image must be uint8 BGR [height, width, 3], got {image.dtype} {image.shape}"
        )
