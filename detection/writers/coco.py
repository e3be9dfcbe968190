"""detections.json: a COCO results list, with each picture's file name and each class's name."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from detection.atomic_write import atomic_write
from detection.visualization.image import Image
from detection.writers.writer import Outputs, PictureRecord

LIST = "detections.json"


class CocoWriter:
    """See https://cocodataset.org/#format-results."""

    outputs = Outputs(files=(LIST,))

    def __init__(self, *, folder: Path) -> None:
        self._path = folder / LIST

    def add(self, record: PictureRecord, image: Image) -> None:
        """Nothing is written before the end: a JSON list is whole or none."""

    def finish(self, records: Iterable[PictureRecord]) -> None:
        with atomic_write(self._path) as partial, partial.open("w", encoding="utf-8") as file:
            separator = "["
            for record in records:
                for detection in record.detections:
                    file.write(separator + json.dumps(detection))
                    separator = ", "
            file.write("]\n" if separator == ", " else "[]\n")
