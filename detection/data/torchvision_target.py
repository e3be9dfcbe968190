"""torchvision's ground truth of one image, a dict, as a target of ours."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from detection.structures import Target


def to_target(given: Mapping[str, Tensor], *, index: int, num_classes: int) -> Target:
    """One of torchvision's dicts -> ours, in pixels of the image.

    Raises ValueError that names the target, ``index``, and the value.
    """
    where = f"targets[{index}]"
    if not isinstance(given, Mapping):
        raise ValueError(f"{where} must be a dict of boxes and labels, got {type(given).__name__}")
    missing = {"boxes", "labels"} - given.keys()
    if missing:
        raise ValueError(f"{where} has no {' and no '.join(sorted(missing))}")
    boxes, labels = given["boxes"], given["labels"]
    for name, value in (("boxes", boxes), ("labels", labels)):
        if not isinstance(value, Tensor):
            raise ValueError(f"{where}: {name} must be a tensor, got {type(value).__name__}")
    if boxes.shape == (0,) and labels.numel() == 0:  # torch.tensor([]) has neither shape nor type
        boxes, labels = boxes.new_zeros(0, 4), labels.new_zeros(0, dtype=torch.int64)
    form = getattr(boxes, "format", None)  # torchvision's BoundingBoxes know theirs
    if form is not None and not str(form).endswith("XYXY"):
        raise ValueError(f"{where}: boxes must be (x1, y1, x2, y2), got those of {form}")
    crowd = given.get("iscrowd", torch.zeros(len(labels), dtype=torch.bool))
    if not boxes.is_floating_point() or boxes.ndim != 2 or boxes.shape[1] != 4:
        raise ValueError(
            f"{where}: boxes must be a float tensor [N, 4], got {boxes.dtype} {list(boxes.shape)}"
        )
    if labels.dtype != torch.int64 or not len(boxes) == len(labels) == len(crowd):
        raise ValueError(
            f"{where}: labels must be int64 [N] for {len(boxes)} boxes, got {labels.dtype} "
            f"{list(labels.shape)}, iscrowd {list(crowd.shape)}"
        )
    good = (boxes[:, 2:] > boxes[:, :2]).all(dim=1) & boxes.isfinite().all(dim=1)
    if not good.all():
        box = boxes[~good][0].tolist()
        raise ValueError(
            f"{where}: boxes (x1, y1, x2, y2) must have a positive width and height; found {box}"
        )
    if len(labels) and not 1 <= int(labels.min()) <= int(labels.max()) <= num_classes:
        raise ValueError(
            f"{where}: labels are 1 ... {num_classes}, 0 is background; found "
            f"{int(labels.min())} ... {int(labels.max())}"
        )
    return Target(boxes=boxes.float(), labels=labels, ignored=crowd.bool())
