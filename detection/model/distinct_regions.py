"""The per-region layers, run once for regions that cannot be told apart.

RoI pooling rounds a region to whole cells of the feature map (Girshick 2015, section 2.1): regions
that round to the same cells have the same feature.  Among 300 proposals a few do.  Box refinement
moves many regions onto the same object, so that a good part of 300 refined ones was seen before, in
the first pass or beside them.  On a CPU, where these layers take most of the time, a second pass
need not cost what the first one did; the results are those of computing every region.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


class DistinctRegions:
    """Boxes [R, 4] of one image -> their features [R, D], remembered for the next call.

    ``compute``: boxes [R, 4] -> [R, D].  ``place``: boxes [R, 4] -> rows of finite numbers (or not:
    those are all one place); where two boxes have the same, ``compute`` must say the same of them.
    """

    def __init__(
        self, *, compute: Callable[[Tensor], Tensor], place: Callable[[Tensor], Tensor]
    ) -> None:
        self.compute = compute
        self.place = place
        self._places: list[Tensor] = []  # of the regions that were computed
        self._found: list[Tensor] = []  # their features

    def __call__(self, boxes: Tensor) -> Tensor:
        # NaN has no order, and equal rows are found by sorting.
        asked = self.place(boxes).nan_to_num(torch.inf, torch.inf, torch.inf)
        rows = torch.cat([*self._places, asked])
        known = len(rows) - len(asked)
        _, place = rows.unique(dim=0, return_inverse=True)
        row = torch.arange(len(rows), device=rows.device)
        first = torch.full_like(row, len(rows)).scatter_reduce(0, place, row, "amin")[place]
        fresh = first == row  # the first row of its place; all known ones are
        self._places.append(asked[fresh[known:]])
        self._found.append(self.compute(boxes[fresh[known:]]))
        position = fresh.cumsum(0) - 1  # of a fresh row among all that were computed
        return torch.cat(self._found)[position[first[known:]]]
