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
    """Boxes [R, 4] of one image -> their features [R, D].

    ``compute``: boxes [R, 4] -> [R, D].  ``place``: boxes [R, 4] -> [R, ...]; where two boxes have
    the same, ``compute`` must say the same of them.  NaN is the same as nothing.
    What was computed is kept as long as this is: 8 KB for each region after conv5.
    """

    def __init__(
        self, *, compute: Callable[[Tensor], Tensor], place: Callable[[Tensor], Tensor]
    ) -> None:
        self.compute = compute
        self.place = place
        self._rows: dict[tuple[float, ...], int] = {}  # place -> where its features stand
        self._found: list[Tensor] = []

    def __call__(self, boxes: Tensor) -> Tensor:
        places = [tuple(place) for place in self.place(boxes).tolist()]
        fresh = []
        for i, place in enumerate(places):
            if place not in self._rows:
                self._rows[place] = len(self._rows)
                fresh.append(i)
        self._found.append(self.compute(boxes[fresh]))
        return torch.cat(self._found)[[self._rows[place] for place in places]]
