"""RegionCache: it saves a CPU work in the per-region layers, which take most of its time.

Equal regions are computed once.  RoI pooling rounds a region to whole cells of the feature map
(Girshick 2015, section 2.1), so regions that round to the same cells have the same feature.  A few
of 300 proposals do.  Box refinement moves many regions onto the same object: many of 300 refined
regions are equal to one of the first pass or to each other.

Regions are computed in chunks, so small that the activations of a chunk stay in the CPU's cache.

The results are those of computing every region.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor

from detection import boxes as box_ops
from detection.ops.roi_pool import roi_cells

# Where nobody says how many.  R-101 on two cores of a Xeon with AMX: 32, 64, 128 and 300 at once
# take 1.66, 1.57, 1.54 and 1.52 s for 300 regions in fp32, 0.58, 0.46, 0.51 and 0.52 s in bf16.
REGIONS_AT_ONCE = 64


class RegionCache:
    """Boxes [R, 4] of one image -> their features [R, D].  For inference.

    ``compute``: boxes [R, 4] -> their features [R, D]; it gets a chunk of them.
    ``cells``: boxes [R, 4] -> [R, ...], the key of the cache.  Boxes with equal keys must have
    equal features.  A key with NaN equals no other.
    ``regions_at_once``: see :func:`in_chunks`.

    Features are kept as long as this object is: 8 KB for each region after conv5.  On a GPU nothing
    is kept: the search for equal regions would make the host wait.
    """

    def __init__(
        self,
        *,
        compute: Callable[[Tensor], Tensor],
        cells: Callable[[Tensor], Tensor],
        regions_at_once: int,
    ) -> None:
        self.compute = compute
        self.cells = cells
        self.regions_at_once = regions_at_once
        self._rows: dict[tuple[float, ...], int] = {}  # key -> row of ``_features``, concatenated
        self._features: list[Tensor] = []

    def __call__(self, boxes: Tensor) -> Tensor:
        if boxes.device.type != "cpu":
            return self._compute_all(boxes)
        keys = [tuple(key) for key in self.cells(boxes).tolist()]
        new = []
        for i, key in enumerate(keys):
            if key not in self._rows:
                self._rows[key] = len(self._rows)
                new.append(i)
        self._features.append(self._compute_all(boxes[new]))
        return torch.cat(self._features)[[self._rows[key] for key in keys]]

    def _compute_all(self, boxes: Tensor) -> Tensor:
        chunks = in_chunks(boxes, regions_at_once=self.regions_at_once)
        return torch.cat([self.compute(chunk) for chunk in chunks])


def in_chunks(regions: Tensor, *, regions_at_once: int) -> tuple[Tensor, ...]:
    """[R, ...] in chunks that go through the per-region layers together; one even of no regions.

    A chunk has ``regions_at_once`` regions on a CPU.  On a GPU, where a chunk need not fit a cache
    and only memory is bounded, it has eight times as many.
    """
    size = regions_at_once * (1 if regions.device.type == "cpu" else 8)
    return regions.split(size) or (regions,)


def pooled_cells(
    boxes: Tensor, *, pooling: Literal["roi_pool", "roi_align"], spatial_scale: float
) -> Tensor:
    """[R, 4]: boxes for which this is the same are pooled from the same cells.

    RoI pooling rounds boxes to cells; RoIAlign does not round, so only equal boxes are the same.
    """
    if pooling == "roi_align":
        return boxes
    return roi_cells(box_ops.with_last_pixels(boxes), spatial_scale)
