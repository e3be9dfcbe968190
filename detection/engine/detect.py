"""Detects in pictures; files are read while the network works on earlier ones."""

from __future__ import annotations

import io
import logging
import warnings
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage

from detection.data.image import decode_image, read_size
from detection.structures import Detections

log = logging.getLogger(__name__)

# Pictures that are read but not yet handed on have at most so many pixels, of 3 bytes each, or
# there is one alone: ten photos of 12 megapixels, but not two of 20,000 x 20,000.
PIXELS_AHEAD = 128_000_000

Images = Sequence[NDArray[np.uint8]]
# A :class:`detection.inference.detector.Detector`, or what does its work.
Detects = Callable[[Images], list[Detections]]


@dataclass(frozen=True)
class Photo:
    """A photo, uint8 [H, W, 3] BGR, and what was found in it, in its pixels.

    ``more``: whether its file holds further pictures (animations, pages), which nobody looks at.
    """

    path: Path
    image: NDArray[np.uint8]
    detections: Detections
    more: bool = False


@dataclass(frozen=True)
class _Read:
    path: Path
    image: NDArray[np.uint8]
    more: bool


def detect_images(
    detector: Detects, paths: Sequence[Path], *, batch_size: int, readers: int
) -> Iterator[Photo]:
    """The photos with their detections, about in the order of ``paths``.

    Of every 16 mini-batches those of alike shapes lie side by side: images of one shape go through
    the network together.
    ``readers``: threads that read ahead, by two mini-batches at most, and by
    :data:`PIXELS_AHEAD`; a mini-batch has no more pixels either, so that memory stays bounded.
    A file that cannot be read is reported and left out: one bad file must not cost a long run.
    """
    with ThreadPoolExecutor(max(readers, 1)) as pool:
        alike = _side_by_side(paths, window=16 * batch_size if batch_size > 1 else 1)
        ahead = _Ahead(alike, pool, most=3 * batch_size)
        while batch := ahead.batch(batch_size):
            readable = [one for future in batch if (one := future.result()) is not None]
            del batch
            if not readable:
                continue
            found = detector([one.image for one in readable])
            for detections in found:
                one = readable.pop(0)  # its memory is free when the caller has done with it
                yield Photo(one.path, one.image, detections, one.more)
                del one


@dataclass(frozen=True)
class _File:
    """``pixels``: as many as it has, about; ``shape``: of its sides, height / width."""

    path: Path
    pixels: int
    shape: float


def _side_by_side(paths: Sequence[Path], *, window: int) -> Iterator[_File]:
    """Of each ``window`` of files those of alike shapes one behind the other."""
    for start in range(0, len(paths), window):
        files = map(_file, paths[start : start + window])
        yield from sorted(files, key=lambda file: file.shape)


class _Ahead:
    """Reads ahead: pictures in the order of ``files``, as many as the limits allow."""

    def __init__(self, files: Iterator[_File], pool: ThreadPoolExecutor, *, most: int) -> None:
        self._left, self._pool, self._most = files, pool, most
        self._next: _File | None = None
        self._waiting: deque[tuple[Future[_Read | None], int]] = deque()
        self._handed_on = 0  # pixels

    def batch(self, size: int) -> list[Future[_Read | None]]:
        """The next mini-batch, of ``size`` pictures at most; while it is read others begin."""
        self._handed_on = 0
        self._submit()
        taken: list[Future[_Read | None]] = []
        while self._waiting and len(taken) < size:
            pixels = self._waiting[0][1]
            if taken and self._handed_on + pixels > PIXELS_AHEAD:
                break
            taken.append(self._waiting.popleft()[0])
            self._handed_on += pixels
        self._submit()
        return taken

    def _submit(self) -> None:
        pixels = self._handed_on + sum(each for _, each in self._waiting)
        while len(self._waiting) < self._most:
            file = self._next or next(self._left, None)
            if file is None:
                return
            self._next = file
            if pixels and pixels + file.pixels > PIXELS_AHEAD:
                return
            self._next = None
            pixels += file.pixels
            self._waiting.append((self._pool.submit(_read, file.path), file.pixels))


def _file(path: Path) -> _File:
    """What the file says of its size; from its length where Pillow does not know it."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", PillowImage.DecompressionBombWarning)
            height, width = read_size(path)
    except PillowImage.DecompressionBombError:
        return _File(path, PIXELS_AHEAD, 1.0)  # alone
    except Exception:  # Pillow raises what it likes; what is wrong the reader will report
        return _File(path, path.stat().st_size // 3 if path.is_file() else 0, 1.0)
    return _File(path, height * width, height / max(width, 1))


def _read(path: Path) -> _Read | None:
    try:
        data = path.read_bytes()
        return _Read(path, decode_image(data, path), _has_more(data))
    except FileNotFoundError:
        log.warning("left out: %s: no such image", path)
    except (OSError, ValueError) as error:
        log.warning("left out: %s", error)
    return None


def _has_more(data: bytes) -> bool:
    """Whether a file holds more than one picture: GIF, WebP, PNG, AVIF and TIFF may."""
    if data.startswith(b"\xff\xd8"):  # a JPEG's further pictures are previews
        return False
    try:
        with PillowImage.open(io.BytesIO(data)) as image:
            return bool(getattr(image, "is_animated", False))
    except Exception:  # Pillow raises what it likes, and the picture has been read without it
        return False
