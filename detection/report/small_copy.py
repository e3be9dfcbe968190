"""A small copy of a picture, as text that a page can carry."""

from __future__ import annotations

import base64

import cv2
import numpy as np
from numpy.typing import NDArray

# Longer side and quality of a JPEG, the best first: the first that is small enough is taken.
COPIES = ((640, 80), (640, 60), (480, 60), (320, 50), (160, 30))


def small_copy(image: NDArray[np.uint8], characters: int) -> str:
    """A JPEG as base64, of at most so many characters where :data:`COPIES` allow it.

    ``image``: uint8 [H, W, 3], BGR.
    """
    encoded = ""
    for longest, quality in COPIES:
        scale = min(1.0, longest / max(image.shape[:2]))
        size = tuple(max(1, round(side * scale)) for side in image.shape[:2])
        if size != image.shape[:2]:
            # From one size to the next, so that large pictures are read through once.
            image = np.asarray(
                cv2.resize(image, size[::-1], interpolation=cv2.INTER_AREA), np.uint8
            )
        _, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])
        encoded = base64.b64encode(data.tobytes()).decode()
        if len(encoded) <= characters:
            break
    return encoded
