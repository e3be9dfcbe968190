"""The interval of a bootstrap: bias-corrected percentiles.

BC of Efron, Nonparametric standard errors and confidence intervals, 1981.  AP is a little higher on
few images, and in resampled ones again: of 300 sets of 100 images, drawn from a test whose AP is
known, 7 in 100 plain intervals lay above it and 1 below it, corrected ones 3 and 4.
"""

from __future__ import annotations

from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Interval:
    """``difference``: on the data set itself.  ``low``, ``high``: where that of very many images
    of the same kind lies, with the confidence asked for; ``difference`` is between.  In [-1, 1]."""

    difference: float
    low: float
    high: float

    @classmethod
    def of(cls, numbers: NDArray[np.float64], confidence: float) -> Interval:
        """``numbers``: [1 + B], of the data set itself and of B resampled ones."""
        measured, resampled = float(numbers[0]), numbers[1:]
        # A data set drawn without any object has no AP, and says nothing.
        resampled = resampled[~np.isnan(resampled)]
        if not len(resampled):
            return cls(measured, measured, measured)
        low, high = np.quantile(resampled, _levels(measured, resampled, confidence))
        return cls(measured, min(float(low), measured), max(float(high), measured))


def _levels(
    measured: float, resampled: NDArray[np.float64], confidence: float
) -> tuple[float, float]:
    """Of the percentiles: both the higher, the more of the resampled lie below the measured."""
    same = np.isclose(resampled, measured, rtol=0, atol=1e-12)
    below = float(np.mean(np.where(same, 0.5, resampled < measured)))
    normal = NormalDist()
    # No more than one standard deviation: beyond, hardly any would be left to take one from.
    bias = normal.inv_cdf(min(max(below, normal.cdf(-1)), normal.cdf(1)))
    side = normal.inv_cdf((1 + confidence) / 2)
    return normal.cdf(2 * bias - side), normal.cdf(2 * bias + side)
