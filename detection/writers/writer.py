"""What every format of detections offers, and what it is given: a record for each picture."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from detection.visualization.image import Image


@dataclass(frozen=True)
class PictureRecord:
    """A picture, or a frame of a video, and what was found in it.

    ``number``: its ``image_id``.  ``name``: its file, with folders, by which results call it.
    ``detections``: entries of a COCO results list with ``file_name`` and ``class_name``; ``bbox``
    is [x, y, width, height] in its pixels, rounded.
    ``boxes``: float32 [R, 4], (x1, y1, x2, y2) in its pixels, as the network says; of a record that
    is read from a file none.
    """

    number: int
    name: str
    detections: list[dict[str, Any]]
    boxes: NDArray[np.float32] | None = None


@dataclass(frozen=True)
class Outputs:
    """What a writer leaves, relative to the output folder.

    ``files``: names.  ``patterns``: globs, where names depend on what is found.
    ``folders``: folders that are its own, where nobody else's files may lie.
    """

    files: Sequence[str] = ()
    patterns: Sequence[str] = ()
    folders: Sequence[str] = ()


class Writer(Protocol):
    """One format.  A run that is gone on with adds the pictures that are left, and finishes all."""

    @property
    def outputs(self) -> Outputs: ...

    def add(self, record: PictureRecord, image: Image) -> None:
        """Writes what belongs to one picture, ``image`` uint8 BGR [H, W, 3], alone.

        It may be called again for the same picture, after a kill.
        """
        ...

    def finish(self, records: Iterable[PictureRecord]) -> None:
        """Writes what belongs to all pictures, of earlier calls of the run too, in their order."""
        ...


class Stems:
    """Names of pictures -> names without suffix for their files, no two alike.

    Of ``a.jpg`` and ``a.png`` both keep their suffix, for one would overwrite the other.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self._counts = Counter(self._short(name).casefold() for name in names)

    def __getitem__(self, name: str) -> str:
        short = self._short(name)
        return name if self._counts[short.casefold()] > 1 else short

    @staticmethod
    def _short(name: str) -> str:
        path = PurePosixPath(name)
        return path.with_suffix("").as_posix() if path.suffix else name


def folder_names(class_names: Sequence[str]) -> list[str]:
    """A folder's name for each class: what no file system takes is replaced, none stands twice."""
    found: list[str] = []
    for label, name in enumerate(class_names, start=1):
        plain = re.sub(r'[<>:"/\\|?*\x00-\x1f]', "_", name).strip(". ") or f"class_{label}"
        taken = {other.casefold() for other in found}
        found.append(f"{plain}_{label}" if plain.casefold() in taken else plain)
    return found
