"""Bias-corrected percentiles by hand; test_bootstrap.py has their coverage."""

from __future__ import annotations

import numpy as np
import pytest

from detection.evaluation.interval import Interval


def test_a_bias_moves_both_ends() -> None:
    """Of 100 resampled numbers 0.00 ... 0.99, 30 lie below 0.30: z = -0.524."""
    resampled = np.arange(100) / 100
    found = Interval.of(np.array([0.295, *resampled]), 0.95)
    # Phi(-1.049 - 1.960) = 0.0013, Phi(-1.049 + 1.960) = 0.819
    assert (found.low, found.high) == (
        pytest.approx(0.001, abs=1e-3),
        pytest.approx(0.811, abs=1e-3),
    )
    # However strong it is, what was measured is within, and so is something of what was resampled.
    for measured in (-0.5, 0.0, 0.99, 2.0):
        found = Interval.of(np.array([measured, *resampled]), 0.95)
        assert found.low <= measured <= found.high
        assert min(found.high, 0.99) - max(found.low, 0) > 0.4


def test_without_a_bias_they_are_percentiles() -> None:
    resampled = np.arange(101) / 100
    found = Interval.of(np.array([0.5, *resampled, np.nan]), 0.9)
    assert (found.low, found.high) == (pytest.approx(0.05), pytest.approx(0.95))
    nothing = Interval.of(np.array([0.5, np.nan]), 0.9)
    assert (nothing.low, nothing.high) == (0.5, 0.5)
