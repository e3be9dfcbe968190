"""The device and the precision that a command computes with."""

from __future__ import annotations

import ctypes
import platform
from dataclasses import dataclass
from typing import Literal

import torch

from detection.engine.distributed import resolve_device
from detection.precision import Precision


@dataclass(frozen=True)
class Runtime:
    """``workers``: processes that read images; 0: none besides this one.

    ``winograd``: see :func:`detection.model.frozen_bn.use_winograd`.
    """

    device: torch.device
    precision: Precision
    workers: int
    winograd: bool


def set_up_runtime(
    *,
    device: str,
    precision: Literal["auto", "fp32", "bf16"],
    deterministic: bool,
    workers: int,
    winograd: bool,
    local_rank: int = 0,
    one_size: bool = False,
) -> Runtime:
    """Checks and applies the ``runtime`` configuration; ValueError says what is not available.

    ``one_size``: whether all mini-batches have the same shape, as a classifier's crops do.
    """
    if precision not in ("auto", "fp32", "bf16"):
        raise ValueError(f"runtime.precision must be auto, fp32 or bf16, got {precision!r}")
    if workers < 0:
        raise ValueError(f"runtime.workers must be 0 or more, got {workers}")
    chosen = resolve_device(device, local_rank)
    if chosen.type == "cuda":
        torch.cuda.set_device(chosen)
        # torch's default for fp32 convolutions is TF32, which has 10 bits of mantissa and not 23.
        torch.backends.cudnn.allow_tf32 = False
    else:
        _keep_freed_memory()
    # The search for the best algorithm is per input size: with many sizes it would never end.
    torch.backends.cudnn.benchmark = one_size and not deterministic
    if deterministic != torch.are_deterministic_algorithms_enabled():
        # It imports torch._inductor, for longer than all the rest of torch takes.
        torch.use_deterministic_algorithms(deterministic)
    if precision == "auto":
        precision = "bf16" if _computes_in_bf16(chosen) else "fp32"
    return Runtime(chosen, precision, workers, winograd)


def _keep_freed_memory() -> None:
    """Makes glibc keep freed memory for later allocations; does nothing with other C libraries.

    By default glibc returns each large tensor to the system and gets new pages, zeroed, for the
    next one.  That takes a quarter of the time of a small training step on a CPU.
    """
    if platform.libc_ver()[0] == "glibc":
        mallopt = ctypes.CDLL(None).mallopt
        trim_threshold, mmap_max = -1, -4  # M_TRIM_THRESHOLD, M_MMAP_MAX in malloc.h
        mallopt(trim_threshold, -1)
        mallopt(mmap_max, 0)


def _computes_in_bf16(device: torch.device) -> bool:
    """Whether the hardware has bf16 instructions; emulated bf16 is much slower than fp32."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())
