"""The lines of a log as series."""

from __future__ import annotations

from typing import Any

import pytest

from detection.report.training_curves import MOST_POINTS, training_curves


def line(iteration: int, kind: str = "train", **values: Any) -> dict[str, Any]:
    return {"iteration": iteration, "kind": kind, **values}


def test_a_short_log_is_kept_as_it_is() -> None:
    lines = [
        line(10, total=3.0, head_class=2.0, learning_rate=0.01, gradient_norm=4.0),
        line(10, "validation", AP=0.2, AP50=0.4, APl=None, seconds_per_image=0.1),
        line(20, total=2.0, head_class=1.5, learning_rate=0.001),
        line(20, "validation", AP=0.3, AP50=0.5, APl=None, seconds_per_image=0.1),
        line(30, "validation", AP=0.3, AP50=0.6, APl=0.1, seconds_per_image=0.1),
        line(40, "validation", AP=None),
    ]
    found = training_curves(lines)
    assert found is not None
    assert [(one.name, one.iterations, one.values) for one in found.losses] == [
        ("total", [10, 20], [3.0, 2.0]), ("head class", [10, 20], [2.0, 1.5]),
    ]  # fmt: skip
    assert (found.rate.name, found.rate.values) == ("learning rate", [0.01, 0.001])
    assert [(one.name, one.iterations, one.values) for one in found.validation] == [
        ("AP", [10, 20, 30], [0.2, 0.3, 0.3]), ("AP50", [10, 20, 30], [0.4, 0.5, 0.6]),
        ("APl", [30], [0.1]),
    ]  # fmt: skip
    assert found.best == 20  # of equals the first, as best.pt


def test_a_long_log_becomes_means_of_neighbours() -> None:
    lines = [line(n, total=float(n), learning_rate=0.1) for n in range(1, 3 * MOST_POINTS + 1)]
    found = training_curves(lines)
    assert found is not None
    total = found.losses[0]
    assert len(total.values) == MOST_POINTS
    assert (total.iterations[:2], total.values[:2]) == ([3, 6], [2.0, 5.0])
    assert total.iterations[-1] == 3 * MOST_POINTS
    assert found.rate.values == pytest.approx([0.1] * MOST_POINTS)
    assert found.best is None


def test_no_log_is_no_training() -> None:
    assert training_curves([]) is None
