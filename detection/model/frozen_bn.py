"""Frozen batch normalisation (BN), merged into the convolution before it (He et al. 2015, app. A).

After pre-training, "the BN layers are fixed during fine-tuning", mainly to save memory.  A fixed BN
is the affine map ``y * scale + shift`` per channel, and
``conv(x, w) * scale + shift == conv(x, w * scale) + shift``.  In training the scale multiplies the
*weight* at each step: this is exact and differentiable, and keeps no normalised copy of the
activations.  For inference :func:`fold` multiplies the weight once.

On CPUs convolutions of small maps are products (:mod:`detection.ops.matrix_convolution`),
and 3x3 convolutions can use :mod:`detection.ops.winograd`.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from detection.blank_weights import BlankWeights
from detection.ops import matrix_convolution, winograd

Norm = Literal["frozen", "trained", "trained_extra"]


class FrozenBN(nn.Module):
    """The statistics and the affine parameters of a BN layer that no longer learns.

    State: ``weight``, ``bias``, ``running_mean``, ``running_var``, each [C], named as in
    ``nn.BatchNorm2d`` so that the state dicts of the two kinds fit each other, but for its counter.
    """

    weight: Tensor
    bias: Tensor
    running_mean: Tensor
    running_var: Tensor
    _kept: _Kept | None = None

    def __init__(self, channels: int, *, eps: float = 1e-5) -> None:
        super().__init__()
        self.eps = eps
        self.register_buffer("weight", torch.ones(channels))
        self.register_buffer("bias", torch.zeros(channels))
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))

    def scale_and_shift(self) -> tuple[Tensor, Tensor]:
        """([C], [C]): the affine map per channel that this layer is.  Not to be changed in place.

        It is kept until a buffer is changed or replaced: on a GPU to launch its five small kernels
        takes longer than the convolution.  Torch does not count changes through ``.data``, NumPy or
        another process.
        """
        buffers = (self.weight, self.bias, self.running_mean, self.running_var)
        if _is_traced(buffers[0]) or any(b.is_inference() or b.requires_grad for b in buffers):
            return self._affine_map()
        kept = self._kept
        if kept is None or not kept.is_of(buffers):
            # Not an inference tensor, which no later training step could use.
            with torch.inference_mode(False), torch.no_grad():
                kept = _Kept(buffers, [buffer._version for buffer in buffers], self._affine_map())
            self._kept = kept
        return kept.value

    def _affine_map(self) -> tuple[Tensor, Tensor]:
        scale = self.weight * (self.running_var + self.eps).rsqrt()
        return scale, self.bias - self.running_mean * scale

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_kept": None}


def _is_traced(buffer: Tensor) -> bool:
    """What a compiler or a CUDA graph sees once it repeats later, when the buffers may differ."""
    return torch.compiler.is_compiling() or (
        buffer.is_cuda and torch.cuda.is_current_stream_capturing()
    )


@dataclass(frozen=True)
class _Kept:
    """``value``: what was computed from ``buffers`` when torch had counted ``versions`` of them."""

    buffers: tuple[Tensor, ...]
    versions: list[int]
    value: tuple[Tensor, Tensor]

    def is_of(self, buffers: tuple[Tensor, ...]) -> bool:
        same = all(one is other for one, other in zip(buffers, self.buffers, strict=True))
        return same and [buffer._version for buffer in buffers] == self.versions


class ConvBN(nn.Module):
    """A convolution without bias followed by BN: [N, in, H, W] -> [N, out, H', W'].

    ``norm="trained"`` is for pre-training a classifier, ``"frozen"`` for the detector.
    ``winograd``, False at first: see :func:`use_winograd`.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        *,
        norm: Norm,
        stride: int = 1,
        padding: int = 0,
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(
            in_channels, out_channels, kernel_size, stride=stride, padding=padding, bias=False
        )
        nn.init.kaiming_normal_(self.conv.weight, mode="fan_out", nonlinearity="relu")
        self.bn = FrozenBN(out_channels) if norm == "frozen" else nn.BatchNorm2d(out_channels)
        self.winograd = False

    def forward(self, x: Tensor) -> Tensor:
        if not isinstance(self.bn, FrozenBN):
            return self.bn(self.conv(x))
        scale, shift = self.bn.scale_and_shift()
        # The two ways below have no gradients for buffers, should somebody let them learn.
        if not (scale.requires_grad or shift.requires_grad):
            if self.winograd and winograd.pays(x, self.conv.weight, transforms=True):
                return winograd.conv3x3(x, self.conv.weight, scale, shift)
            if _as_matrices(self.conv, x):
                return matrix_convolution.scaled_convolution(x, self.conv.weight, scale, shift)
        return F.conv2d(x, self._scaled(scale), shift, self.conv.stride, self.conv.padding)

    def _scaled(self, scale: Tensor) -> Tensor:
        return self.conv.weight * scale[:, None, None, None]

    def folded(self) -> nn.Conv2d:
        """The same function as one convolution with bias; only for a frozen BN."""
        assert isinstance(self.bn, FrozenBN)
        with BlankWeights():
            conv = _FoldedConv2d(
                self.conv.in_channels,
                self.conv.out_channels,
                self.conv.kernel_size,  # type: ignore[arg-type]
                stride=self.conv.stride,  # type: ignore[arg-type]
                padding=self.conv.padding,  # type: ignore[arg-type]
                device=self.conv.weight.device,
                dtype=self.conv.weight.dtype,
            )
        with torch.no_grad():
            scale, shift = self.bn.scale_and_shift()
            # Assigned, not copied: keeps the channels_last layout of the weight.
            conv.weight = nn.Parameter(self._scaled(scale), requires_grad=False)
            conv.bias = nn.Parameter(shift.clone(), requires_grad=False)
        conv.winograd = self.winograd
        return conv


