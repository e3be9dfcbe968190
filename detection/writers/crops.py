"""crops/: each object cut out, in a folder of its class, its score in its name."""

from __future__ import annotations

import glob
import math
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath

from detection.visualization.image import Image
from detection.visualization.picture_file import write_picture
from detection.writers.writer import Outputs, PictureRecord, Stems, folder_names

# The number within the picture, then the score.
_ENDING = "_[0-9][0-9][0-9]_[01].[0-9][0-9].jpg"


class CropsWriter:
    """``crops/person/photo_001_0.93.jpg``: the best object first, those below ``min_score`` not.

    The class's folder has the folders that pictures have.
    ``names``: the pictures; ``frames_of``: the videos, whose frames have files in a folder each.
    """

    def __init__(
        self,
        *,
        folder: Path,
        class_names: Sequence[str],
        min_score: float,
        names: Sequence[str],
        frames_of: Sequence[str] = (),
    ) -> None:
        self._folder, self._min_score = folder / "crops", min_score
        self._folders = dict(zip(class_names, folder_names(class_names), strict=True))
        self._stems = Stems(names)
        parents = sorted({*(str(PurePosixPath(name).parent) for name in names), *frames_of})
        inside = [PurePosixPath("crops", "*", glob.escape(parent)) for parent in parents]
        self.outputs = Outputs(patterns=[f"{p}/*{_ENDING}" for p in inside], folders=("crops",))

    def add(self, record: PictureRecord, image: Image) -> None:
        height, width = image.shape[:2]
        for number, found in enumerate(record.detections, start=1):
            x, y, w, h = found["bbox"]
            if found["score"] < self._min_score:
                continue
            rows = slice(max(math.floor(y), 0), min(math.ceil(y + h), height))
            columns = slice(max(math.floor(x), 0), min(math.ceil(x + w), width))
            crop = image[rows, columns]
            name = f"{self._stems[record.name]}_{number:03d}_{found['score']:.2f}.jpg"
            if crop.size:
                write_picture(self._folder / self._folders[found["class_name"]] / name, crop)

    def finish(self, records: Iterable[PictureRecord]) -> None:
        """Nothing belongs to all pictures."""
