"""Non-maximum suppression on top of torchvision's operator."""

from __future__ import annotations

import torch
from torch import Tensor
from torchvision.ops import batched_nms
from torchvision.ops import nms as torchvision_nms

# Boxes looked at beyond those already kept.  A few hundred survivors come out of the first one or
# two thousand of 6,000-12,000 proposals; the cost of a chunk is (kept + chunk) * chunk.
CHUNK = 1024


def nms_until(boxes: Tensor, iou_threshold: float, limit: int) -> Tensor:
    """The first ``limit`` survivors of greedy NMS over ``boxes`` [B, 4], which are sorted.

    Returns their indices, ascending: exactly ``nms(boxes, ...)[:limit]``, but the work stops when
    enough boxes have survived.  A chunk of the boxes is appended to the survivors so far and goes
    through the same operator: the survivors do not suppress each other, so they come out again.
    """
    kept = torch.empty(0, dtype=torch.int64, device=boxes.device)
    # A GPU compares all pairs at once, and the host waits for it after every call.
    size = CHUNK if boxes.device.type == "cpu" else max(1, len(boxes))
    for start in range(0, len(boxes), size):
        chunk = torch.arange(start, min(start + size, len(boxes)), device=boxes.device)
        candidates = torch.cat((kept, chunk))
        rank = -torch.arange(len(candidates), device=boxes.device, dtype=boxes.dtype)
        kept = candidates[torchvision_nms(boxes[candidates], rank, iou_threshold)]
        if len(kept) >= limit:
            break
    return kept[:limit]


def class_wise_nms(boxes: Tensor, scores: Tensor, labels: Tensor, iou_threshold: float) -> Tensor:
    """Greedy NMS within each class: the survivors' indices, best score first.

    ``boxes``: [B, 4], ``scores``: [B], ``labels``: int64 [B].
    """
    # In float64: torchvision may move each class to a place of its own, thousands of pixels away,
    # where float32 coordinates have lost the digits that decide an IoU near the threshold.
    return batched_nms(boxes.double(), scores.double(), labels, iou_threshold)
