"""The box convention, and the arithmetic that depends on it.

A box is (x1, y1, x2, y2) in float pixels with continuous edges: x to the right, y down, the image
spans [0, width] x [0, height], and a box that covers exactly the first pixel is (0, 0, 1, 1).
Width is x2 - x1, with no "+ 1".  VOC's 1-based inclusive integers are converted where they are
read and written (:func:`from_voc`, :func:`to_voc`), COCO's (x, y, width, height) likewise.
"""

from __future__ import annotations

import math
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

# A regressed box grows at most to 1000 / 16 times its anchor: exp() of an untrained network's
# output would overflow (the limit of Detectron and its successors).
MAX_LOG_SCALE = math.log(1000 / 16)

Float = TypeVar("Float", np.float32, np.float64)


def area(boxes: Tensor) -> Tensor:
    """[..., 4] -> [...]: areas in square pixels."""
    return (boxes[..., 2] - boxes[..., 0]) * (boxes[..., 3] - boxes[..., 1])


def intersection(a: Tensor, b: Tensor) -> Tensor:
    """[A, 4], [B, 4] -> [A, B]: areas in common."""
    upper = torch.maximum(a[:, None, :2], b[None, :, :2])
    lower = torch.minimum(a[:, None, 2:], b[None, :, 2:])
    extent = (lower - upper).clamp_(min=0)
    return extent[..., 0] * extent[..., 1]


def iou(a: Tensor, b: Tensor) -> Tensor:
    """[A, 4], [B, 4] -> [A, B]: intersection over union in [0, 1]; 0 where both are empty."""
    common = intersection(a, b)
    union = area(a)[:, None] + area(b)[None, :] - common
    return common / union.clamp_(min=torch.finfo(common.dtype).tiny)


def coverage(a: Tensor, b: Tensor) -> Tensor:
    """[A, 4], [B, 4] -> [A, B]: the part of each ``a`` that lies in ``b`` (COCO's crowd IoU)."""
    return intersection(a, b) / area(a).clamp(min=torch.finfo(a.dtype).tiny)[:, None]


def clip(boxes: Tensor, size: tuple[int, int]) -> Tensor:
    """[..., 4] cut to an image of ``size`` = (height, width)."""
    height, width = size
    x1, y1, x2, y2 = boxes.unbind(-1)
    x1, x2 = x1.clamp(0, width), x2.clamp(0, width)
    y1, y2 = y1.clamp(0, height), y2.clamp(0, height)
    return torch.stack((x1, y1, x2, y2), dim=-1)


def with_last_pixels(boxes: Tensor) -> Tensor:
    """[..., 4] -> [..., 4]: continuous edges -> Caffe's corners: its x2 and y2 are the last pixel.

    Pixel 0 is (0, 0, 0, 0) there, and (0, 0, 1, 1) here.
    """
    return torch.cat((boxes[..., :2], boxes[..., 2:] - 1), dim=-1)


def encode(boxes: Tensor, anchors: Tensor, weights: tuple[float, float, float, float]) -> Tensor:
    """The deltas (dx, dy, dw, dh) that turn ``anchors`` into ``boxes``, times ``weights``.

    Girshick et al. 2014, appendix C: dx = (x - xa) / wa, dw = ln(w / wa), with x the centre.
    Both [..., 4]; widths and heights must be positive.
    """
    anchor_size = anchors[..., 2:] - anchors[..., :2]
    anchor_centre = anchors[..., :2] + 0.5 * anchor_size
    size = boxes[..., 2:] - boxes[..., :2]
    centre = boxes[..., :2] + 0.5 * size
    dx, dy = ((centre - anchor_centre) / anchor_size).unbind(-1)
    dw, dh = (size / anchor_size).log().unbind(-1)
    # Numbers, no tensor of weights: copying that to a GPU would make the host wait for it.
    wx, wy, ww, wh = weights
    return torch.stack((dx * wx, dy * wy, dw * ww, dh * wh), dim=-1)


def decode(deltas: Tensor, anchors: Tensor, weights: tuple[float, float, float, float]) -> Tensor:
    """The inverse of :func:`encode`: boxes [..., 4], dw and dh limited to ln(1000 / 16)."""
    dx, dy, dw, dh = (
        delta / weight for delta, weight in zip(deltas.unbind(-1), weights, strict=True)
    )
    x1, y1, x2, y2 = anchors.unbind(-1)
    width, height = x2 - x1, y2 - y1
    x = x1 + 0.5 * width + dx * width
    y = y1 + 0.5 * height + dy * height
    half_width = 0.5 * width * dw.clamp(max=MAX_LOG_SCALE).exp()
    half_height = 0.5 * height * dh.clamp(max=MAX_LOG_SCALE).exp()
    return torch.stack((x - half_width, y - half_height, x + half_width, y + half_height), dim=-1)


def flip(boxes: Tensor, width: float) -> Tensor:
    """[..., 4] mirrored left to right in an image of ``width``; its own inverse."""
    x1, y1, x2, y2 = boxes.unbind(-1)
    return torch.stack((width - x2, y1, width - x1, y2), dim=-1)


def rescale(boxes: Tensor, size: tuple[int, int], new_size: tuple[int, int]) -> Tensor:
    """[..., 4] moved from an image of ``size`` to one of ``new_size``, both (height, width)."""
    y, x = new_size[0] / size[0], new_size[1] / size[1]
    x1, y1, x2, y2 = boxes.unbind(-1)
    return torch.stack((x1 * x, y1 * y, x2 * x, y2 * y), dim=-1)


def from_coco(boxes: NDArray[Float]) -> NDArray[Float]:
    """[..., 4] (x, y, width, height) -> (x1, y1, x2, y2)."""
    return np.concatenate((boxes[..., :2], boxes[..., :2] + boxes[..., 2:]), axis=-1)


def to_coco(boxes: NDArray[Float]) -> NDArray[Float]:
    """The inverse of :func:`from_coco`."""
    return np.concatenate((boxes[..., :2], boxes[..., 2:] - boxes[..., :2]), axis=-1)


def from_voc(boxes: NDArray[np.float32]) -> NDArray[np.float32]:
    """[..., 4] VOC's 1-based inclusive (xmin, ymin, xmax, ymax) -> continuous (x1, y1, x2, y2).

    Pixel 1 spans [0, 1], so only the upper left corner moves, and VOC's "xmax - xmin + 1" becomes
    x2 - x1: overlaps computed from the result are those of the VOC development kit.
    """
    return boxes - np.array((1, 1, 0, 0), dtype=boxes.dtype)


def to_voc(boxes: NDArray[np.float32]) -> NDArray[np.float32]:
    """The inverse of :func:`from_voc`."""
    return boxes + np.array((1, 1, 0, 0), dtype=boxes.dtype)
