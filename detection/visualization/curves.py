"""Curves over the iterations of a training, drawn from the lines of its log."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from detection.atomic_write import atomic_write

Lines = Sequence[Mapping[str, Any]]  # of log.jsonl: "iteration", "kind" and numbers by name

# So many lines of the log are drawn as running means.
MANY = 100

LOSSES = ("total", "rpn_objectness", "rpn_box", "head_class", "head_box")
# Of a validation, drawn in percent; the one that decides comes last.
MEASURES = {"AP50": "s--", "AP": "o-", "AR1000": "s--", "AR300": "o-", "error": "o-"}


def plot_error_curves(runs: Mapping[str, Lines], picture: Path) -> None:
    """Draws the ``error`` of several runs (figures 4 and 6): thin in training, bold in testing.

    ``runs``: label -> the lines of its log.  Raises ValueError for a run that logged no error.
    """
    figure = Figure(figsize=(7, 5), layout="constrained")
    axes = figure.subplots()
    for index, (label, every_line) in enumerate(runs.items()):
        lines = [line for line in every_line if "error" in line]
        if not lines:
            raise ValueError(f"{label}: no error logged there; is it the log of a classifier?")
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
    _save(figure, picture)


def plot_responses(networks: Mapping[str, Sequence[float]], picture: Path) -> None:
    """Draws figure 7: standard deviations of layer responses, in order and ranked.

    ``networks``: label -> the numbers of its 3x3 layers, from the first to the last.
    """
    figure = Figure(figsize=(7, 7), layout="constrained")
    upper, lower = figure.subplots(2, 1)
    for label, responses in networks.items():
        numbers = range(1, len(responses) + 1)
        upper.plot(numbers, responses, label=label, linewidth=1.5)
        lower.plot(numbers, sorted(responses, reverse=True), label=label, linewidth=1.5)
    upper.set(xlabel="layer (original order)", ylabel="std")
    lower.set(xlabel="layer (ranked by magnitude)", ylabel="std")
    for axes in (upper, lower):
        axes.set_ylim(bottom=0)
        axes.grid(alpha=0.3)
        axes.legend()
    _save(figure, picture)


def plot_training(lines: Lines, picture: Path) -> None:
    """Draws a panel each of the losses, the rate, and what was validated, over the iterations."""
    train = [line for line in lines if line["kind"] == "train"]
    validation = [line for line in lines if line["kind"] == "validation"]
    measured = [name for name in MEASURES if any(name in line for line in validation)]
    figure = Figure(figsize=(8, 10 if measured else 7), layout="constrained")
    heights = [3, 1, 3] if measured else [3, 1]
    panels = figure.subplots(len(heights), sharex=True, height_ratios=heights)
    _draw_losses(panels[0], train)
    _draw_rate(panels[1], train)
    if measured:
        _draw_validations(panels[2], validation, measured)
    for axes in panels:
        axes.grid(alpha=0.3)
        axes.margins(x=0.05)
    panels[-1].set_xlabel("iteration")
    _save(figure, picture)


def _save(figure: Figure, picture: Path) -> None:
    with atomic_write(picture) as partial:
        figure.savefig(partial, dpi=100, format=picture.suffix.removeprefix(".") or "png")


def _draw_losses(axes: Axes, train: Lines) -> None:
    """Of a long training the running means, before the numbers themselves in pale."""
    highest = 0.0
    for index, name in enumerate(LOSSES):
        there = [line for line in train if name in line]
        if not there:
            continue
        iterations = [line["iteration"] for line in there]
        values = np.array([line[name] for line in there], float)
        colour = "black" if name == "total" else f"C{index - 1}"
        curve = values
        if len(values) >= MANY:
            axes.plot(iterations, values, color=colour, linewidth=0.5, alpha=0.2)
            curve = _running_means(values, len(values) // 50)
        axes.plot(
            iterations,
            curve,
            label=name.replace("_", " "),
            linewidth=2 if name == "total" else 1,
            color=colour,
            # One line of the log alone is no curve.
            marker="o" if len(there) == 1 else None,
        )
        # The first iterations, with numbers that never come again, would press the others flat.
        usual = np.quantile(values, 0.99 if len(values) >= MANY else 1.0)
        highest = max(highest, float(usual) if np.isfinite(usual) else 0.0)
    axes.set_ylabel("loss")
    axes.set_ylim(0, 1.1 * highest if highest > 0 else None)
    _legend(axes)


def _running_means(values: NDArray[np.float64], width: int) -> NDArray[np.float64]:
    """Over ``width`` values up to each one; over fewer at the beginning."""
    sums = np.concatenate(([0.0], np.cumsum(values)))
    ends = np.arange(1, len(values) + 1)
    begins = np.maximum(ends - width, 0)
    return (sums[ends] - sums[begins]) / (ends - begins)


def _draw_rate(axes: Axes, train: Lines) -> None:
    there = [line for line in train if "learning_rate" in line]
    axes.plot(
        [line["iteration"] for line in there],
        [line["learning_rate"] for line in there],
        color="tab:gray",
        marker="o" if len(there) == 1 else None,
    )
    axes.set_ylabel("learning rate")
    axes.set_ylim(bottom=0)


def _draw_validations(axes: Axes, validation: Lines, measured: Sequence[str]) -> None:
    """All points, the last measure (AP) with its best value written at it."""
    highest = 0.0
    for name in measured:
        there = [line for line in validation if line.get(name) is not None]
        iterations = [line["iteration"] for line in there]
        values = [100 * line[name] for line in there]
        (curve,) = axes.plot(iterations, values, MEASURES[name], label=name)
        highest = max([highest, *values])
        if name == measured[-1] and values:
            best = (min if name == "error" else max)(range(len(values)), key=values.__getitem__)
            axes.annotate(
                f"{values[best]:.1f}",
                (iterations[best], values[best]),
                xytext=(0, 8),
                textcoords="offset points",
                horizontalalignment="center",
                color=curve.get_color(),
                fontweight="bold",
            )
    what = "error" if "error" in measured else measured[-1][:2]
    axes.set_ylabel(f"{what} in %, validation")
    # Room above for the number that is written there.
    axes.set_ylim(0, max(1.0, 1.15 * highest))
    _legend(axes)


def _legend(axes: Axes) -> None:
    """Beside the panel, where it covers no point."""
    if axes.get_legend_handles_labels()[0]:
        axes.legend(loc="upper left", bbox_to_anchor=(1.01, 1.0), borderaxespad=0.0)
