"""The figure of errors over iterations."""

from __future__ import annotations

from pathlib import Path

import cv2
import pytest

from detection.engine.curves import plot_error_curves
from detection.engine.log import TrainingLog


def write_run(folder: Path, *, error: float) -> Path:
    log = TrainingLog(folder, start=0)
    for iteration in (1, 2, 3):
        log.write(iteration, "train", {"total": 1.0, "error": error / iteration})
    log.write(3, "validation", {"error": error})
    log.close()
    return folder


def test_runs_are_drawn_into_one_figure(tmp_path: Path) -> None:
    runs = {
        "plain": write_run(tmp_path / "a", error=0.9),
        "ResNet": write_run(tmp_path / "b", error=0.5),
    }
    plot_error_curves(runs, tmp_path / "new" / "both.png")
    plot_error_curves({"plain": runs["plain"]}, tmp_path / "one.png")
    both, one = (cv2.imread(str(tmp_path / name)) for name in ("new/both.png", "one.png"))
    # The second run has the second colour, matplotlib's orange (255, 127, 14).
    orange = [((picture == (14, 127, 255)).all(axis=2)).any() for picture in (both, one)]
    assert orange == [True, False]


def test_a_run_without_errors_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no error logged there"):
        plot_error_curves({"nothing": tmp_path}, tmp_path / "x.png")
