"""RoI pooling (Girshick 2015, Fast R-CNN, section 2.1) and RoIAlign (He et al. 2017, section 3).

The public functions, the fake kernels that let ``torch.compile`` trace them, and their gradients.
The schemas and the CPU kernels are in ``csrc/roi_pool.cpp``, the CUDA kernels in
``csrc/roi_pool.cu``, and what both compute in ``csrc/roi_geometry.h``.  Where there is no compiled
kernel, torchvision's operators do the same more slowly (:mod:`detection.ops.extension` says so).
"""

from __future__ import annotations

import math
from typing import Any

import torch
import torchvision
from torch import Tensor

from detection.ops import extension

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
    ``rois``: [K, 5] rows (image, x1, y1, x2, y2), or N tensors [L, 4], in any floating-point type
    and in any unit that ``spatial_scale`` turns into cells of the map (1 / stride for pixels of
    the image).  ``output_size``: the number of bins (rows, columns), one number for a square.
    ``bin_step``: only every ``bin_step``-th row and column of bins, from the first on, is computed
    and returned.  A 1x1 convolution of stride 2 reads no others (He et al. 2015, conv5_1).

    Returns [K, C, ceil(rows / bin_step), ceil(columns / bin_step)] in the type and the layout of
    ``features``.  Ends are rounded half away from zero and belong to the RoI, which covers at
    least one cell; a bin that lies outside the map is 0.  NaN among the features never wins.  A
    RoI with a coordinate that is NaN or infinite pools to NaN and passes no gradient on, so that a
    diverged network is seen in the loss; so does, on CUDA, a RoI of an image that is not there.

    Differentiable once with respect to ``features``.  The gradient is the same in every run on the
    CPU, and on CUDA under ``torch.use_deterministic_algorithms(True)`` (slower there).  Under
    autocast the type of ``features`` is kept: coordinates are computed in float32 (float64 for
    float64 features) and maxima are exact in any type.

    Raises ValueError if a shape, type, device or number is not as said above.
    """
    boxes = _as_rois(features, rois)
    height, width = _as_pair(output_size)
    scale, step = _checked(spatial_scale, bin_step)
    if not extension.serves(features.device):
        return _torchvision_roi_pool(features, boxes, (height, width), scale, step)
    if features.requires_grad and torch.is_grad_enabled():
        pooled: Tensor = torch.ops.detection.roi_pool_argmax(
            features, boxes, height, width, scale, step
        )[0]
    else:
        pooled = torch.ops.detection.roi_pool(features, boxes, height, width, scale, step)
    return pooled


def roi_cells(boxes: Tensor, spatial_scale: float) -> Tensor:
    """[R, 4] (x1, y1, x2, y2): the first and the last cells of ``boxes`` [R, 4] in RoIPool.

    :func:`roi_pool` gives the same, bit for bit, for RoIs of one image with the same cells; that
    is, if ``boxes`` are float32 and features float32 or narrower, or the scale is a power of two.
    """
    cells = boxes * spatial_scale
    whole = cells.trunc()
    # Half away from zero; torch.round would go to the even number.
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
    spans (rounded up).  ``aligned``: coordinates are shifted by half a cell, so that they point at
    cell centres (detectron2's correction).  Everything else, including the treatment of numbers
    that are not finite, is as for :func:`roi_pool`.  Sums are float32 for 16-bit features.
    """
    boxes = _as_rois(features, rois)
    height, width = _as_pair(output_size)
    scale, step = _checked(spatial_scale, bin_step)
    if not extension.serves(features.device):
        return _torchvision_roi_align(
            features, boxes, (height, width), scale, sampling_ratio, aligned, step
        )
    pooled: Tensor = torch.ops.detection.roi_align(
        features, boxes, height, width, scale, sampling_ratio, aligned, step
    )
    return pooled


# ---- Arguments -------------------------------------------------------------------------------


