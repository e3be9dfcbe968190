"""Convolutions of small maps as one matrix product over the positions of all maps.

conv5 sees each region as a map of 3x3 or 7x7 positions, and a training step hundreds of them.  What
torch has for CPUs (oneDNN) divides its work by the rows of a map and hardly fills its registers
there: for 64 maps of 3x3 positions the gradient of a weight takes ten times as long in bf16 as the
same product of two matrices, all else two to three times.  In NHWC the positions of all maps are
the rows of one matrix, and a 1x1 convolution is its product with the weight.  Of a 3x3 convolution
the nine neighbours of each position, side by side, are a row (im2col).

On GPUs cuDNN has no such weakness.

Shapes: x [N, C, H, W], weight [K, C, k, k], k = 1 or 3, stride 1, padding k // 2; M = N * H * W.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from detection.precision import at_least_fp32

# Measured on AVX-512, with and without AMX, and on AVX2 (docs/performance.md).  Without AMX little
# is won and nothing lost.  What wins most is the gradient of a weight in bf16.
FEWEST_CHANNELS = 128
TINY_MAP = 16  # positions up to which it is faster in inference, too
SMALL_MAP = 64  # and up to which a 3x3 convolution that learns is, in bf16
# The rows of nine neighbours that are made at once: they stay in the last-level cache.
ROWS_AT_ONCE = 1152


def pays(x: Tensor, weight: Tensor, *, stride: Sequence[int], padding: Sequence[int]) -> bool:
    """Whether this way can be used here and is faster than torch's convolution."""
    if x.device.type != "cpu" or torch.compiler.is_compiling() or torch.jit.is_tracing():
        return False
    size = weight.shape[-1]
    if (
        size not in (1, 3)
        or tuple(stride) != (1, 1)
        or tuple(padding) != (size // 2, size // 2)
        or min(weight.shape[:2]) < FEWEST_CHANNELS
        or x.dim() != 4
        or x.shape[0] == 0
    ):
        return False
    dtype, positions = computed_in(x), x.shape[2] * x.shape[3]
    tiny = positions <= TINY_MAP
    learns = torch.is_grad_enabled() and weight.requires_grad
    if dtype == torch.bfloat16:
        return tiny or (learns and (size == 1 or positions <= SMALL_MAP))
    return dtype == torch.float32 and tiny and (size == 1 or learns)


def computed_in(x: Tensor) -> torch.dtype:
    """The type in which a convolution of ``x`` on a CPU is computed: autocast's, or its own."""
    if torch.is_autocast_enabled("cpu") and x.dtype != torch.float64:
        return torch.get_autocast_dtype("cpu")
    return x.dtype


def convolution(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """x [N, C, H, W], weight [K, C, k, k], bias [K] -> [N, K, H, W].

    In autocast's type, as torch's, or else that of ``x``.  The result is channels_last and has no
    gradient (:func:`scaled_convolution` has one).
    """
    number, _, height, width = x.shape
    size, shape, dtype = weight.shape[-1], (number, len(weight), height, width), computed_in(x)
    y = torch.empty(shape, dtype=dtype, device=x.device, memory_format=torch.channels_last)
    x, matrix = x.to(dtype), _matrix(weight.to(dtype)).t()
    bias = None if bias is None else bias.to(dtype)
    for images in _blocks(x, size):
        rows, rows_of_y = _rows(x[images], size), _positions(y[images])
        if bias is None:
            torch.mm(rows, matrix, out=rows_of_y)
        else:
            torch.addmm(bias, rows, matrix, out=rows_of_y)
    return y  # not a view: autograd forbids in-place changes of a view that a Function returns


def input_gradient(grad: Tensor, weight: Tensor) -> Tensor:
    """The output's gradient [N, K, H, W], weight [K, C, k, k] -> x's gradient [N, C, H, W]."""
    number, _, height, width = grad.shape
    size, shape = weight.shape[-1], (number, weight.shape[1], height, width)
    total = torch.empty(
        shape, dtype=grad.dtype, device=grad.device, memory_format=torch.channels_last
    )
    matrix = _matrix(weight)
    for images in _blocks(grad, size):
        rows = _positions(grad[images])
        if size == 1:
            torch.mm(rows, matrix, out=_positions(total[images]))
        else:
            block = total[images]
            block.copy_(_sum_of_neighbours(rows @ matrix, block.shape))
    return total


def weight_gradient(x: Tensor, grad: Tensor, size: int) -> Tensor:
    """x [N, C, H, W] and the output's gradient [N, K, H, W] -> the weight's [K, C, k, k].

    ``size``: k.  Of the type of ``x``, or else float32, in which several products are summed.
    """
    total: Tensor | None = None
    for images in _blocks(x, size):
        product = _positions(grad[images]).t() @ _rows(x[images], size)
        # One product beside the sum, not one for each block: all of conv5 is in memory here.
        total = product if total is None else at_least_fp32(total).add_(product)
    assert total is not None  # `pays` wants an image
    return total.view(grad.shape[1], size, size, x.shape[1]).permute(0, 3, 1, 2)


def _blocks(x: Tensor, size: int) -> Iterator[slice]:
    """Images of about ``ROWS_AT_ONCE`` positions; all of them where no neighbours are copied."""
    at_once = len(x) if size == 1 else max(1, ROWS_AT_ONCE // (x.shape[2] * x.shape[3]))
    for first in range(0, len(x), at_once):
        yield slice(first, first + at_once)


def _matrix(weight: Tensor) -> Tensor:
    """[K, C, k, k] -> [K, k * k * C]; nothing is copied of a weight in channels_last."""
    return weight.permute(0, 2, 3, 1).reshape(len(weight), -1)


def _positions(x: Tensor) -> Tensor:
    """[N, C, H, W] -> [M, C]; nothing is copied of one in channels_last."""
    return x.permute(0, 2, 3, 1).reshape(-1, x.shape[1])


def _rows(x: Tensor, size: int) -> Tensor:
    """[N, C, H, W] -> [M, k * k * C]: each position, or it and its neighbours in rows."""
    if size == 1:
        return _positions(x)
    number, channels, height, width = x.shape
    padded = x.new_zeros(number, height + 2, width + 2, channels)
    padded[:, 1:-1, 1:-1] = x.permute(0, 2, 3, 1)
    image, row, column, _ = padded.stride()
    neighbours = padded.as_strided(
        (number, height, width, 3, 3, channels), (image, row, column, row, column, 1)
    )
    return neighbours.reshape(-1, 9 * channels)


def _sum_of_neighbours(rows: Tensor, shape: Sequence[int]) -> Tensor:
    """[M, 9 * C] -> ``shape`` = [N, C, H, W]: each position's part of the nine rows it is in.

    In float32: a sum in bf16 would round each time.
    """
    number, channels, height, width = shape
    parts = rows.view(number, height, width, 3, 3, channels)
    padded = at_least_fp32(rows.new_zeros(number, height + 2, width + 2, channels))
    for y in range(3):
        for x in range(3):
            padded[:, y : y + height, x : x + width] += parts[:, :, :, y, x]
    return padded[:, 1:-1, 1:-1].permute(0, 3, 1, 2)


def scaled_convolution(x: Tensor, weight: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    """``conv2d(x, weight * scale, shift, padding=k // 2)``, differentiable in ``x``, ``weight``.

    Differentiable once.  ``scale``, ``shift``: [K], what a frozen BN multiplies by and adds, and
    does not learn.  In autocast's type, as torch's.  The forward pass keeps ``x`` and the product
    of weight and scale, as torch's does.
    """
    y: Tensor = _ScaledConvolution.apply(x.to(computed_in(x)), weight, scale, shift)
    return y


class _ScaledConvolution(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
        with torch.autocast("cpu", enabled=False):
            scaled = (weight * scale[:, None, None, None]).to(x.dtype)
            ctx.save_for_backward(x, scaled, scale)
            return convolution(x, scaled, shift)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
        x, scaled, scale = ctx.saved_tensors
        for_x = for_weight = None
        with torch.autocast("cpu", enabled=False):
            if ctx.needs_input_grad[0]:
                for_x = input_gradient(grad, scaled)
            if ctx.needs_input_grad[1]:
                of_scaled = weight_gradient(x, grad, scaled.shape[-1])
                for_weight = of_scaled * scale[:, None, None, None]
        return for_x, for_weight, None, None
