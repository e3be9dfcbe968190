"""JPEGs read strictly by simplejpeg (libjpeg-turbo): damaged bytes are an error, not other pixels.

OpenCV fills what is missing with grey, goes on behind what is damaged and only warns.  The pixels
are OpenCV's, bit for bit: both decode with libjpeg-turbo.  simplejpeg comes with the extra
``strict``; without it only cut files are noticed.
"""

from __future__ import annotations

import functools
import io
import re
from types import ModuleType

import numpy as np
from numpy.typing import NDArray
from PIL import Image

_ORIENTATION = 0x0112  # the EXIF tag; 1 is upright
_START, _SCAN, _END = b"\xff\xd8", b"\xff\xda", b"\xff\xd9"
# Markers of a frame's head (ITU T.81, table B.1): SOF0 ... SOF15, without DHT, JPG and DAC.
_FRAMES = set(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
# libjpeg's words for damage.  What else it or simplejpeg cannot do OpenCV may be able to.
_DAMAGE = re.compile("corrupt jpeg data|premature end", re.IGNORECASE)
# OpenCV's limit: what is larger is left to it to refuse.
_MOST_PIXELS = 1 << 30


def read_strictly(data: bytes) -> NDArray[np.uint8] | None:
    """uint8 [H, W, 3], BGR; None where OpenCV has to decode, as pictures that EXIF turns.

    Bytes behind the end marker are no fault: phones append videos there.
    Raises ValueError, which says what is wrong, for a JPEG that is cut or damaged.
    """
    if not data.startswith(_START):
        return None
    simplejpeg = _library()
    if simplejpeg is None:
        check_end(data)
        return None
    try:
        height, width, space, _ = simplejpeg.decode_jpeg_header(data)
        if height * width > _MOST_PIXELS:
            return None
        is_cmyk = space.upper() in ("CMYK", "YCCK")
        image = simplejpeg.decode_jpeg(data, "CMYK" if is_cmyk else "BGR", strict=True)
    except ValueError as error:
        if _DAMAGE.search(str(error)):
            cut = "premature end of jpeg file" in str(error).lower()
            raise ValueError("truncated JPEG" if cut else f"damaged JPEG: {error}") from None
        check_end(data)
        return None
    if is_cmyk or not _is_upright(data):
        return None
    return np.asarray(image, dtype=np.uint8)


def check_end(data: bytes) -> None:
    """Raises ValueError for a JPEG that is cut; other files pass."""
    # A complete file has an end marker after its last scan; those of embedded thumbnails come
    # before it, and coded pixels contain none.
    if data.startswith(_START) and data.rfind(_END) <= data.rfind(_SCAN):
        raise ValueError("truncated JPEG: the end marker is missing")


def bits_of_sample(data: bytes) -> int | None:
    """12 for many pictures of medicine, which nobody here reads; None for what is no JPEG."""
    at = len(_START)
    while data.startswith(_START) and data[at : at + 1] == b"\xff" and at + 5 <= len(data):
        if data[at + 1] in _FRAMES:
            return data[at + 4]
        at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return None


@functools.cache
def _library() -> ModuleType | None:
    try:
        import simplejpeg
    except ImportError:
        return None
    return simplejpeg


def _is_upright(data: bytes) -> bool:
    if b"Exif\0\0" not in data:
        return True
    try:
        with Image.open(io.BytesIO(data)) as image:
            return bool(image.getexif().get(_ORIENTATION, 1) == 1)
    except Exception:  # PIL has many for EXIF that is none
        return False