class _FoldedConv2d(nn.Conv2d):
    """For inference.  Winograd's transformed weight is kept, which takes four times its memory."""

    winograd = False
    kernel: Tensor | None = None

    def forward(self, x: Tensor) -> Tensor:
        if _wants_gradient(x, self.weight, self.bias):  # the two ways below have none
            return super().forward(x)
        if self.winograd and winograd.pays(x, self.weight, transforms=False):
            if self.kernel is None:
                self.kernel = winograd.transformed(self.weight)
            return winograd.convolution(x, self.kernel, self.bias)
        if _as_matrices(self, x):
            return matrix_convolution.convolution(x, self.weight, self.bias)
        return super().forward(x)


def _wants_gradient(*tensors: Tensor | None) -> bool:
    some = any(tensor is not None and tensor.requires_grad for tensor in tensors)
    return some and torch.is_grad_enabled()


def _as_matrices(conv: nn.Conv2d, x: Tensor) -> bool:
    return matrix_convolution.pays(
        x,
        conv.weight,
        stride=conv.stride,
        padding=conv.padding,  # type: ignore[arg-type]
    )


def use_winograd(module: nn.Module, wanted: bool | Collection[int]) -> None:
    """Switches Winograd's algorithm on or off in the 3x3 convolutions before a frozen BN.

    ``wanted``: in all of them, in none, or in those that read as many channels as one of these.

    It is used where it is faster: with stride 1, on a CPU, in float32.  The outputs are equal up to
    rounding.  Call this before :func:`fold`, which keeps the choice.
    """
    for layer in module.modules():
        if isinstance(layer, ConvBN) and isinstance(layer.bn, FrozenBN):
            shape = layer.conv.kernel_size, layer.conv.stride, layer.conv.padding
            fits = shape == ((3, 3), (1, 1), (1, 1))
            chosen = wanted if isinstance(wanted, bool) else layer.conv.in_channels in wanted
            layer.winograd = fits and chosen


def fold(module: nn.Module) -> nn.Module:
    """Replaces every frozen ConvBN inside ``module`` by one convolution; returns ``module``.

    For inference only: the module can no longer be trained.
    """
    for name, child in module.named_children():
        if isinstance(child, ConvBN) and isinstance(child.bn, FrozenBN):
            setattr(module, name, child.folded())
        else:
            fold(child)
    return module
