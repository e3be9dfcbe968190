"""The figures of a training's log."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import pytest

from detection.visualization import curves
from detection.visualization.curves import plot_error_curves, plot_training


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


def panels_of(
    lines: list[dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> list[Any]:
    figures: list[Any] = []
    make = curves.Figure

    def remembered(*args: Any, **kwargs: Any) -> Any:
        figures.append(make(*args, **kwargs))
        return figures[-1]

    monkeypatch.setattr(curves, "Figure", remembered)
    plot_training(lines, tmp_path / "loss.png")
    assert (tmp_path / "loss.png").is_file()
    return list(figures[0].axes)


def test_loss_rate_and_ap_have_a_panel_each_and_no_point_lies_under_a_legend(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines: list[dict[str, Any]] = [
        {"iteration": i, "kind": "train", "total": 1 / i, "learning_rate": 0.01} for i in (1, 2, 3)
    ]
    lines += [{"iteration": 3, "kind": "validation", "AP": 0.4, "AP50": 0.7}]
    loss, rate, ap = panels_of(lines, tmp_path, monkeypatch)
    assert [axes.get_ylabel() for axes in (loss, rate, ap)] == [
        "loss", "learning rate", "AP in %, validation",
    ]  # fmt: skip
    assert [text.get_text() for text in ap.texts] == ["40.0"]
    for axes in (loss, ap):
        legend = axes.get_legend().get_window_extent()
        assert legend.x0 >= axes.get_window_extent().x1
    points = {line.get_label(): line.get_ydata().tolist() for line in ap.lines}
    assert points == {"AP": [pytest.approx(40)], "AP50": [pytest.approx(70)]}
    assert all(line.get_marker() in ("o", "s") for line in ap.lines)  # one alone is seen


def test_without_a_validation_there_are_two_panels(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert len(panels_of([], tmp_path, monkeypatch)) == 2


def test_of_a_long_training_the_losses_are_running_means_that_one_peak_does_not_flatten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    losses = [500.0, *(1.0 + 0.5 * (-1) ** i for i in range(399))]
    lines = [
        {"iteration": i, "kind": "train", "total": loss, "learning_rate": 0.01}
        for i, loss in enumerate(losses, start=1)
    ]
    loss, _ = panels_of(lines, tmp_path, monkeypatch)
    pale, means = loss.lines
    assert pale.get_ydata().tolist() == losses
    assert means.get_label() == "total"
    assert means.get_ydata()[-1] == pytest.approx(1.0)  # of 8: half of them 0.5, half 1.5
    assert means.get_ydata()[7] == pytest.approx((500 + 3 * 1.5 + 4 * 0.5) / 8, abs=0.2)
    assert loss.get_ylim()[1] < 5
