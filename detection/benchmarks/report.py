"""The report of a suite, <suite>.json: its rows, its settings and the machine."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
import torchvision

from detection.atomic_write import write_text
from detection.benchmarks.measurement import Row
from detection.ops import extension


def write_report(
    path: Path,
    *,
    suite: str,
    device: torch.device,
    rows: Sequence[Row],
    ceilings: Mapping[str, float],
    bandwidth: float,
    settings: Mapping[str, Any],
) -> None:
    """``ceilings``: GFLOP/s in each type.  ``bandwidth``: bytes per second of a copy.

    "ceiling_gflops" and "fraction_of_ceiling" of the report are those of our fastest row.
    """
    best = _fastest_of_ours(rows)
    report = {
        "suite": suite,
        "machine": machine_name(device),
        "load": os.getloadavg()[0],
        "torch": torch.__version__,
        "torchvision": torchvision.__version__,
        "kernels": extension.cuda if device.type == "cuda" else extension.cpu,
        "threads": torch.get_num_threads(),
        "ceiling_gflops": best.ceiling_gflops if best else None,
        "fraction_of_ceiling": best.fraction_of_ceiling if best else None,
        "ceilings_gflops": dict(ceilings),
        "copy_bytes_per_s": bandwidth,
        "settings": dict(settings),
        "rows": [asdict(row) for row in rows],
    }
    write_text(path, json.dumps(report, indent=2) + "\n")


def _fastest_of_ours(rows: Sequence[Row]) -> Row | None:
    """The row with the largest ratio among those with a ceiling; None if there is none."""
    candidates = [row for row in rows if row.ratio is not None and row.ceiling_gflops is not None]
    return max(candidates, key=_ratio, default=None)


def _ratio(row: Row) -> float:
    assert row.ratio is not None
    return row.ratio


def machine_name(device: torch.device) -> str:
    """The name of the GPU, or of the processor with the number of threads."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    model = platform.processor() or platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        model = next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        pass
    return f"{model}, {torch.get_num_threads()} threads"
