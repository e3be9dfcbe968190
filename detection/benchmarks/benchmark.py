"""Times this project's parts against their peers, and against what the machine could do.

python tools/benchmark.py suite=ops [device=cuda] [ops.rois=128]
detection benchmark suite=inference           (each suite is a file of detection/benchmarks/suites/)

All rows of a group run in turn, round after round, so that a busy moment of the machine slows all
of them.  Outputs are compared before anything is timed.  Prints a table and writes
output_dir/<suite>.json: "rows" with name, dtype, median_s, min_s, max_s, peak_mb (memory on top of
what the row starts with) and ratio (the peer's time over this row's; above 1 is faster), and facts
about the machine.
"""

from __future__ import annotations

import importlib
from pathlib import Path

import torch
from omegaconf import DictConfig

from detection.benchmarks.arithmetic import ceilings
from detection.benchmarks.measurement import Row, measure
from detection.benchmarks.memory import copy_bandwidth
from detection.benchmarks.report import machine_name, write_report
from detection.benchmarks.table import as_markdown
from detection.cli.objects import as_plain
from detection.engine.distributed import resolve_device

SUITES = (
    "ops",
    "inference",
    "train",
    "data",
    "evaluation",
    "growth",
    "start",
    "neighbours",
    "serve",
)
CPU_SUITES = ("data", "evaluation", "start", "neighbours")


def main(config: DictConfig) -> None:
    if config.suite not in SUITES:
        raise ValueError(
            f"suite={config.suite}: there is no such suite; choose from: {', '.join(SUITES)}"
        )
    device = _device(config)
    if device.type == "cuda":
        torch.backends.cudnn.allow_tf32 = False  # float32 is float32, of the peers too
    if config.threads is not None:
        torch.set_num_threads(config.threads)
    settings = as_plain(config[config.suite])
    suite = importlib.import_module(f"detection.benchmarks.suites.{config.suite}")
    gflops = ceilings(device, settings.get("dtypes", []))
    bandwidth = copy_bandwidth(device)
    rows: list[Row] = []
    for cases in suite.cases(device=device, **settings):
        rows += measure(
            cases,
            device=device,
            repeats=config.repeats,
            warmup=config.warmup,
            ceilings=gflops,
            bandwidth=bandwidth,
        )
    print(as_markdown(rows))
    for dtype, best in gflops.items():
        print(f"\nceiling in {dtype}: {best:.0f} GFLOP/s, the best product or convolution")
    print(f"\ncopying runs at {bandwidth / 1e9:.1f} GB/s (read + written)")
    print(machine_name(device))
    path = Path(config.output_dir) / f"{config.suite}.json"
    write_report(
        path,
        suite=config.suite,
        device=device,
        rows=rows,
        ceilings=gflops,
        bandwidth=bandwidth,
        settings=settings | {"repeats": config.repeats, "warmup": config.warmup},
    )
    print(f"written: {path}")


def _device(config: DictConfig) -> torch.device:
    cuda = torch.cuda.is_available() and config.suite not in CPU_SUITES
    return resolve_device(config.device or ("cuda" if cuda else "cpu"), key="device")
