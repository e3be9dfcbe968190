"""Pictures whose files are cut, by a full disk or a broken download: found before a training.

They would end it when it comes to them, a picture for validation after all its steps.  A JPEG says
where it ends, so that only those which do not are read; of a PNG the size alone needs all of it.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from tqdm import tqdm

from detection.data.image import read_image

_START, _END = b"\xff\xd8", b"\xff\xd9"
_SHOWN = 5
_MANY = 5000  # pictures, which take long enough for a progress bar


def refuse_cut(pictures: Iterable[Path], *, source: Path) -> None:
    """Raises ValueError, which names them, if some cannot be read to their ends.

    ``source``: the data set.
    """
    listed = [*pictures]
    shown = tqdm(
        listed, desc="ends of pictures", unit="img", leave=False, disable=len(listed) < _MANY
    )
    faults = [fault for picture in shown if (fault := _fault(picture)) is not None]
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
            read_image(picture)
    except (OSError, ValueError) as error:
        return str(error)
    return None


def _ends(picture: Path) -> bool:
    """Whether a JPEG ends as one; other files are believed."""
    with picture.open("rb") as file:
        if file.read(2) != _START:
            return True
        file.seek(-2, 2)
        return file.read() == _END
