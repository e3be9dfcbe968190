"""drawn/: each picture with its detections drawn on it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import torch

from detection.structures import Detections
from detection.visualization.draw import draw_detections
from detection.visualization.image import Image
from detection.visualization.picture_file import writable_name, write_picture
from detection.visualization.style import DEFAULT, DrawingStyle
from detection.writers.writer import Outputs, PictureRecord


class DrawingsWriter:
    """A picture keeps its name and format where that can be written, else it becomes a JPEG.

    ``min_score``: detections below it are not drawn.
    """

    def __init__(
        self,
        *,
        folder: Path,
        class_names: Sequence[str],
        min_score: float,
        names: Sequence[str],
        style: DrawingStyle = DEFAULT,
    ) -> None:
        self._folder, self._class_names, self._min_score = folder / "drawn", class_names, min_score
        self._style = style
        self._targets = _targets(names)
        self.outputs = Outputs(files=[f"drawn/{target}" for target in self._targets.values()])

    def add(self, record: PictureRecord, image: Image) -> None:
        """A frame is not drawn here, but into its video."""
        if (target := self._targets.get(record.name)) is not None:
            drawn = drawn_picture(record, image, self._class_names, self._min_score, self._style)
            write_picture(self._folder / target, drawn)

    def finish(self, records: Iterable[PictureRecord]) -> None:
        """Nothing belongs to all pictures."""


def drawn_picture(
    record: PictureRecord,
    image: Image,
    class_names: Sequence[str],
    min_score: float,
    style: DrawingStyle,
) -> Image:
    """A copy of ``image`` with the record's detections."""
    found = record.detections
    boxes = torch.tensor([entry["bbox"] for entry in found], dtype=torch.float32).reshape(-1, 4)
    detections = Detections(
        boxes=torch.cat((boxes[:, :2], boxes[:, :2] + boxes[:, 2:]), dim=1),
        scores=torch.tensor([entry["score"] for entry in found], dtype=torch.float32),
        labels=torch.tensor(
            [class_names.index(entry["class_name"]) + 1 for entry in found], dtype=torch.int64
        ),
    )
    return draw_detections(image, detections, class_names, min_score=min_score, style=style)


def _targets(names: Sequence[str]) -> dict[str, str]:
    """Each picture's name -> that of its drawing, no two alike."""
    found, taken = {}, {name.casefold() for name in names if writable_name(name) == name}
    for name in names:
        target = writable_name(name)
        while target != name and target.casefold() in taken:
            target = f"{target}.jpg"
        taken.add(target.casefold())
        found[name] = target
    return found
