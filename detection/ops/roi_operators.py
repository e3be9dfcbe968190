"""What torch must know of the compiled RoI operators besides their kernels.

Fake kernels, which give shapes, types and strides without data, so that ``torch.compile`` can trace
the operators; and gradients.  The arguments are those of the schemas in ``csrc/roi_pool.cpp``.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


def register() -> None:
    """Tells torch; once, after the compiled kernels have been loaded."""
    torch.library.register_fake("detection::roi_pool", _fake_roi_pool)
    torch.library.register_fake("detection::roi_pool_argmax", _fake_roi_pool_argmax)
    torch.library.register_fake("detection::roi_pool_backward", _fake_roi_pool_backward)
    torch.library.register_fake("detection::roi_align", _fake_roi_align)
    torch.library.register_fake("detection::roi_align_backward", _fake_roi_align_backward)
    torch.library.register_fake("detection::first_survivors", _fake_first_survivors)
    for name in ("detection::roi_pool", "detection::roi_pool_argmax"):
        torch.library.register_autograd(name, _roi_pool_backward, setup_context=_remember_argmax)
    torch.library.register_autograd(
        "detection::roi_align", _roi_align_backward, setup_context=_remember_rois
    )
    for name in ("detection::roi_pool_backward", "detection::roi_align_backward"):
        torch.library.register_autograd(name, _refuse, setup_context=_remember_nothing)


def is_channels_last(features: Tensor) -> bool:
    """Whether an operator returns channels_last, as ``csrc/roi_operators.h`` decides it."""
    return bool(features.shape[1] > 1 and features.stride(1) == 1)


# ---- Fake kernels ----------------------------------------------------------------------------


def _empty(like: Tensor, shape: tuple[int, ...], dtype: torch.dtype, channels_last: bool) -> Tensor:
    layout = torch.channels_last if channels_last else torch.contiguous_format
    return torch.empty(shape, dtype=dtype, device=like.device, memory_format=layout)


def _bins(size: int, step: int) -> int:
    return (size + step - 1) // step


def _fake_pooled(features: Tensor, rois: Tensor, height: int, width: int, bin_step: int) -> Tensor:
    shape = (rois.shape[0], features.shape[1], _bins(height, bin_step), _bins(width, bin_step))
    return _empty(features, shape, features.dtype, is_channels_last(features))


def _fake_roi_pool(
    features: Tensor, rois: Tensor, height: int, width: int, spatial_scale: float, bin_step: int
) -> Tensor:
    return _fake_pooled(features, rois, height, width, bin_step)


def _fake_roi_pool_argmax(
    features: Tensor, rois: Tensor, height: int, width: int, spatial_scale: float, bin_step: int
) -> tuple[Tensor, Tensor]:
    pooled = _fake_pooled(features, rois, height, width, bin_step)
    cells = features.shape[2] * features.shape[3]
    # As argmax_type in csrc/roi_operators.h; all bits set means that the bin has no maximum.
    dtype = torch.uint8 if cells <= 0xFF else torch.int16 if cells <= 0xFFFF else torch.int32
    dense = features.shape[1] > 1 and (features.device.type == "cpu" or is_channels_last(features))
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


def _fake_first_survivors(
    boxes: Tensor, usable: Tensor, iou_threshold: float, limit: int
) -> tuple[Tensor, Tensor]:
    images = boxes.shape[0]
    return (
        boxes.new_empty((images, limit), dtype=torch.int64),
        boxes.new_empty(images, dtype=torch.int64),
    )


# ---- Gradients -------------------------------------------------------------------------------


def _remember(ctx: Any, features: Tensor, *arguments: Any) -> None:
    ctx.map = (features.shape[0], features.shape[2], features.shape[3])
    ctx.arguments = arguments
    ctx.channels_last = is_channels_last(features)


def _remember_argmax(
    ctx: Any, inputs: tuple[Any, ...], output: Tensor | tuple[Tensor, ...]
) -> None:
    """Of roi_pool_argmax the argmax; of roi_pool the features, to compute the argmax from them."""
    features, rois, *arguments = inputs
    ctx.set_materialize_grads(False)  # no zeros of the size of the argmax as its "gradient"
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
