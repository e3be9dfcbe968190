"""RoI pooling (Girshick 2015, Fast R-CNN, section 2.1) and RoIAlign (He et al. 2017, Mask R-CNN)."""

from __future__ import annotations

import torchvision
from torch import Tensor


def roi_pool(
    features: Tensor,
    rois: Tensor | list[Tensor],
    output_size: int | tuple[int, int],
    spatial_scale: float,
    bin_step: int = 1,
) -> Tensor:
    """[N, C, H, W], [K, 5] or N x [L, 4] -> [K, C, ceil(h / bin_step), ceil(w / bin_step)]."""
    pooled = torchvision.ops.roi_pool(features, rois, output_size, spatial_scale)
    return pooled[:, :, ::bin_step, ::bin_step]


def roi_align(
    features: Tensor,
    rois: Tensor | list[Tensor],
    output_size: int | tuple[int, int],
    spatial_scale: float,
    sampling_ratio: int,
    aligned: bool,
    bin_step: int = 1,
) -> Tensor:
    """[N, C, H, W], [K, 5] or N x [L, 4] -> [K, C, ceil(h / bin_step), ceil(w / bin_step)]."""
    pooled = torchvision.ops.roi_align(
        features, rois, output_size, spatial_scale, sampling_ratio, aligned
    )
    return pooled[:, :, ::bin_step, ::bin_step]
