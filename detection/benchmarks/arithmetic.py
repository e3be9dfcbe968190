"""Arithmetic: how much of it a call does, and the most that the machine does in a second."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch.utils.flop_counter import FlopCounterMode

from detection.benchmarks.clock import elapsed


def gflop(run: Callable[[], object]) -> float:
    """Floating-point operations of the convolutions and matrix products in one call, in 1e9."""
    with FlopCounterMode(display=False) as counter:
        run()
    return counter.get_total_flops() / 1e9


def ceilings(device: torch.device, dtypes: Sequence[str]) -> dict[str, float]:
    """GFLOP/s in each type: the best of a square matrix product and of conv5's convolutions."""
    return {dtype: _ceiling(device, getattr(torch, dtype)) for dtype in dtypes}


@torch.inference_mode()
def _ceiling(device: torch.device, dtype: torch.dtype) -> float:
    size = 8192 if device.type == "cuda" else 1024
    a, b = (torch.randn(size, size, device=device, dtype=dtype) for _ in range(2))
    x = torch.randn(32, 512, 7, 7, device=device, dtype=dtype)
    x = x.contiguous(memory_format=torch.channels_last)
    candidates: list[tuple[float, Callable[[], object]]] = [(2.0 * size**3, lambda: a @ b)]
    for channels, side in ((2048, 1), (512, 3)):
        weight = torch.randn(channels, 512, side, side, device=device, dtype=dtype)
        weight = weight.contiguous(memory_format=torch.channels_last)
        candidates.append(
            (
                2.0 * weight.numel() * x.shape[0] * 49,
                lambda w=weight, pad=side // 2: F.conv2d(x, w, padding=pad),  # type: ignore[misc]
            )
        )
    best = 0.0
    for operations, run in candidates:
        run()
        best = max(best, operations / min(elapsed(run, device) for _ in range(3)) / 1e9)
    return best
