"""What a training leaves behind: log.jsonl for programs, TensorBoard and loss.png for people."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

from detection.atomic_write import append_line, write_text

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

log = logging.getLogger("train")


class TrainingLog:
    """One line of JSON per event in ``folder``/log.jsonl, the numbers also for TensorBoard, if any.

    ``start``: the iteration at which training begins.  Lines that an interrupted run logged after
    it are removed, so that a resumed run's log reads like that of an uninterrupted one.
    ``validates_first``: whether training begins with a validation that was interrupted; the line
    that it may have left is removed as well.
    """

    def __init__(self, folder: Path, *, start: int, validates_first: bool = False) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / "log.jsonl"

        def is_kept(line: dict[str, Any]) -> bool:
            if line["iteration"] == start and line["kind"] == "validation":
                return not validates_first
            return bool(line["iteration"] <= start)

        kept = [line for line in read_log(self.path) if is_kept(line)] if start > 0 else []
        write_text(self.path, "".join(json.dumps(line) + "\n" for line in kept))
        self._tensorboard = _summary_writer(folder / "tensorboard", start)

    def write(self, iteration: int, kind: str, values: dict[str, Any]) -> None:
        """``kind``: "train" or "validation"; ``iteration``: how many are done."""
        line = {"iteration": iteration, "kind": kind, **values}
        append_line(self.path, json.dumps(line))
        if self._tensorboard is None:
            return
        for name, value in values.items():
            if isinstance(value, (int, float)):
                self._tensorboard.add_scalar(f"{kind}/{name}", value, iteration)
        self._tensorboard.flush()

    def close(self) -> None:
        from detection.visualization.curves import plot_training  # matplotlib takes half a second

        picture = self.path.with_name("loss.png")
        try:
            if self._tensorboard is not None:
                self._tensorboard.close()
            plot_training(read_log(self.path), picture)
        except OSError as error:  # those that follow, or the one that brings us here, say more
            log.warning("%s is not drawn: %s", picture, error)


def _summary_writer(folder: Path, start: int) -> SummaryWriter | None:
    """None where TensorBoard is not installed: it is for those who look at it."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        log.info('no %s/: pip install "detection[logs]" brings TensorBoard', folder)
        return None
    return SummaryWriter(str(folder), purge_step=start)


def read_log(path: Path) -> list[dict[str, Any]]:
    """The lines of a log.jsonl; half-written lines (a killed run) are left out."""
    lines = []
    for line in path.read_text(encoding="utf-8").splitlines() if path.is_file() else []:
        try:
            lines.append(json.loads(line))
        except json.JSONDecodeError:
            continue
    return lines
