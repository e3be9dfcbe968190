"""detections.jsonl: what has been found so far, a line for each picture, as it comes."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from detection.atomic_write import append_line, atomic_write
from detection.writers.writer import PictureRecord

LINES = "detections.jsonl"


class DetectionsLog:
    """The detections of a run over pictures, in ``folder``.

    ``numbers``: each picture's name -> its number, the ``image_id``.
    ``videos``: names of videos, whose frames are called ``name/index``.
    ``done``: name -> number of the pictures and frames whose lines are there, also those of an
    earlier run.
    Raises ValueError if an earlier run has numbered the pictures otherwise.
    """

    def __init__(
        self, folder: Path, *, numbers: Mapping[str, int], videos: Collection[str] = ()
    ) -> None:
        self._path = folder / LINES
        self.done: dict[str, int] = {}
        # Whole lines alone: the next one must not be written behind a half of one.
        with atomic_write(self._path) as partial, partial.open("w", encoding="utf-8") as file:
            for _, line in _whole_lines(self._path):
                name, number = line["file_name"], line["image_id"]
                if name not in numbers and name.rpartition("/")[0] in videos:
                    pass
                elif numbers.get(name) != number:
                    raise ValueError(
                        f"{self._path}: {name} is number {number} there, now {numbers.get(name)}; "
                        "photos have been added or removed: replace the results with "
                        "overwrite=true, or choose another output_dir"
                    )
                if name not in self.done:
                    file.write(json.dumps(line) + "\n")
                self.done[name] = number

    def write(self, record: PictureRecord) -> None:
        """Keeps a picture's detections; a kill after this does not lose them."""
        line = {
            "image_id": record.number, "file_name": record.name, "detections": record.detections,
        }  # fmt: skip
        append_line(self._path, json.dumps(line))
        self.done[record.name] = record.number

    def records(self) -> Iterator[PictureRecord]:
        """All of them in the order of their numbers, one in memory at a time."""
        order = [(int(line["image_id"]), offset) for offset, line in _whole_lines(self._path)]
        with self._path.open("rb") as file:
            for _, offset in sorted(order):
                file.seek(offset)
                line = json.loads(file.readline())
                yield PictureRecord(line["image_id"], line["file_name"], line["detections"])


def _whole_lines(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Where each whole line begins, and what it says; a half-written last one is left out."""
    if not path.is_file():
        return
    offset = 0
    with path.open("rb") as file:
        for text in file:
            try:
                line = json.loads(text)
            except (ValueError, RecursionError):
                line = None
            if isinstance(line, dict) and {"image_id", "file_name", "detections"} <= line.keys():
                yield offset, line
            offset += len(text)
