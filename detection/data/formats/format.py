"""What a format of annotations has to provide, so that `open_dataset` can read it."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from detection.data.box_check import InvalidBoxes
from detection.data.dataset import DetectionDataset

# The split of a format that has no splits of its own, such as a single file of annotations.
ALL = "all"
# What reading raises where a file has something else than its format has there.
FOREIGN = (AttributeError, IndexError, KeyError, OverflowError, RecursionError, TypeError)


class Format(Protocol):
    """One format: how its files are recognised, and how they are read.

    ``root`` is what the user sets as data.root: a folder, or a file if the format keeps everything
    in one (JSON, YAML, CSV).  A format that has no splits of its own has the one split ``ALL``.

    To add a format, write a class with these members in a new file, and list it in
    ``detection.data.formats.open.FORMATS``; a format of another package is passed to
    `open_dataset` as ``formats=[TheirFormat()]``.
    """

    @property
    def name(self) -> str:
        """The name of the format, for messages: COCO."""

    def splits(self, root: Path) -> list[str]:
        """The splits under ``root``, to offer to the user; [] if ``root`` is in another format.

        For each, ``has_split`` is true.
        """

    def has_split(self, root: Path, split: str) -> bool:
        """Whether `read` can be called for ``split``.  Raises nothing."""

    def read(
        self, *, root: Path, split: str, check_images: bool, invalid_boxes: InvalidBoxes
    ) -> DetectionDataset:
        """Reads one split; the boxes are checked by a `BoxCheck` with ``on_invalid=invalid_boxes``.

        ``check_images=False``: read the annotations alone, without the pictures (to measure saved
        detections), if these contain the sizes of the pictures.
        Raises FileNotFoundError and ValueError, which name the file, the object, the value and the
        remedy.
        """
