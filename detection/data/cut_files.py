"""Pictures whose files are cut, by a full disk or a broken download: found before a training.

They would end it when it comes to them, a picture for validation after all its steps.  A JPEG says
where it ends, so that only those which do not are read; of a PNG the size alone needs all of it.
"""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tqdm import tqdm

from detection.data.image import read_image
from detection.data.jpeg import check_end

_START, _END = b"\xff\xd8", b"\xff\xd9"
_SHOWN = 5
_MANY = 1000  # pictures, which take long enough for a progress bar
# On a network's disk each file takes milliseconds; sets of so many were looked at by others.
_MOST = 20_000


def refuse_cut(pictures: Iterable[Path], *, source: Path) -> None:
    """Raises ValueError, which names them, if some cannot be read to their ends.

    ``source``: the data set.  Of more than 20,000 pictures none is looked at.
    """
    listed = [*pictures]
    if len(listed) > _MOST:
        return
    with ThreadPoolExecutor() as pool:
        told = tqdm(
            pool.map(_fault, listed),
            total=len(listed),
            desc="ends of pictures",
            unit="img",
            leave=False,
            disable=len(listed) < _MANY,
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


def _fault(picture: Path) -> str | None:
    try:
        if not _ends(picture):
            _read(picture)
    except (OSError, ValueError) as error:
        return str(error)
    return None


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
