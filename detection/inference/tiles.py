"""Large pictures in overlapping tiles: small objects stay as large as the network knows them.

Every tile is seen as a picture of its own, and the whole picture as well.  What all of them find,
before NMS, goes in the picture's pixels to one class-wise NMS and one vote.

The rule at seams.  A tile's inner border cuts objects.  A candidate that reaches it:

1. is dropped if it begins within the overlap with the neighbour there, which sees it from its
   beginning.  An object that is smaller than the overlap is whole in at least one tile.
2. is otherwise a piece of an object that is longer than the overlap.  A piece and the one that the
   neighbour has, of the same class and with the same outline where the two tiles overlap, are one
   object: their union, with the better score.
3. A piece, or a union of some, of which most lies in a better candidate of its class is a part of
   it, and is dropped.

The whole picture says what is larger than the overlap; smaller objects are the tiles' concern.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from numbers import Integral, Real
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from detection import boxes as box_ops
from detection.inference.pipeline import Pipeline
from detection.inference.post_processing import PostProcessing
from detection.inference.seams import Grid, Seen, whole_objects
from detection.structures import Detections, RegionPredictions


class TiledDetector:
    """A detector that sees pictures larger than a tile in tiles, all others as ever.

    ``tile``: the tiles' side in pixels.  ``overlap``: of neighbours, in parts of it, in [0, 0.5].
    ``batch_size``: tiles that go through the network together.
    ``full``: how many pictures have had as many detections as ``per_image`` allows.
    Raises ValueError for other numbers, and for a post-processing that cannot be divided.
    """

    def __init__(
        self, detector: Pipeline, *, tile: int, overlap: float, batch_size: int = 1
    ) -> None:
        _check(tile, overlap)
        rule = detector.inference.post_processing
        if not isinstance(rule, PostProcessing):
            raise ValueError(
                "tile= needs the candidates before NMS, which the detector's "
                f"inference.post_processing, {type(rule).__name__}, does not give; leave tile= out"
            )
        self._whole, self._rule, self._batch_size = detector, rule, batch_size
        self._tile, self._overlap = int(tile), round(int(tile) * float(overlap))
        self.full = 0
        # The same models, without NMS.
        self._before_nms = copy.copy(detector)
        step = _Candidates(rule)
        self._before_nms.inference = replace(detector.inference, post_processing=step)

    def __call__(self, images: Sequence[NDArray[np.uint8]]) -> list[Detections]:
        """Images uint8 [H, W, 3], BGR, upright -> detections in their pixels, on the CPU."""
        is_small = [max(image.shape[:2]) <= self._tile for image in images]
        small = [image for image, fits in zip(images, is_small, strict=True) if fits]
        found = iter(_detect(self._whole, small))
        return [
            next(found) if fits else self._in_tiles(image)
            for image, fits in zip(images, is_small, strict=True)
        ]

    def _in_tiles(self, image: NDArray[np.uint8]) -> Detections:
        size = (image.shape[0], image.shape[1])
        grid = Grid.over(size, tile=self._tile, overlap=self._overlap)
        (whole,) = _detect(self._before_nms, [image])
        sides = (whole.boxes[:, 2:] - whole.boxes[:, :2]).amax(dim=1)
        large = whole[sides > self._overlap]
        seen = list(self._seen(image, grid))
        found = self._rule.best(whole_objects(grid, seen, large, nms_iou=self._rule.nms_iou))
        self.full += len(found) >= self._rule.per_image
        # Voting rounds: a box may leave its picture by some units in the last place.
        return Detections(box_ops.clip(found.boxes, size), found.scores, found.labels)

    def _seen(self, image: NDArray[np.uint8], grid: Grid) -> Iterator[Seen]:
        """What each tile's candidates are, in the picture's pixels; some tiles at a time."""
        tiles = list(grid.tiles())
        for start in range(0, len(tiles), self._batch_size):
            some = tiles[start : start + self._batch_size]
            pixels = [image[y1:y2, x1:x2] for x1, y1, x2, y2 in map(grid.corners, some)]
            for place, found in zip(some, _detect(self._before_nms, pixels), strict=True):
                x, y, *_ = grid.corners(place)
                moved = found.boxes + torch.tensor([x, y, x, y], dtype=found.boxes.dtype)
                yield Seen(place, Detections(moved, found.scores, found.labels))


@dataclass(frozen=True)
class _Candidates:
    """A post-processing that is the first half of ``rule``."""

    rule: PostProcessing

    def __call__(self, predictions: RegionPredictions) -> Detections:
        return self.rule.candidates(predictions)


def _check(tile: Any, overlap: Any) -> None:
    if isinstance(tile, bool) or not isinstance(tile, Integral) or int(tile) < 32:
        raise ValueError(f"tile must be a number of pixels, 32 or more, got {tile!r}")
    if not isinstance(overlap, Real) or not 0 <= float(overlap) <= 0.5:
        raise ValueError(f"tile_overlap must lie in [0, 0.5], got {overlap!r}")


def _detect(detector: Pipeline, images: Sequence[NDArray[np.uint8]]) -> list[Detections]:
    if not images:
        return []
    sizes = [(image.shape[0], image.shape[1]) for image in images]
    return detector.detect_prepared([detector.preparation(image) for image in images], sizes)
