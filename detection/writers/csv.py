"""detections.csv: a line for each detection, for spreadsheets."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from pathlib import Path

from detection.atomic_write import ESCAPED, atomic_write
from detection.visualization.image import Image
from detection.writers.writer import Outputs, PictureRecord

TABLE = "detections.csv"
COLUMNS = (
    "file_name", "image_id", "class_name", "category_id", "score", "x", "y", "width", "height",
)  # fmt: skip


class CsvWriter:
    """Commas, a header, UTF-8; x and y are the box's upper left corner, in pixels."""

    outputs = Outputs(files=(TABLE,))

    def __init__(self, *, folder: Path) -> None:
        self._path = folder / TABLE

    def add(self, record: PictureRecord, image: Image) -> None:
        """Nothing is written before the end, when the lines are in the pictures' order."""

    def finish(self, records: Iterable[PictureRecord]) -> None:
        with (
            atomic_write(self._path) as partial,
            partial.open("w", encoding="utf-8", errors=ESCAPED, newline="") as file,
        ):
            table = csv.writer(file, lineterminator="\n")
            table.writerow(COLUMNS)
            for record in records:
                for found in record.detections:
                    table.writerow(
                        [
                            *(found[key] for key in COLUMNS[:5]),
                            *(round(side, 3) for side in found["bbox"]),
                        ]
                    )
