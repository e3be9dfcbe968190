"""Greedy non-maximum suppression (NMS), by torchvision's operator."""

from __future__ import annotations

import torch
from torch import Tensor

from detection.ops.torchvision_nms import nms as torchvision_nms

# The number of boxes that are compared with the kept ones at a time.  The first one or two thousand
# of 6,000-12,000 proposals give a few hundred survivors.  A chunk costs (kept + chunk) * chunk.
CHUNK = 1024


def nms_until(boxes: Tensor, iou_threshold: float, limit: int) -> Tensor:
    """The first ``limit`` survivors of greedy NMS over ``boxes`` [B, 4], sorted best first.

    Returns their indices, ascending: exactly ``nms(boxes, ...)[:limit]``, but the work stops when
    enough boxes have survived.  Each chunk of boxes goes through the operator together with the
    survivors before it.  Survivors do not suppress each other, so all of them survive again.
    """
    kept = torch.empty(0, dtype=torch.int64, device=boxes.device)
    # A GPU compares all pairs at once, and each call makes the host wait: one chunk there.
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
    # In float64, because each class is shifted by thousands of pixels.  There, float32 coordinates
    # lose the digits that decide whether an IoU is above the threshold.
    boxes, scores = boxes.double(), scores.double()
    if len(boxes) == 0:
        return labels.new_empty(0)
    # torchvision's batched_nms, with its limits: shifting classes apart compares all pairs.
    if boxes.numel() <= (4_000 if boxes.device.type == "cpu" else 100_000):
        offsets = labels.to(boxes) * (boxes.max() + 1)
        return torchvision_nms(boxes + offsets[:, None], scores, iou_threshold)
    survives = torch.zeros(len(boxes), dtype=torch.bool, device=boxes.device)
    for label in labels.unique():
        own = (labels == label).nonzero()[:, 0]
        survives[own[torchvision_nms(boxes[own], scores[own], iou_threshold)]] = True
    kept = survives.nonzero()[:, 0]
    return kept[scores[kept].sort(descending=True)[1]]
