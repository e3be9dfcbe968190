"""detections.jsonl: what has been found so far, a line for each photo; and the list at the end."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from detection.atomic_write import write_text

LINES, LIST = "detections.jsonl", "detections.json"


class DetectionsLog:
    """The detections of a run over photos, in ``folder``.

    ``numbers``: each photo's name -> its number, the ``image_id``.
    ``done``: the names of the photos whose lines are there, also those of an earlier run.
    Raises ValueError if an earlier run has numbered the photos otherwise.
    """

    def __init__(self, folder: Path, *, numbers: Mapping[str, int]) -> None:
        self._path, self._list = folder / LINES, folder / LIST
        self._numbers = numbers
        lines = _read(self._path)
        for line in lines:
            if numbers.get(line["file_name"]) != line["image_id"]:
                raise ValueError(
                    f"{self._path}: {line['file_name']} is number {line['image_id']} there, now "
                    f"{numbers.get(line['file_name'])}; photos have been added or removed: replace "
                    "the results with overwrite=true, or choose another output_dir"
                )
        self.done = {line["file_name"] for line in lines}
        # Whole lines alone: the next one must not be written behind a half of one.
        write_text(self._path, "".join(json.dumps(line) + "\n" for line in lines))

    def write(self, name: str, detections: list[dict[str, Any]]) -> None:
        """Keeps the detections in photo ``name``; a kill after this does not lose them."""
        line = {"image_id": self._numbers[name], "file_name": name, "detections": detections}
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        self.done.add(name)

    def write_list(self) -> int:
        """Writes the COCO results list, in the order of the numbers; how many detections."""
        lines = sorted(_read(self._path), key=lambda line: int(line["image_id"]))
        found = [detection for line in lines for detection in line["detections"]]
        write_text(self._list, json.dumps(found) + "\n")
        return len(found)


def _read(path: Path) -> list[dict[str, Any]]:
    """The whole lines; a half-written last one (a killed run) is left out."""
    lines = []
    for text in path.read_text(encoding="utf-8").splitlines() if path.is_file() else []:
        try:
            line = json.loads(text)
        except ValueError:
            continue
        if isinstance(line, dict) and {"image_id", "file_name", "detections"} <= line.keys():
            lines.append(line)
    return lines
