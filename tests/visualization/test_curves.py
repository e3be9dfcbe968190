"""The figures of a training's log."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import pytest

from detection.visualization.curves import plot_error_curves


def lines_of_a_run(*, error: float) -> list[dict[str, Any]]:
    train = [{"iteration": i, "kind": "train", "total": 1.0, "error": error / i} for i in (1, 2, 3)]
    return [*train, {"iteration": 3, "kind": "validation", "error": error}]


def test_runs_are_drawn_into_one_figure(tmp_path: Path) -> None:
    runs = {
        "plain": lines_of_a_run(error=0.9),
        "ResNet": lines_of_a_run(error=0.5),
    }
    plot_error_curves(runs, tmp_path / "new" / "both.png")
    plot_error_curves({"plain": runs["plain"]}, tmp_path / "one.png")
    both, one = (cv2.imread(str(tmp_path / name)) for name in ("new/both.png", "one.png"))
    # The second run has the second colour, matplotlib's orange (255, 127, 14).
    orange = [((picture == (14, 127, 255)).all(axis=2)).any() for picture in (both, one)]
    assert orange == [True, False]


def test_a_run_without_errors_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no error logged there"):
        plot_error_curves({"nothing": []}, tmp_path / "x.png")
