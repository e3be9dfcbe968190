"""Curves over the iterations of a training, drawn from the lines of its log."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

Lines = Sequence[Mapping[str, Any]]  # of log.jsonl: "iteration", "kind" and numbers by name

LOSSES = ("total", "rpn_objectness", "rpn_box", "head_class", "head_box")
# Of a validation, drawn in percent on the right.
MEASURES = {"AP50": "s--", "AP": "o--", "AR1000": "s--", "AR300": "o--", "error": "o-"}


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
    picture.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(picture, dpi=100)


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
    picture.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(picture, dpi=100)


def plot_training(lines: Lines, picture: Path) -> None:
    """Draws the losses, and AP, proposal recall or error where measured, over the iterations."""
    train = [line for line in lines if line["kind"] == "train"]
    validation = [line for line in lines if line["kind"] == "validation"]
    figure = Figure(figsize=(8, 5), layout="constrained")
    axes = figure.subplots()
    for name in LOSSES:
        there = [line for line in train if name in line]
        if not there:
            continue
        axes.plot(
            [line["iteration"] for line in there],
            [line[name] for line in there],
            label=name.replace("_", " "),
            linewidth=2 if name == "total" else 1,
            color="black" if name == "total" else None,
        )
    axes.set(xlabel="iteration", ylabel="loss")
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.3)
    measured = [name for name in MEASURES if any(name in line for line in validation)]
    if measured:
        right = axes.twinx()
        for name in measured:
            right.plot(
                [line["iteration"] for line in validation],
                [100 * (line[name] or 0) for line in validation],
                MEASURES[name],
                color="tab:gray",
                label=f"{name} (val)",
            )
        what = "error" if "error" in measured else measured[-1][:2]
        right.set(ylabel=f"{what} in %", ylim=(0, 100))
        right.legend(loc="center right")
    if train:
        axes.legend(loc="upper right")
    figure.savefig(picture, dpi=100)
