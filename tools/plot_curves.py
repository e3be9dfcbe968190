"""Figure 6 of several runs: python tools/plot_curves.py runs=[outputs/plain20,outputs/resnet20]"""

from __future__ import annotations

import logging
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from omegaconf import DictConfig

from detection.engine.curves import plot_error_curves
from tools.launch import launch

log = logging.getLogger("curves")


def main(config: DictConfig) -> None:
    folders = [Path(run) for run in config.runs]
    labels = list(config.labels) if config.labels else [folder.name for folder in folders]
    if len(labels) != len(folders) or len(set(labels)) != len(labels):
        raise ValueError(f"labels must be one for each of {len(folders)} runs, all different")
    picture = Path(config.output)
    plot_error_curves(dict(zip(labels, folders, strict=True)), picture)
    log.info("%s", picture)


if __name__ == "__main__":
    launch(main, config="plot_curves")
