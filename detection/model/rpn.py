"""The region proposal network (Ren et al. 2015, section 3.1).

A 3x3 convolution slides over the shared features; two sibling 1x1 convolutions predict, for each
of the k anchors at each position, one objectness logit and four deltas.  (One logit and a sigmoid
is the paper's footnote 3; its two-class softmax is the same function of the difference.)

Shapes: N images, B = h * w * k anchors per image, ordered by row, column, anchor.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from detection.model.anchors import Anchors
from detection.model.losses import objectness_loss, smooth_l1
from detection.model.proposals import ProposalSelection
from detection.model.targets import AnchorSampling
from detection.precision import at_least_fp32
from detection.structures import Proposals, Target


class RPN(nn.Module):
    """``sampling``: which anchors are learnt from.

    ``training_proposals``, ``test_proposals``: how many proposals, in training and in inference.
    ``sigma``: where the smooth L1 loss turns from square to linear, |x| = 1 / sigma^2.  With an
    infinite ``sigma`` (``.inf`` in YAML) it is the L1 loss.
    ``init_std``: standard deviation of the initial weights.
    """

    def __init__(
        self,
        *,
        in_channels: int,
        hidden_channels: int,
        anchors: Anchors,
        sampling: AnchorSampling,
        training_proposals: ProposalSelection,
        test_proposals: ProposalSelection,
        sigma: float,
        init_std: float,
    ) -> None:
        super().__init__()
        self.anchors = anchors
        self.sampling = sampling
        self.training_proposals = training_proposals
        self.test_proposals = test_proposals
        self.sigma = sigma
        self.conv = nn.Conv2d(in_channels, hidden_channels, 3, padding=1)
        self.objectness = nn.Conv2d(hidden_channels, anchors.per_position, 1)
        self.deltas = nn.Conv2d(hidden_channels, 4 * anchors.per_position, 1)
        for layer in (self.conv, self.objectness, self.deltas):
            nn.init.normal_(layer.weight, std=init_std)
            nn.init.zeros_(layer.bias)  # type: ignore[arg-type]

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Features [N, C, h, w] -> objectness logits [N, B] and deltas [N, B, 4], float32."""
        hidden = F.relu(self.conv(features), inplace=True)
        logits = self.objectness(hidden).permute(0, 2, 3, 1)  # [N, h, w, k]
        deltas = self.deltas(hidden).permute(0, 2, 3, 1)  # [N, h, w, 4k]
        logits, deltas = logits.flatten(1), deltas.reshape(len(deltas), -1, 4)
        return at_least_fp32(logits), at_least_fp32(deltas)

    def propose(
        self,
        logits: Tensor,
        deltas: Tensor,
        anchors: Tensor,
        sizes: list[tuple[int, int]],
        selection: ProposalSelection,
    ) -> list[Proposals]:
        """The proposals of each image, without gradients; ``sizes``: (height, width) of each."""
        return selection(logits, deltas, anchors, sizes)

    def losses(
        self,
        logits: Tensor,
        deltas: Tensor,
        anchors: Tensor,
        sizes: list[tuple[int, int]],
        targets: list[Target],
    ) -> tuple[Tensor, Tensor]:
        """(objectness loss, box loss) of each image, [N] and [N]; eq. 1 is their means.

        Both are divided by the number of *all* sampled anchors (``AnchorSampling.divide_by``).
        """
        return anchor_losses(
            logits, deltas, anchors, sizes, targets, sampling=self.sampling, sigma=self.sigma
        )


def anchor_losses(
    logits: Tensor,
    deltas: Tensor,
    anchors: Tensor,
    sizes: list[tuple[int, int]],
    targets: list[Target],
    *,
    sampling: AnchorSampling,
    sigma: float,
) -> tuple[Tensor, Tensor]:
    """See :meth:`RPN.losses`; ``sampling``, ``sigma``: see :class:`RPN`."""

    def of_image(
        logits: Tensor, deltas: Tensor, size: tuple[int, int], target: Target
    ) -> tuple[Tensor, Tensor]:
        learnt = sampling.targets(anchors, target, size)
        sampled = learnt.sampled
        objectness = objectness_loss(logits[sampled.index], sampled.positive)
        box = smooth_l1(deltas[sampled.index], learnt.deltas, sigma=sigma) * sampled.positive
        return sampling.mean(sampled, objectness), sampling.mean(sampled, box)

    per_image = [of_image(*image) for image in zip(logits, deltas, sizes, targets, strict=True)]
    objectness, box = (torch.stack(losses) for losses in zip(*per_image, strict=True))
    return objectness, box
