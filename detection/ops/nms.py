"""Greedy non-maximum suppression (NMS): our own for proposals, torchvision's within classes."""

from __future__ import annotations

import torch
from torch import Tensor

from detection.ops import extension
from detection.ops.torchvision_nms import nms as torchvision_nms

# The number of boxes that are compared with the kept ones at a time.  The first one or two thousand
# of 6,000-12,000 proposals give a few hundred survivors.  A chunk costs (kept + chunk) * chunk.
CHUNK = 1024
# What csrc/nms_kernels.h takes of an image, and the memory for it: a bit for each pair of boxes.
MOST_ON_GPU = 1 << 15
BYTES_ON_GPU = 1 << 28


def first_survivors(
    boxes: Tensor, usable: Tensor, iou_threshold: float, limit: int
) -> list[Tensor]:
    """Of each image, the first ``limit`` survivors of greedy NMS over its usable boxes.

    ``boxes``: [N, B, 4], best first, float32 or float64.  ``usable``: bool [N, B]; the others
    neither survive nor suppress.  Returns their numbers among the B boxes, ascending: those of
    torchvision's NMS on an x86 CPU, to the last one.  Without the compiled kernels, or of too many
    boxes on a GPU, pairs within rounding of the threshold may differ.  On a GPU the host waits
    once, for all images.
    """
    on_gpu = boxes.device.type == "cuda"
    most = MOST_ON_GPU if on_gpu else boxes.shape[1]
    if not extension.serves(boxes.device) or boxes.shape[1] > most or not boxes.numel():
        survivors = []
        for own_boxes, own_usable in zip(boxes, usable, strict=True):
            index = own_usable.nonzero()[:, 0]
            survivors.append(index[nms_until(own_boxes[index], iou_threshold, limit)])
        return survivors
    at_once = max(1, 8 * BYTES_ON_GPU // boxes.shape[1] ** 2) if on_gpu else len(boxes)
    parts = [
        torch.ops.detection.first_survivors(*some, iou_threshold, limit)
        for some in zip(boxes.split(at_once), usable.split(at_once), strict=True)
    ]
    kept, found = (torch.cat(part) for part in zip(*parts, strict=True))
    return [image[:count] for image, count in zip(kept, found.tolist(), strict=True)]


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
