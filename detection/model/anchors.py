"""Anchors: the reference boxes of the RPN, k per position (Ren et al. 2015, section 3.1.1)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

# The factors on (dx, dy, dw, dh) of an anchor: the RPN does not normalise its deltas, as Fast R-CNN
# does (RoIHead.box_weights).
UNIT_WEIGHTS = (1.0, 1.0, 1.0, 1.0)


class Anchors:
    """``sizes`` x ``aspect_ratios`` anchors at every position of the feature map.

    ``sizes``: square roots of the anchors' areas, in pixels.  ``aspect_ratios``: height / width.
    ``stride``: pixels between positions.  ``centre``: pixels from a position's upper left corner
    to the centre of its anchors.
    ``rounded``: py-faster-rcnn's arithmetic, which rounds the width and height of a 16-pixel box
    to whole pixels before it scales them; with ``centre=8`` this gives its published nine anchors
    (their inclusive (-84, -40, 99, 55) is (-84, -40, 100, 56) with continuous edges).
    """

    def __init__(
        self,
        *,
        sizes: Sequence[float],
        aspect_ratios: Sequence[float],
        stride: int,
        centre: float,
        rounded: bool,
    ) -> None:
        if not sizes or min(sizes) <= 0 or not aspect_ratios or min(aspect_ratios) <= 0:
            raise ValueError(
                f"anchors need positive sizes and ratios, got {list(sizes)}, {list(aspect_ratios)}"
            )
        self.stride = stride
        base = torch.tensor(
            [_shape(size, ratio, stride, rounded) for ratio in aspect_ratios for size in sizes]
        )
        self.at_origin = torch.cat((centre - base / 2, centre + base / 2), dim=1)  # [k, 4]
        # Copied to a device once: every copy makes the host wait for it.
        self._at_origin_on: dict[torch.device, Tensor] = {}

    @property
    def per_position(self) -> int:
        return len(self.at_origin)

    def __call__(self, feature_size: tuple[int, int], device: torch.device) -> Tensor:
        """(h, w) of the feature map -> [h * w * k, 4], ordered by row, column, anchor."""
        height, width = feature_size
        y = torch.arange(height, device=device) * self.stride
        x = torch.arange(width, device=device) * self.stride
        y, x = torch.meshgrid(y, x, indexing="ij")
        shifts = torch.stack((x, y, x, y), dim=-1).reshape(-1, 1, 4)  # [h * w, 1, 4]
        if device not in self._at_origin_on:
            self._at_origin_on[device] = self.at_origin.to(device)
        return (shifts + self._at_origin_on[device]).reshape(-1, 4)


def _shape(size: float, ratio: float, stride: int, rounded: bool) -> tuple[float, float]:
    """(width, height) with area size^2 and height / width = ratio."""
    if not rounded:
        return size / ratio**0.5, size * ratio**0.5
    width = round(stride / ratio**0.5)
    return width * size / stride, round(width * ratio) * size / stride
