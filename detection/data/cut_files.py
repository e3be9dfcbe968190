"""Pictures whose files are cut or damaged, by a full disk or a bad download: found before training.

They would end it when it comes to them, a picture for validation after all its steps.  What is read
in seconds is read wholly; damage inside of a JPEG shows with the extra ``strict`` alone (`jpeg`).
Of more pictures, a JPEG says where it ends, so that only those which do not are read; of a PNG the
size alone needs all of it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tqdm import tqdm

from detection.data.image import read_image
from detection.data.jpeg import check_end

_START, _END = b"\xff\xd8", b"\xff\xd9"
_SHOWN = 5
_MANY = 300_000_000  # pixels, which take long enough for a progress bar
# On a network's disk each file takes milliseconds; sets of so many were looked at by others.
_MOST = 20_000
_READ_WHOLLY = 1_000_000_000  # pixels in all: some 3,000 photos of the web, seconds of two cores


def refuse_cut(sizes: Mapping[Path, tuple[int, int]], *, source: Path) -> None:
    """Raises ValueError, which names them, if some cannot be read to their ends.

    ``sizes``: (height, width) of each picture.  ``source``: the data set.  Of more than a thousand
    million pixels JPEGs that are cut are found, and those that are damaged inside are not; of more
    than 20,000 pictures none is looked at.
    """
    if len(sizes) > _MOST:
        return
    pixels = sum(height * width for height, width in sizes.values())
    is_little = pixels <= _READ_WHOLLY
    look = read_image if is_little else _look_at_end
    # Whole pictures take memory, and cores; ends of them wait for the disk.
    threads = min(4, os.cpu_count() or 1) if is_little else None
    with ThreadPoolExecutor(threads) as pool:
        told = tqdm(
            pool.map(lambda picture: _fault(look, picture), sizes),
            total=len(sizes),
            desc="pictures" if is_little else "ends of pictures",
            unit="img",
            leave=False,
            disable=pixels < _MANY,
        )
        faults = [fault for fault in told if fault is not None]
    if not faults:
        return
    first = "".join(f"\n  {fault}" for fault in faults[:_SHOWN])
    more = len(faults) - _SHOWN
    raise ValueError(
        f"{source}: {len(faults)} pictures cannot be read, and would end the training:{first}"
        + (f"\n  ... and {more} more" if more > 0 else "")
        + f"\ndetection check {source} fix=true -o cleaned writes a copy without them"
    )


def _fault(look: Callable[[Path], object], picture: Path) -> str | None:
    try:
        look(picture)
    except (OSError, ValueError) as error:
        return str(error)
    return None


def _look_at_end(picture: Path) -> None:
    if not _ends(picture):
        _read(picture)


def _read(picture: Path) -> None:
    """Phones write behind the end, too: then it is there, and nothing needs decoding."""
    try:
        check_end(picture.read_bytes())
    except ValueError:
        read_image(picture)


def _ends(picture: Path) -> bool:
    """Whether a JPEG ends as one; other files are believed."""
    with picture.open("rb") as file:
        if file.read(2) != _START:
            return True
        file.seek(-2, 2)
        return file.read() == _END
