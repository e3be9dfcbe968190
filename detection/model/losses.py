"""The terms of the losses of the RPN and of Fast R-CNN, one value for each box.

The RPN's loss over the anchors i of a mini-batch (Ren et al. 2015, eq. 1):

    L({p_i}, {t_i}) = 1/N_cls sum_i L_cls(p_i, p*_i) + lambda 1/N_reg sum_i p*_i L_reg(t_i, t*_i)

Fast R-CNN's loss of one region, whose class is u (0: background) (Girshick 2015, eq. 1):

    L(p, u, t^u, v) = L_cls(p, u) + lambda [u >= 1] L_loc(t^u, v)

Both terms are divided by the number of *all* sampled boxes.  In the RPN N_cls = 256, and
lambda / N_reg = 1 / N_cls as in every implementation since py-faster-rcnn.  In Fast R-CNN it is the
number of regions, and lambda = 1.  See ``divide_by`` of AnchorSampling and of RegionSampling.

Shapes: S sampled boxes, C classes.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor


def objectness_loss(logits: Tensor, positive: Tensor) -> Tensor:
    """L_cls of the RPN: logits [S], bool [S] -> [S], the log loss over object or not."""
    return F.binary_cross_entropy_with_logits(logits, positive.to(logits.dtype), reduction="none")


def class_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """L_cls of Fast R-CNN, -ln p_u: logits [S, C + 1], labels int64 [S] (0 ... C) -> [S]."""
    return F.cross_entropy(logits, labels, reduction="none")


def smooth_l1(deltas: Tensor, target_deltas: Tensor, *, sigma: float) -> Tensor:
    """L_reg and L_loc: [S, 4], [S, 4] -> [S], summed over the four deltas (Girshick 2015, eq. 3).

    0.5 (sigma x)^2 where |x| < 1 / sigma^2, |x| - 0.5 / sigma^2 beyond; |x| if sigma is infinite.
    """
    return F.smooth_l1_loss(deltas, target_deltas, beta=1 / sigma**2, reduction="none").sum(dim=1)


def deltas_of_class(deltas: Tensor, labels: Tensor) -> Tensor:
    """t^u: of the deltas [S, C, 4] those of each region's class -> [S, 4].

    Background has no deltas: those of class 1 stand in for it, and their loss must not be counted.
    """
    index = (labels - 1).clamp(min=0)[:, None, None].expand(-1, 1, 4)
    return deltas.gather(1, index)[:, 0]
