"""Times this project's parts against their peers, and against what the machine could do.

python tools/benchmark.py suite=ops [device=cuda] [ops.rois=128]
python tools/benchmark.py suite=inference     (each suite is a file of tools/benchmarks/)

What is compared with each other is run in turn, round after round, so that a busy moment of the
machine hits all alike; outputs are compared before anything is timed.  Prints a table and leaves
output_dir/<suite>.json: "rows" with name, dtype, median_s, min_s, max_s, peak_mb (memory on top of
what the row starts with) and ratio (the peer's time over this row's; above 1 is faster), and facts
about the machine.
"""

from __future__ import annotations

import torch
from omegaconf import DictConfig

from benchmarks import report

SUITES = ("ops", "inference", "train", "data", "evaluation", "growth")
OF_THE_CPU = ("data", "evaluation")


def main(config: DictConfig) -> None:
    if config.suite not in SUITES:
        raise ValueError(
            f"suite={config.suite}: there is no such suite; choose from: {', '.join(SUITES)}"
        )
    cuda = torch.cuda.is_available() and config.suite not in OF_THE_CPU
    device = torch.device(config.device or ("cuda" if cuda else "cpu"))
    if device.type == "cuda":
        torch.backends.cudnn.allow_tf32 = False  # float32 is float32, of the peers too
    if config.threads is not None:
        torch.set_num_threads(config.threads)
    report.run(config, device)
