"""The features of given regions: conv5's vectors, as captioning and question answering use them.

Anderson et al. 2018 (arXiv:1707.07998) take them of a Faster R-CNN on ResNet-101 C4: RoI pooling of
conv4's features, conv5, the mean over the bins.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from detection import boxes as box_ops
from detection.model.faster_rcnn import FasterRCNN
from detection.structures import ImageBatch


def regions_of(boxes: object, size: tuple[int, int]) -> Tensor:
    """Boxes [R, 4] in a photo of ``size`` -> float32 [R, 4], clipped to it.

    Raises ValueError for other shapes, numbers that are not finite, boxes without an area, and
    boxes outside the photo.
    """
    try:
        given = torch.as_tensor(np.asarray(boxes) if isinstance(boxes, (list, tuple)) else boxes)
    except (TypeError, ValueError, RuntimeError):
        raise ValueError(f"boxes must be numbers [R, 4], got {type(boxes).__name__}") from None
    regions = given.detach().cpu().float()
    if regions.numel() == 0:
        return regions.new_zeros(0, 4)
    if regions.ndim != 2 or regions.shape[1] != 4:
        raise ValueError(f"boxes must be [R, 4], (x1, y1, x2, y2), got {list(regions.shape)}")
    clipped = box_ops.clip(regions, size)
    # A NaN is not greater than anything.
    has_area = ((clipped[:, 2:] > clipped[:, :2]).all(dim=1) & regions.isfinite().all(dim=1)).cpu()
    if not has_area.all():
        row = int((~has_area).nonzero()[0])
        raise ValueError(
            f"box {row} is {regions[row].tolist()}: expected x1 < x2 and y1 < y2 in pixels, inside "
            f"the photo of {size[1]} x {size[0]}"
        )
    return clipped


def vectors(
    model: FasterRCNN, image: ImageBatch, regions: Tensor, original: tuple[int, int]
) -> Tensor:
    """[R, region_channels] of the regions [R, 4], which are in pixels of the ``original`` size.

    ``image``: one, as the model sees it.
    """
    cache = model.region_cache(model.features(image))
    return cache(box_ops.rescale(regions, original, image.sizes[0]).to(image.pixels.device))
