"""features/: what the classifier sees of each detected region, a NumPy file for each picture."""

from __future__ import annotations

import glob
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from detection.atomic_write import atomic_write
from detection.visualization.image import Image
from detection.writers.writer import Outputs, PictureRecord, Stems

# An image uint8 BGR [H, W, 3] and boxes [R, 4] in its pixels -> vectors [R, C].
FeaturesOf = Callable[[Image, NDArray[np.float32]], Tensor]


class FeaturesWriter:
    """``features/photo.npz``: arrays with a row for each detection, the best first.

    ``features``: float32 [R, C].  ``boxes``: float32 [R, 4], (x1, y1, x2, y2) in pixels.
    ``scores``: float32 [R].  ``category_ids``: int64 [R].  ``size``: int64 [2], the picture's
    height and width.  ``np.load`` reads them.

    ``features_of``: computes the vectors.
    ``names``: the pictures; ``frames_of``: the videos, whose frames have files in a folder each.
    """

    def __init__(
        self,
        *,
        folder: Path,
        features_of: FeaturesOf,
        names: Sequence[str],
        frames_of: Sequence[str] = (),
    ) -> None:
        self._folder, self._features_of = folder / "features", features_of
        self._stems = Stems(names)
        self.outputs = Outputs(
            files=[f"features/{self._stems[name]}.npz" for name in names],
            patterns=[f"features/{glob.escape(video)}/*.npz" for video in frames_of],
            folders=("features",),
        )

    def add(self, record: PictureRecord, image: Image) -> None:
        assert record.boxes is not None
        found = record.detections
        # Open: NumPy would add .npz to the temporary name.
        path = self._folder / f"{self._stems[record.name]}.npz"
        with atomic_write(path) as partial, partial.open("wb") as file:
            np.savez(
                file,
                features=self._features_of(image, record.boxes).numpy(),
                boxes=record.boxes,
                scores=np.array([one["score"] for one in found], dtype=np.float32),
                category_ids=np.array([one["category_id"] for one in found], dtype=np.int64),
                size=np.array(image.shape[:2], dtype=np.int64),
            )

    def finish(self, records: Iterable[PictureRecord]) -> None:
        """Nothing belongs to all pictures."""
