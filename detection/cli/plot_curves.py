"""Figure 6 of several runs: python tools/plot_curves.py runs=[outputs/plain20,outputs/resnet20]"""

from __future__ import annotations

import logging
from pathlib import Path

from omegaconf import DictConfig

from detection.engine.log import read_log
from detection.visualization.curves import plot_error_curves

log = logging.getLogger("curves")


def main(config: DictConfig) -> None:
    folders = [Path(run) for run in config.runs]
    labels = list(config.labels) if config.labels else [folder.name for folder in folders]
    if len(labels) != len(folders) or len(set(labels)) != len(labels):
        raise ValueError(f"labels must be one for each of {len(folders)} runs, all different")
    picture = Path(config.output)
    lines = [read_log(folder / "log.jsonl") for folder in folders]
    plot_error_curves(dict(zip(labels, lines, strict=True)), picture)
    log.info("%s", picture)
