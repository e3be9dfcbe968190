"""RoI pooling (Girshick 2015, Fast R-CNN, section 2.1) and RoIAlign (He et al. 2017, section 3).

The public functions and the checks of their arguments.  The schemas and the CPU kernels are in
``csrc/roi_pool.cpp``, the CUDA kernels in ``csrc/roi_pool.cu``, the geometry of both in
``csrc/roi_geometry.h``, and the gradients in ``roi_operators.py``.  Where there is no compiled
kernel, ``roi_torchvision.py`` does the same more slowly (:mod:`detection.ops.extension` warns).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from detection.ops import extension, roi_operators

if not isinstance(extension.cpu, str):
    roi_operators.register()

DTYPES = (torch.float32, torch.float64, torch.float16, torch.bfloat16)


def roi_pool(
    features: Tensor,
    rois: Tensor | list[Tensor],
    output_size: int | tuple[int, int],
    spatial_scale: float,
    bin_step: int = 1,
) -> Tensor:
    """The maximum of each bin of each RoI, bit for bit as Caffe's and torchvision's RoIPool.

    ``features``: [N, C, H, W], float32, float64, float16 or bfloat16, NCHW or channels_last.
    ``rois``: [K, 5] rows (image, x1, y1, x2, y2), or one tensor [L, 4] per image, in any
    floating-point type.
    ``output_size``: the number of bins (rows, columns), or one number for a square.
    ``spatial_scale``: cells of the feature map per unit of ``rois``: 1 / stride if they are in
    pixels of the image.
    ``bin_step``: only every ``bin_step``-th row and column of bins, starting with the first, is
    computed and returned.  A 1x1 convolution of stride 2 reads no others (He et al. 2015, conv5_1).

    Returns [K, C, ceil(rows / bin_step), ceil(columns / bin_step)] in the type and the layout of
    ``features``.  Corners are rounded half away from zero, and both belong to the RoI, so that it
    covers at least one cell.  A bin outside the map is 0.  NaN among the features is never the
    maximum.  A RoI with a coordinate that is NaN or infinite pools to NaN and gets no gradient, so
    that the loss shows a diverged network.  On CUDA, so does a RoI of an image that is not there.

    Differentiable once with respect to ``features``.  The gradient is the same in every run on the
    CPU; on CUDA it is under ``torch.use_deterministic_algorithms(True)``, which is slower.  Under
    autocast the type of ``features`` is kept: coordinates are computed in float32 (float64 for
    float64 features), and maxima are exact in any type.

    Raises ValueError if a shape, type, device or number is not as described.
    """
    boxes = _as_rois(features, rois)
    height, width = _as_pair(output_size)
    scale, step = _checked(spatial_scale, bin_step)
    if not extension.serves(features.device):
        from detection.ops import roi_torchvision  # imports torchvision, which takes a second

        return roi_torchvision.roi_pool(features, boxes, (height, width), scale, step)
    if features.requires_grad and torch.is_grad_enabled():
        pooled: Tensor = torch.ops.detection.roi_pool_argmax(
            features, boxes, height, width, scale, step
        )[0]
    else:
        pooled = torch.ops.detection.roi_pool(features, boxes, height, width, scale, step)
    return pooled


def roi_cells(boxes: Tensor, spatial_scale: float) -> Tensor:
    """The first and the last cell of each box in RoIPool: [R, 4] -> [R, 4] (x1, y1, x2, y2).

    For RoIs of one image with the same cells, :func:`roi_pool` gives the same numbers, bit for bit.
    This needs float32 ``boxes`` and features of float32 or narrower, or a scale that is a power of
    two.
    """
    cells = boxes * spatial_scale
    whole = cells.trunc()
    # Rounds half away from zero; torch.round would round half to even.
    return whole + cells.sign() * ((cells - whole).abs() >= 0.5)


def roi_align(
    features: Tensor,
    rois: Tensor | list[Tensor],
    output_size: int | tuple[int, int],
    spatial_scale: float,
    sampling_ratio: int,
    aligned: bool,
    bin_step: int = 1,
) -> Tensor:
    """The mean of bilinear samples in each bin of each RoI, as torchvision's RoIAlign.

    ``sampling_ratio``: samples per bin along each axis; 0 or less: one per cell that the bin
    spans (rounded up).
    ``aligned``: coordinates are shifted by half a cell, so that they point at cell centres
    (detectron2's correction).
    Everything else, numbers that are not finite included, is as in :func:`roi_pool`.  Sums are
    float32 for 16-bit features.
    """
    boxes = _as_rois(features, rois)
    height, width = _as_pair(output_size)
    scale, step = _checked(spatial_scale, bin_step)
    if not extension.serves(features.device):
        from detection.ops import roi_torchvision

        return roi_torchvision.roi_align(
            features, boxes, (height, width), scale, sampling_ratio, aligned, step
        )
    pooled: Tensor = torch.ops.detection.roi_align(
        features, boxes, height, width, scale, sampling_ratio, aligned, step
    )
    return pooled


# ---- Arguments -------------------------------------------------------------------------------


def _as_rois(features: Tensor, rois: Tensor | list[Tensor]) -> Tensor:
    """``rois`` as [K, 5], with all checks that need not wait for a GPU."""
    if features.dim() != 4:
        raise ValueError(f"features must be [N, C, H, W], are {list(features.shape)}")
    if features.dtype not in DTYPES:
        names = ", ".join(str(dtype) for dtype in DTYPES)
        raise ValueError(f"features must be one of {names}, are {features.dtype}; convert them")
    boxes = rois if isinstance(rois, Tensor) else _concatenated(features, rois)
    if boxes.dim() != 2 or boxes.shape[1] != 5:
        raise ValueError(
            "rois must be a [K, 5] tensor (image, x1, y1, x2, y2) or a list of [L, 4] tensors, "
            f"are {list(boxes.shape)}"
        )
    if not boxes.dtype.is_floating_point:
        raise ValueError(f"rois must be floating-point numbers, are {boxes.dtype}; convert them")
    if boxes.device != features.device:
        raise ValueError(
            f"features are on {features.device} and rois on {boxes.device}; move one of them"
        )
    if boxes.device.type == "cpu" and not torch.compiler.is_compiling():
        _check_images(boxes, features.shape[0])
    return boxes.detach()


def _concatenated(features: Tensor, rois: list[Tensor]) -> Tensor:
    if len(rois) != features.shape[0]:
        raise ValueError(
            f"rois hold boxes of {len(rois)} images and features {features.shape[0]} images; "
            "give one [L, 4] tensor per image, [0, 4] where there is none"
        )
    for i, boxes in enumerate(rois):
        if boxes.dim() != 2 or boxes.shape[1] != 4:
            raise ValueError(f"rois[{i}] must be [L, 4] (x1, y1, x2, y2), is {list(boxes.shape)}")
    if not rois:
        return features.new_zeros((0, 5))
    return torch.cat(
        [torch.cat((boxes.new_full((len(boxes), 1), i), boxes), 1) for i, boxes in enumerate(rois)]
    )


def _check_images(boxes: Tensor, images: int) -> None:
    if len(boxes) == 0:
        return
    first, last = (float(limit) for limit in boxes[:, 0].aminmax())
    if first < 0 or last >= images:
        wrong = first if first < 0 else last
        raise ValueError(
            f"rois[:, 0] holds {wrong:g}, but features hold {images} images, numbered from 0"
        )


def _as_pair(size: int | tuple[int, int]) -> tuple[int, int]:
    height, width = (size, size) if isinstance(size, int) else size
    if height < 1 or width < 1:
        raise ValueError(f"output_size must be at least one bin each way, is {(height, width)}")
    return height, width


def _checked(spatial_scale: float, bin_step: int) -> tuple[float, int]:
    if not (math.isfinite(spatial_scale) and spatial_scale > 0):
        raise ValueError(f"spatial_scale (1 / stride) must be positive, is {spatial_scale}")
    if bin_step < 1:
        raise ValueError(f"bin_step must be at least 1, is {bin_step}")
    return float(spatial_scale), bin_step
