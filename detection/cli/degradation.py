"""The degradation problem, seen and solved: python tools/degradation.py data.root=/path/to/cifar10

Trains a shallow and a deep plain network and their residual twins, one after the other, all alike
(He et al. 2015, figures 1 and 6): the deeper plain net is the worse one, in training too; with
shortcuts it is not.  Leaves in output_dir: a folder for each, degradation.png, metrics.json.
A run that is there already is gone on with, or kept.
"""

from __future__ import annotations

import json
import logging
from pathlib import Path

from omegaconf import DictConfig

from detection.cli import train_classifier
from detection.cli.compose import check_overrides, compose_config
from detection.engine.log import read_log
from detection.engine.metrics_file import write_metrics
from detection.visualization.curves import plot_error_curves

log = logging.getLogger("degradation")


def main(config: DictConfig) -> None:
    folder = Path(config.output_dir)
    runs = {name: folder / name for name in config.runs}
    for name in runs:  # before the first one is trained
        check_overrides(
            f"common or runs.{name}", "classifier", [*config.common, *config.runs[name]]
        )
    for name, run in runs.items():
        if (run / "metrics.json").exists():
            log.info("%s: there already", name)
            continue
        log.info("\n%s", name)
        train_classifier.main(
            compose_config(
                "classifier",
                [
                    *config.common,
                    *config.runs[name],
                    f"data.root={config.data.root}",
                    f"output_dir={run}",
                    f"seed={config.seed}",
                    # A run that was killed before its first checkpoint starts anew.
                    f"{'resume' if (run / 'last.pt').exists() else 'overwrite'}=true",
                    *(f"runtime.{key}={value}" for key, value in config.runtime.items()),
                ],
            )
        )
    curves = {name: read_log(run / "log.jsonl") for name, run in runs.items()}
    plot_error_curves(curves, folder / "degradation.png")
    errors = {name: _errors(run) for name, run in runs.items()}
    write_metrics(folder / "metrics.json", runs=errors)
    for name, values in errors.items():
        log.info("%-12s training error %5.1f %%, test error %5.1f %%", name,
                 100 * values["training"], 100 * values["test"])  # fmt: skip
    log.info("%s", folder / "degradation.png")


def _errors(run: Path) -> dict[str, float]:
    """At the end: of the last logged stretch of training, and on the test set."""
    last = [line for line in read_log(run / "log.jsonl") if line["kind"] == "train"][-1]
    test = json.loads((run / "metrics.json").read_text(encoding="utf-8"))["error"]
    return {"training": last["error"], "test": test}
