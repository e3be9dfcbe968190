"""The bytes of a picture -> what the network sees of it; the size is checked before the pixels."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from detection.data.image import decode_image
from detection.data.image_signature import true_format
from detection.data.picture_head import declared_size
from detection.inference.multi_scale import Preparation
from detection.serving.refusal import Refusal

FORMATS = ("JPEG", "PNG", "WebP", "BMP", "TIFF")  # those of detection.data.image.SUFFIXES
_TAKEN = f"pictures are {', '.join(FORMATS)} files"


@dataclass(frozen=True)
class Prepared:
    """``scales``: uint8 [h, w, 3] at each.  ``height``, ``width``: of the picture, upright."""

    scales: list[NDArray[np.uint8]]
    height: int
    width: int


def prepare(data: bytes, preparation: Preparation, *, max_pixels: int) -> Prepared:
    """Raises :class:`Refusal` for what is no picture, or one that is not taken."""
    found = true_format(data)
    if found not in FORMATS:
        if found is None:
            raise Refusal(400, f"this is not a picture: {_TAKEN}")
        raise Refusal(415, f"this is a file of another kind ({found}): {_TAKEN}")
    declared = declared_size(data)
    if declared is None:
        raise Refusal(400, f"the head of this {found} file is damaged: save it again")
    width, height = declared
    if width * height > max_pixels:
        raise Refusal(
            413,
            f"the picture has {width} x {height} pixels, at most {max_pixels:,} are taken: make it "
            "smaller, or cut it into parts",
        )
    try:
        image = decode_image(data, Path("the picture"))
    except ValueError as error:
        what = str(error).removeprefix("the picture: ").partition(";")[0]
        raise Refusal(400, f"the picture cannot be read: {what}") from None
    return Prepared(preparation(image), image.shape[0], image.shape[1])
