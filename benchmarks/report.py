"""Runs one of the suites, prints its table, leaves <suite>.json."""

from __future__ import annotations

import importlib
import json
import os
from pathlib import Path
from typing import Any

import torch
import torchvision
from omegaconf import DictConfig

from benchmarks import measuring
from detection.atomic_write import write_text
from detection.cli.objects import as_plain
from detection.ops import extension


def run(config: DictConfig, device: torch.device) -> None:
    settings = as_plain(config[config.suite])
    suite = importlib.import_module(f"benchmarks.{config.suite}")
    ceilings = measuring.ceilings(device, settings.get("dtypes", []))
    bandwidth = measuring.copy_bandwidth(device)
    rows: list[measuring.Row] = []
    for cases in suite.cases(device=device, **settings):
        rows += measuring.measure(
            cases,
            device=device,
            repeats=config.repeats,
            warmup=config.warmup,
            ceilings=ceilings,
            bandwidth=bandwidth,
        )
    print(measuring.as_markdown(rows))
    for dtype, gflops in ceilings.items():
        print(f"\nceiling in {dtype}: {gflops:.0f} GFLOP/s, the best product or convolution")
    print(f"\ncopying runs at {bandwidth / 1e9:.1f} GB/s (read + written)")
    print(measuring.machine(device))
    write(Path(config.output_dir), config, device, rows, ceilings, bandwidth, settings)


def write(
    folder: Path,
    config: DictConfig,
    device: torch.device,
    rows: list[measuring.Row],
    ceilings: dict[str, float],
    bandwidth: float,
    settings: dict[str, Any],
) -> None:
    """``ceiling_gflops`` and ``fraction_of_ceiling`` on top: those of the fastest row of ours."""
    candidates = [row for row in rows if row.ratio is not None and row.ceiling_gflops is not None]
    best = max(candidates, key=_ratio, default=None)
    report = {
        "suite": config.suite,
        "machine": measuring.machine(device),
        "load": os.getloadavg()[0],
        "torch": torch.__version__,
        "torchvision": torchvision.__version__,
        "kernels": extension.cuda if device.type == "cuda" else extension.cpu,
        "threads": torch.get_num_threads(),
        "ceiling_gflops": best.ceiling_gflops if best else None,
        "fraction_of_ceiling": best.fraction_of_ceiling if best else None,
        "ceilings_gflops": ceilings,
        "copy_bytes_per_s": bandwidth,
        "settings": settings | {"repeats": config.repeats, "warmup": config.warmup},
        "rows": measuring.as_plain_rows(rows),
    }
    path = folder / f"{config.suite}.json"
    write_text(path, json.dumps(report, indent=2) + "\n")
    print(f"written: {path}")


def _ratio(row: measuring.Row) -> float:
    assert row.ratio is not None
    return row.ratio
