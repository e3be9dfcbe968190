"""What a training leaves behind: log.jsonl for programs, TensorBoard and loss.png for people."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from torch.utils.tensorboard import SummaryWriter

LOSSES = ("total", "rpn_objectness", "rpn_box", "head_class", "head_box")
# Of a validation, drawn in percent on the right.
MEASURES = {"AP50": "s--", "AP": "o--", "AR1000": "s--", "AR300": "o--", "error": "o-"}


class TrainingLog:
    """One line of JSON per event in ``folder``/log.jsonl, the numbers also for TensorBoard.

    ``start``: the iteration at which training begins; what an interrupted run has logged beyond it
    is taken out, so that a resumed run's log reads like that of an uninterrupted one.
    """

    def __init__(self, folder: Path, *, start: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / "log.jsonl"
        kept = [line for line in read_log(self.path) if line["iteration"] <= start and start > 0]
        self.path.write_text("".join(json.dumps(line) + "\n" for line in kept))
        self._tensorboard = SummaryWriter(str(folder / "tensorboard"), purge_step=start)

    def write(self, iteration: int, kind: str, values: dict[str, Any]) -> None:
        """``kind``: "train" or "validation"; ``iteration``: how many are done."""
        line = {"iteration": iteration, "kind": kind, **values}
        with self.path.open("a") as file:
            file.write(json.dumps(line) + "\n")
        for name, value in values.items():
            if isinstance(value, (int, float)):
                self._tensorboard.add_scalar(f"{kind}/{name}", value, iteration)
        self._tensorboard.flush()

    def close(self) -> None:
        self._tensorboard.close()
        plot_training(self.path, self.path.with_name("loss.png"))


def read_log(path: Path) -> list[dict[str, Any]]:
    """The lines of a log.jsonl; a half-written last line (a killed run) is left out."""
    lines = []
    for line in path.read_text().splitlines() if path.is_file() else []:
        try:
            lines.append(json.loads(line))
        except json.JSONDecodeError:
            continue
    return lines


def plot_training(log: Path, picture: Path) -> None:
    """Draws the losses, and AP, proposal recall or error where measured, over the iterations."""
    lines = read_log(log)
    train = [line for line in lines if line["kind"] == "train"]
    validation = [line for line in lines if line["kind"] == "validation"]
    figure, axes = plt.subplots(figsize=(8, 5), layout="constrained")
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
    plt.close(figure)
