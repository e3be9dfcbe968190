"""The per-class RPN of ImageNet localisation (He et al. 2015, appendix C).

A 3x3 convolution, and two sibling 1x1 convolutions as in Ren et al. 2015; but each of the C classes
has its own binary logistic regression of being or not being an object of it ("cls"), and its own
box regressor ("reg"), at each of the k anchors.

What class a picture shows is known: in training, and from a classifier in testing.  Only the rows
of the classes that are asked for are computed.

Shapes: N images, C classes, K of them asked for, B = h * w * k anchors, ordered by row, column,
anchor.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from detection.model.anchors import Anchors
from detection.model.rpn import anchor_losses
from detection.model.targets import AnchorSampling
from detection.precision import at_least_fp32
from detection.structures import RPNLosses, Target


class PerClassRPN(nn.Module):
    """``sampling``: which anchors are learnt from: 8 of an image, half of them positive.

    ``sigma``, ``init_std``: see :class:`detection.model.rpn.RPN`.
    """

    def __init__(
        self,
        *,
        in_channels: int,
        hidden_channels: int,
        num_classes: int,
        anchors: Anchors,
        sampling: AnchorSampling,
        sigma: float,
        init_std: float,
    ) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.anchors = anchors
        self.sampling = sampling
        self.sigma = sigma
        outputs = num_classes * anchors.per_position
        self.conv = nn.Conv2d(in_channels, hidden_channels, 3, padding=1)
        self.objectness = nn.Conv2d(hidden_channels, outputs, 1)
        self.deltas = nn.Conv2d(hidden_channels, 4 * outputs, 1)
        for layer in (self.conv, self.objectness, self.deltas):
            nn.init.normal_(layer.weight, std=init_std)
            nn.init.zeros_(layer.bias)  # type: ignore[arg-type]

    def forward(self, features: Tensor, classes: Tensor) -> tuple[Tensor, Tensor]:
        """What the classes say of each image.

        ``features``: [N, in_channels, h, w].  ``classes``: int64 [N, K], 0 ... C - 1.
        Returns the logits [N, K, B] and the deltas [N, K, B, 4], float32.
        """
        hidden = F.relu(self.conv(features), inplace=True).flatten(2)  # [N, hidden, h * w]
        k = self.anchors.per_position
        logits = self._rows(self.objectness, hidden, classes, k)  # [N, K, h * w, k]
        deltas = self._rows(self.deltas, hidden, classes, 4 * k)  # [N, K, h * w, 4k]
        return at_least_fp32(logits.flatten(2)), at_least_fp32(
            deltas.unflatten(3, (k, 4)).flatten(2, 3)
        )

    def _rows(self, layer: nn.Conv2d, hidden: Tensor, classes: Tensor, rows: int) -> Tensor:
        """A 1x1 convolution's output at [N, K, h * w, rows], of the rows of ``classes`` alone."""
        assert layer.bias is not None
        weight = layer.weight.view(self.num_classes, rows, -1)[classes]  # [N, K, rows, hidden]
        bias = layer.bias.view(self.num_classes, rows)[classes]  # [N, K, rows]
        found = torch.bmm(weight.flatten(1, 2), hidden).unflatten(1, (-1, rows))
        return (found + bias[..., None]).transpose(2, 3)

    def losses(
        self,
        features: Tensor,
        anchors: Tensor,
        sizes: list[tuple[int, int]],
        targets: list[Target],
    ) -> RPNLosses:
        """The two losses of a mini-batch of images that show one class each.

        An image teaches its own class alone: what the others say of it is asked by nobody.
        """
        classes = torch.stack([target.labels[:1] for target in targets]) - 1  # [N, 1]
        logits, deltas = self(features, classes)
        objectness, box = anchor_losses(
            logits[:, 0],
            deltas[:, 0],
            anchors,
            sizes,
            targets,
            sampling=self.sampling,
            sigma=self.sigma,
        )
        return RPNLosses(objectness.mean(), box.mean())
