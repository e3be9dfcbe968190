"""yolo/: YOLO's labels, a text file for each picture, and classes.txt (darknet's format)."""

from __future__ import annotations

import glob
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath

from detection.atomic_write import write_text
from detection.visualization.image import Image
from detection.writers.writer import Outputs, PictureRecord, Stems


class YoloWriter:
    """Lines ``class x y width height``: classes from 0 on, the centre and the size in parts of 1.

    Labels have no scores: a sixth column would be read as another thing by those who take labels.
    ``names``: the pictures; ``frames_of``: the videos, whose frames have files in a folder each.
    """

    def __init__(
        self,
        *,
        folder: Path,
        class_names: Sequence[str],
        names: Sequence[str],
        frames_of: Sequence[str] = (),
    ) -> None:
        self._folder, self._class_names, self._stems = folder / "yolo", class_names, Stems(names)
        self.outputs = Outputs(
            files=["yolo/classes.txt", *(f"yolo/labels/{self._stems[n]}.txt" for n in names)],
            patterns=[f"yolo/labels/{glob.escape(video)}/*.txt" for video in frames_of],
            folders=("yolo",),
        )

    def add(self, record: PictureRecord, image: Image) -> None:
        height, width = image.shape[:2]
        lines = []
        for found in record.detections:
            x, y, w, h = found["bbox"]
            numbers = ((x + w / 2) / width, (y + h / 2) / height, w / width, h / height)
            label = self._class_names.index(found["class_name"])
            lines.append(" ".join([str(label), *(f"{number:.8f}" for number in numbers)]) + "\n")
        name = PurePosixPath(f"{self._stems[record.name]}.txt")
        write_text(self._folder / "labels" / name, "".join(lines))

    def finish(self, records: Iterable[PictureRecord]) -> None:
        write_text(self._folder / "classes.txt", "".join(f"{n}\n" for n in self._class_names))
