"""Pictures on disk, whatever suffix the one that was read had."""

from __future__ import annotations

from pathlib import Path

import cv2

from detection.atomic_write import atomic_write
from detection.visualization.image import Image

# What a drawing may be called; the file's own suffix is kept where it is one of these.
_KEPT = (".jpg", ".jpeg", ".jpe", ".png", ".bmp", ".webp", ".tif", ".tiff", ".avif", ".jp2")
_LONGEST = {".jpg": 65_500, ".jpeg": 65_500, ".jpe": 65_500, ".webp": 16_383, ".avif": 16_384}


def writable_name(name: str) -> str:
    """``name``, with ".jpg" behind it where its own suffix cannot be written (a.jfif.jpg)."""
    suffix = Path(name).suffix.lower()
    can = suffix in _KEPT and cv2.haveImageWriter(f"x{suffix}")
    return name if can else f"{name}.jpg"


def write_picture(path: Path, image: Image) -> None:
    """Writes uint8 BGR [H, W, 3] in the format of the suffix, whole or not at all.

    A picture that is too long for its format is written as PNG under the same name, which every
    program opens.  Raises ValueError, naming the file, where there is no such format.
    """
    suffix = path.suffix.lower()
    if max(image.shape[:2]) > _LONGEST.get(suffix, 1 << 30):
        suffix = ".png"
    try:
        data = encoded(image, suffix)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    # Not cv2.imwrite, which on Windows takes names of its code page alone.
    with atomic_write(path) as partial:
        partial.write_bytes(data)


def encoded(image: Image, suffix: str) -> bytes:
    """The bytes of a file of this suffix; ValueError where OpenCV cannot write it so."""
    try:
        done, data = cv2.imencode(suffix, image)
    except cv2.error as error:
        raise ValueError(" ".join(str(error).split())) from error
    if not done:
        raise ValueError(f"could not be written as {suffix}")
    return data.tobytes()
