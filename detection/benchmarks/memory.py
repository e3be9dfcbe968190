"""Memory: the most that a call holds, and the bytes that the machine copies in a second."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch

from detection.benchmarks.clock import elapsed

MEGABYTE = 1 << 20


def peak_megabytes(run: Callable[[], object], device: torch.device) -> float | None:
    """The most memory that one call holds beyond what was held; None if it cannot be measured."""
    if device.type == "cuda":
        before = torch.cuda.memory_allocated(device)
        torch.cuda.reset_peak_memory_stats(device)
        run()
        return (torch.cuda.max_memory_allocated(device) - before) / MEGABYTE
    try:
        Path("/proc/self/clear_refs").write_text(
            "5", encoding="utf-8"
        )  # resets VmHWM, the peak, to what is held now
        before = _resident("VmRSS")
        run()
        return (_resident("VmHWM") - before) / MEGABYTE
    except OSError:  # not Linux, or not allowed
        return None


def _resident(key: str) -> int:
    for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines():
        if line.startswith(key):
            return int(line.split()[1]) * 1024
    raise OSError(f"/proc/self/status has no {key}")


def copy_bandwidth(device: torch.device) -> float:
    """Bytes per second, read and written, of the fastest of a few large copies."""
    size = (1 << 30 if device.type == "cuda" else 1 << 27) // 4
    source, target = torch.ones(size, device=device), torch.ones(size, device=device)
    seconds = min(elapsed(lambda: target.copy_(source), device) for _ in range(8))
    return 2 * 4 * size / seconds
