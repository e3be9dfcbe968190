"""The photos of a call, one or many, read as they are needed."""

from __future__ import annotations

import io
import logging
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from numbers import Integral
from os import PathLike
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from detection.data.image import SUFFIXES
from detection.data.image_input import ImageInput, is_image_input, not_a_photo, to_image
from detection.data.picture_files import find_pictures
from detection.user_path import user_path

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Photo:
    """``image``: uint8 [H, W, 3], BGR, upright.  ``path``: its file, where it came from one."""

    image: NDArray[np.uint8]
    path: Path | None


def is_folder(given: object) -> bool:
    """Whether a call's argument names a folder of photos."""
    return isinstance(given, (str, PathLike)) and given != "" and user_path(given).is_dir()


def each(given: ImageInput | Iterable[ImageInput]) -> Iterable[ImageInput]:
    """The photos of a call: those of a folder and its subfolders, sorted; of an iterable; the one.

    Hidden files and folders, such as thumbnails, are none.

    Raises FileNotFoundError for a folder without any, TypeError for what holds no photos.
    """
    if isinstance(given, (str, PathLike)) and is_folder(given):
        folder = user_path(given)
        files = find_pictures(folder)
        if not files:
            raise FileNotFoundError(f"{folder}: no images there ({', '.join(SUFFIXES)})")
        return files
    if is_image_input(given):
        return [given]
    single = (bytes, bytearray, memoryview, io.IOBase, Mapping)
    if isinstance(given, Iterable) and not isinstance(given, single):
        return given
    raise not_a_photo(given)


def read_photo(given: ImageInput, *, bgr: bool) -> Photo:
    """One photo; raises what :func:`detection.data.image_input.to_image` raises."""
    path = user_path(given) if isinstance(given, (str, PathLike)) else None
    return Photo(to_image(given, bgr=bgr), path)


def photo_batches(
    given: Iterable[ImageInput],
    *,
    batch_size: int,
    bgr: bool,
    errors: Literal["raise", "warn"],
) -> Iterator[list[Photo]]:
    """Mini-batches of at most ``batch_size`` photos, each read when it is asked for.

    ``errors``: whether a photo that cannot be read raises, or is logged and left out.
    Raises what :func:`check_options` raises, at once.
    """
    check_options(batch_size, errors)
    photos = _readable(given, bgr) if errors == "warn" else (read_photo(p, bgr=bgr) for p in given)
    # The iterator ends with the first empty batch.
    return iter(lambda: list(islice(photos, int(batch_size))), [])


def check_options(batch_size: int, errors: str) -> None:
    """Raises ValueError for a ``batch_size`` below 1, and for ``errors`` but raise and warn."""
    if isinstance(batch_size, bool) or not isinstance(batch_size, Integral) or batch_size < 1:
        raise ValueError(f"batch_size must be a whole number, 1 or more, got {batch_size!r}")
    if errors not in ("raise", "warn"):
        raise ValueError(f"errors must be raise or warn, got {errors!r}")


def _readable(given: Iterable[ImageInput], bgr: bool) -> Iterator[Photo]:
    for photo in given:
        try:
            yield read_photo(photo, bgr=bgr)
        except (OSError, ValueError) as error:
            log.warning("left out: %s", error)
