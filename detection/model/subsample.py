"""The boxes of a mini-batch, drawn at random: positives and negatives in a given proportion.

Anchors: Ren et al. 2015, section 3.1.3.  Regions: Girshick 2015, section 2.3.

Shapes: B boxes, S of them drawn.  Every size is known before the values are, so no step waits for
the device.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Subsample:
    """``index``: int64 [S], which boxes were chosen at random, positives first.

    ``positive``: bool [S].  ``valid``: bool [S]; False where the image had too few boxes.
    """

    index: Tensor
    positive: Tensor
    valid: Tensor

    def sum(self, values: Tensor) -> Tensor:
        """[S] -> scalar: the sum over the valid boxes."""
        return (values * self.valid).sum()

    def mean(self, values: Tensor) -> Tensor:
        """[S] -> scalar: the sum over the valid boxes divided by their number."""
        return self.sum(values) / self.valid.sum().clamp(min=1)


def subsample(
    positive: Tensor,
    negative: Tensor,
    *,
    size: int,
    positive_fraction: float,
    generator: torch.Generator | None,
) -> Subsample:
    """Chooses ``size`` boxes at random, at most ``positive_fraction`` of ``size`` positive.

    ``positive``, ``negative``: bool [B].  Negatives replace positives that are missing.
    ``generator``: of the random numbers, on the boxes' device; None: the global one.
    """
    # The fraction is of the size that was asked for, as everywhere since py-faster-rcnn, and not
    # of the boxes there are: an image with few boxes would lose positives.
    most_positives = min(round(size * positive_fraction), len(positive))
    size = min(size, len(positive))
    chance = torch.rand(len(positive), device=positive.device, generator=generator)
    chosen = chance.masked_fill(~positive, -1).topk(most_positives)
    order = chance.masked_fill(~negative | positive, -1)
    # Chosen positives get 2 and so come before every negative.  Where there were too few, topk also
    # returned boxes that are not positive (value -1): these keep their order.
    first = torch.where(chosen.values >= 0, 2.0, order[chosen.indices])
    order = order.scatter(0, chosen.indices, first)
    value, index = order.topk(size)
    return Subsample(index=index, positive=value >= 2, valid=value >= 0)