def _as_rois(features: Tensor, rois: Tensor | list[Tensor]) -> Tensor:
    """[K, 5], checked as far as that is possible without waiting for a GPU."""
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


# ---- Fake kernels: shapes, types and strides without data ------------------------------------


def _is_channels_last(features: Tensor) -> bool:
    """The rule of ``is_channels_last`` in ``csrc/roi_operators.h``."""
    return bool(features.shape[1] > 1 and features.stride(1) == 1)


def _empty(like: Tensor, shape: tuple[int, ...], dtype: torch.dtype, channels_last: bool) -> Tensor:
    layout = torch.channels_last if channels_last else torch.contiguous_format
    return torch.empty(shape, dtype=dtype, device=like.device, memory_format=layout)


def _bins(size: int, step: int) -> int:
    return (size + step - 1) // step


def _fake_pooled(features: Tensor, rois: Tensor, height: int, width: int, bin_step: int) -> Tensor:
    shape = (rois.shape[0], features.shape[1], _bins(height, bin_step), _bins(width, bin_step))
    return _empty(features, shape, features.dtype, _is_channels_last(features))


def _fake_roi_pool(
    features: Tensor, rois: Tensor, height: int, width: int, spatial_scale: float, bin_step: int
) -> Tensor:
    return _fake_pooled(features, rois, height, width, bin_step)


def _fake_roi_pool_argmax(
    features: Tensor, rois: Tensor, height: int, width: int, spatial_scale: float, bin_step: int
) -> tuple[Tensor, Tensor]:
    pooled = _fake_pooled(features, rois, height, width, bin_step)
    cells = features.shape[2] * features.shape[3]
    # argmax_type in csrc/roi_operators.h: all ones means that no cell won.
    dtype = torch.uint8 if cells <= 0xFF else torch.int16 if cells <= 0xFFFF else torch.int32
    dense = features.shape[1] > 1 and (features.device.type == "cpu" or _is_channels_last(features))
    return pooled, _empty(features, tuple(pooled.shape), dtype, dense)


def _fake_backward(
    grad: Tensor, images: int, map_height: int, map_width: int, channels_last: bool
) -> Tensor:
    shape = (images, grad.shape[1], map_height, map_width)
    return _empty(grad, shape, grad.dtype, bool(channels_last and grad.shape[1] > 1))


def _fake_roi_pool_backward(
    grad: Tensor,
    argmax: Tensor,
    rois: Tensor,
    images: int,
    map_height: int,
    map_width: int,
    height: int,
    width: int,
    spatial_scale: float,
    bin_step: int,
    channels_last: bool,
    deterministic: bool,
) -> Tensor:
    return _fake_backward(grad, images, map_height, map_width, channels_last)


def _fake_roi_align(
    features: Tensor,
    rois: Tensor,
    height: int,
    width: int,
    spatial_scale: float,
    sampling_ratio: int,
    aligned: bool,
    bin_step: int,
) -> Tensor:
    return _fake_pooled(features, rois, height, width, bin_step)


def _fake_roi_align_backward(
    grad: Tensor,
    rois: Tensor,
    images: int,
    map_height: int,
    map_width: int,
    height: int,
    width: int,
    spatial_scale: float,
    sampling_ratio: int,
    aligned: bool,
    bin_step: int,
    channels_last: bool,
    deterministic: bool,
) -> Tensor:
    return _fake_backward(grad, images, map_height, map_width, channels_last)


# ---- Gradients -------------------------------------------------------------------------------


def _remember(ctx: Any, features: Tensor, *arguments: Any) -> None:
    ctx.map = (features.shape[0], features.shape[2], features.shape[3])
    ctx.arguments = arguments
    ctx.channels_last = _is_channels_last(features)


