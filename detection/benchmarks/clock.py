"""How long a call takes, on a CPU and on a GPU."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

import torch

# A single kernel on a GPU is shorter than the time to launch it.
GPU_SECONDS = 0.02


def elapsed(run: Callable[[], object], device: torch.device) -> float:
    """Seconds of one call until its last kernel has ended, freeing of the result included.

    On a GPU this is the mean over as many calls as fill ``GPU_SECONDS``: the next kernel is then
    launched while the last one runs, as in a network.
    """
    seconds = _elapsed(run, device, 1)
    if device.type == "cpu" or seconds > GPU_SECONDS:
        return seconds
    calls = math.ceil(GPU_SECONDS / seconds)
    return _elapsed(run, device, calls) / calls


def _elapsed(run: Callable[[], object], device: torch.device, calls: int) -> float:
    synchronize(device)
    start = time.perf_counter()
    for _ in range(calls):
        run()
    synchronize(device)
    return time.perf_counter() - start


def synchronize(device: torch.device) -> None:
    """Waits until a GPU has finished; a CPU always has."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
