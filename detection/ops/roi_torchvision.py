"""RoI pooling and RoIAlign by torchvision's operators, for devices without a compiled kernel.

The same results as :mod:`detection.ops.roi_pool` promises, more slowly.
"""

from __future__ import annotations

import math

import torch
import torchvision
from torch import Tensor

from detection.ops.roi_operators import is_channels_last


def roi_pool(
    features: Tensor, rois: Tensor, output_size: tuple[int, int], spatial_scale: float, step: int
) -> Tensor:
    source, boxes, valid = _torchvision_arguments(features, rois)
    pooled = torchvision.ops.roi_pool(source, boxes, output_size, spatial_scale)
    return _as_compiled(pooled, features, valid, step)


def roi_align(
    features: Tensor,
    rois: Tensor,
    output_size: tuple[int, int],
    spatial_scale: float,
    sampling_ratio: int,
    aligned: bool,
    step: int,
) -> Tensor:
    source, boxes, valid = _torchvision_arguments(features, rois)
    pooled = torchvision.ops.roi_align(
        source, boxes, output_size, spatial_scale, sampling_ratio, aligned
    )
    return _as_compiled(pooled, features, valid, step)


def _torchvision_arguments(features: Tensor, rois: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """(features, rois, which rois are valid).

    torchvision needs one type for both, has no bfloat16, and reads out of bounds for NaN.
    """
    source = features if features.dtype == torch.float64 else features.float()
    images = features.shape[0]
    valid = rois.isfinite().all(dim=1) & (rois[:, 0] >= 0) & (rois[:, 0] < images)
    return source, torch.where(valid[:, None], rois, 0).to(source.dtype), valid


def _as_compiled(pooled: Tensor, features: Tensor, valid: Tensor, step: int) -> Tensor:
    """With the bins, type, layout and NaN of the compiled kernels."""
    pooled = pooled[:, :, ::step, ::step].to(features.dtype)
    pooled = pooled.masked_fill(~valid[:, None, None, None], math.nan)
    layout = torch.channels_last if is_channels_last(features) else torch.contiguous_format
    return pooled.contiguous(memory_format=layout)