def _remember_winners(
    ctx: Any, inputs: tuple[Any, ...], output: Tensor | tuple[Tensor, ...]
) -> None:
    """Of roi_pool_argmax the argmax, of roi_pool the features, from which it can be found again."""
    features, rois, *arguments = inputs
    ctx.set_materialize_grads(False)  # else the argmax gets a "gradient" of zeros as large as it is
    ctx.has_argmax = isinstance(output, tuple)
    ctx.save_for_backward(output[1] if ctx.has_argmax else features, rois)
    _remember(ctx, features, *arguments)


def _roi_pool_backward(ctx: Any, grad: Tensor | None, *_: None) -> tuple[Tensor | None, ...]:
    if grad is None:
        return None, None, None, None, None, None
    argmax, rois = ctx.saved_tensors
    if not ctx.has_argmax:
        argmax = torch.ops.detection.roi_pool_argmax(argmax.detach(), rois, *ctx.arguments)[1]
    features_grad = torch.ops.detection.roi_pool_backward(
        grad, argmax, rois, *ctx.map, *ctx.arguments, ctx.channels_last, _deterministic()
    )
    return features_grad, None, None, None, None, None


def _remember_rois(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    features, rois, *arguments = inputs
    ctx.save_for_backward(rois)
    _remember(ctx, features, *arguments)


def _roi_align_backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    (rois,) = ctx.saved_tensors
    features_grad = torch.ops.detection.roi_align_backward(
        grad, rois, *ctx.map, *ctx.arguments, ctx.channels_last, _deterministic()
    )
    return features_grad, None, None, None, None, None, None, None


def _remember_nothing(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    pass


def _refuse(ctx: Any, *grads: Tensor) -> tuple[None, ...]:
    raise RuntimeError("RoI pooling is differentiable once; its gradient has no gradient")


def _deterministic() -> bool:
    return torch.are_deterministic_algorithms_enabled()


if not isinstance(extension.cpu, str):
    torch.library.register_fake("detection::roi_pool", _fake_roi_pool)
    torch.library.register_fake("detection::roi_pool_argmax", _fake_roi_pool_argmax)
    torch.library.register_fake("detection::roi_pool_backward", _fake_roi_pool_backward)
    torch.library.register_fake("detection::roi_align", _fake_roi_align)
    torch.library.register_fake("detection::roi_align_backward", _fake_roi_align_backward)
    for _name in ("detection::roi_pool", "detection::roi_pool_argmax"):
        torch.library.register_autograd(_name, _roi_pool_backward, setup_context=_remember_winners)
    torch.library.register_autograd(
        "detection::roi_align", _roi_align_backward, setup_context=_remember_rois
    )
    for _name in ("detection::roi_pool_backward", "detection::roi_align_backward"):
        torch.library.register_autograd(_name, _refuse, setup_context=_remember_nothing)


# ---- Without compiled kernels ----------------------------------------------------------------


def _torchvision_roi_pool(
    features: Tensor, rois: Tensor, output_size: tuple[int, int], spatial_scale: float, step: int
) -> Tensor:
    source, boxes, valid = _torchvision_arguments(features, rois)
    pooled = torchvision.ops.roi_pool(source, boxes, output_size, spatial_scale)
    return _as_compiled(pooled, features, valid, step)


def _torchvision_roi_align(
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
    """torchvision wants one type for both, knows no bfloat16, and reads anywhere for NaN."""
    source = features if features.dtype == torch.float64 else features.float()
    images = features.shape[0]
    valid = rois.isfinite().all(dim=1) & (rois[:, 0] >= 0) & (rois[:, 0] < images)
    return source, torch.where(valid[:, None], rois, 0).to(source.dtype), valid


def _as_compiled(pooled: Tensor, features: Tensor, valid: Tensor, step: int) -> Tensor:
    pooled = pooled[:, :, ::step, ::step].to(features.dtype)
    pooled = pooled.masked_fill(~valid[:, None, None, None], math.nan)
    layout = torch.channels_last if _is_channels_last(features) else torch.contiguous_format
    return pooled.contiguous(memory_format=layout)
