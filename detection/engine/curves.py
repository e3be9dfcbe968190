"""Training and test error over the iterations, of several runs in one figure (figures 4 and 6)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

from detection.engine.log import read_log


def plot_error_curves(runs: Mapping[str, Path], picture: Path) -> None:
    """Draws the ``error`` of each run's log.jsonl: thin while training, bold on the test set.

    ``runs``: label -> the run's folder.  Raises ValueError for a run that has logged no error.
    """
    figure, axes = plt.subplots(figsize=(7, 5), layout="constrained")
    for index, (label, folder) in enumerate(runs.items()):
        lines = [line for line in read_log(folder / "log.jsonl") if "error" in line]
        if not lines:
            raise ValueError(f"{folder}/log.jsonl: no error logged there; is it a classifier's?")
        for kind, width in (("train", 0.8), ("validation", 2.5)):
            points = [line for line in lines if line["kind"] == kind]
            axes.plot(
                [line["iteration"] for line in points],
                [100 * line["error"] for line in points],
                color=f"C{index}",
                linewidth=width,
                label=label if kind == "validation" else None,
            )
    axes.set(xlabel="iteration", ylabel="error in % (thin: training, bold: test)")
    axes.set_ylim(bottom=0)
    axes.set_xlim(left=0)
    axes.grid(alpha=0.3)
    axes.legend()
    picture.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(picture, dpi=100)
    plt.close(figure)
