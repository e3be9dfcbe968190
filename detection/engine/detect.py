"""Detects in a folder of photos; files are read while the network works on earlier ones."""

from __future__ import annotations

import glob
import logging
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from detection.data.image import SUFFIXES, read_image
from detection.inference.detector import Detector
from detection.structures import Detections

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Photo:
    """A photo, uint8 [H, W, 3] BGR, and what was found in it, in its pixels."""

    path: Path
    image: NDArray[np.uint8]
    detections: Detections


def find_images(pattern: str) -> list[Path]:
    """The images that a file name, a folder (with its subfolders) or a glob stands for, sorted.

    Raises FileNotFoundError if there are none.
    """
    path = Path(pattern).expanduser()
    if path.is_dir():
        found = [file for file in path.rglob("*") if file.suffix.lower() in SUFFIXES]
    elif path.is_file():
        found = [path]
    else:
        found = [Path(name) for name in glob.glob(str(path), recursive=True)]
        found = [file for file in found if file.suffix.lower() in SUFFIXES]
    if not found:
        raise FileNotFoundError(
            f"{pattern}: no images there; give a file, a folder or a glob of "
            f"{', '.join(SUFFIXES)} files"
        )
    return sorted(found)


def detect_images(
    detector: Detector, paths: Sequence[Path], *, batch_size: int, readers: int
) -> Iterator[Photo]:
    """The photos with their detections, in the order of ``paths``.

    ``readers``: threads that read ahead, by two mini-batches, so that memory stays bounded.
    A file that cannot be read is reported and left out: one bad file must not cost a long run.
    """
    with ThreadPoolExecutor(max(readers, 1)) as pool:
        ahead = iter(paths)
        waiting = [pool.submit(_read, path) for path in islice(ahead, 3 * batch_size)]
        while waiting:
            batch = [future.result() for future in waiting[:batch_size]]
            waiting = waiting[batch_size:]
            waiting += [pool.submit(_read, path) for path in islice(ahead, batch_size)]
            readable = [(path, image) for path, image in batch if image is not None]
            if not readable:
                continue
            found = detector.detect_arrays([image for _, image in readable])
            for (path, image), detections in zip(readable, found, strict=True):
                yield Photo(path, image, detections)


def _read(path: Path) -> tuple[Path, NDArray[np.uint8] | None]:
    try:
        return path, read_image(path)
    except (OSError, ValueError) as error:
        log.error("left out: %s", error)
        return path, None
