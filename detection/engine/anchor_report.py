"""The boxes of a split against the RPN's anchors: what is too small, too long, or not reached."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detection.data.audit.boxes import MANY
from detection.data.audit.remarks import Remarks
from detection.data.dataset import DetectionDataset
from detection.engine.recipe.anchor_fit import fit_anchors, shape_recall
from detection.engine.recipe.facts import DataFacts

# Half a cell of conv4's feature map.
_TINY = 8.0
# Longer than that, a box and an anchor of the longest ratio r have an IoU below a half: of equal
# areas sqrt(r / ratio) of each lies in the other, and the IoU is 0.5 at 2/3 of each.
_BEYOND = 2.25
# So large a part of the boxes is no exception.
_PART = 0.1
# Points of recall that make other anchors worth a word.
_WORTH = 0.15


@dataclass(frozen=True)
class AnchorReport:
    """``size``, ``ratio``: the 5 %, 50 % and 95 % quantiles of the boxes' sides and height / width.

    In pictures resized as in training; ``size`` is the square root of the area.  ``recall``: the
    part of the boxes that an anchor at their centre overlaps by 0.7.
    """

    boxes: int
    size: tuple[float, ...]
    ratio: tuple[float, ...]
    recall: float
    fitted_sizes: tuple[float, ...]
    fitted_ratios: tuple[float, ...]
    fitted_recall: float

    def text(self, split: str) -> str:
        size, ratio = ("{:g}, {:g}, {:g}".format(*values) for values in (self.size, self.ratio))
        fitted = (
            f"{', '.join(f'{s:g}' for s in self.fitted_sizes)} with ratios "
            f"{', '.join(f'{r:g}' for r in self.fitted_ratios)}"
        )
        return (
            f"{split}: size of the boxes in training {size}, height / width {ratio} (5, 50 and "
            f"95 %); the anchors reach {self.recall:.0%} of them, {fitted} {self.fitted_recall:.0%}"
        )

    def entry(self) -> dict[str, Any]:
        return asdict(self)


def anchor_report(
    split: str,
    dataset: DetectionDataset,
    remarks: Remarks,
    *,
    shorter: int,
    longest: int,
    sizes: Sequence[float],
    ratios: Sequence[float],
) -> AnchorReport | None:
    """None where there is no box to learn from.  ``shorter``, ``longest``: sides in training."""
    facts = DataFacts.of(dataset, dataset, ignore_crowd=True, ignore_difficult=True)
    if not len(facts.boxes):
        return None
    boxes = facts.scaled(shorter, longest)
    fitted_sizes, fitted_ratios = fit_anchors(boxes)
    report = AnchorReport(
        boxes=len(boxes),
        size=_quantiles(np.sqrt(boxes.prod(axis=1)), digits=0),
        ratio=_quantiles(boxes[:, 0] / boxes[:, 1], digits=2),
        recall=shape_recall(boxes, sizes, ratios),
        fitted_sizes=tuple(fitted_sizes),
        fitted_ratios=tuple(fitted_ratios),
        fitted_recall=shape_recall(boxes, fitted_sizes, fitted_ratios),
    )
    _remark(split, boxes, report, ratios, remarks)
    return report


def _remark(
    split: str,
    boxes: NDArray[np.float64],
    report: AnchorReport,
    ratios: Sequence[float],
    remarks: Remarks,
) -> None:
    roots, shapes = np.sqrt(boxes.prod(axis=1)), boxes[:, 0] / boxes[:, 1]
    tiny = int((roots < _TINY).sum())
    if tiny > _PART * len(boxes):
        remarks.add("tiny-boxes", split, f"{tiny} of {len(boxes)}, below {_TINY:g} pixels")
    low, high = min(ratios) / _BEYOND, max(ratios) * _BEYOND
    long = int(((shapes < low) | (shapes > high)).sum())
    if long > _PART * len(boxes):
        remarks.add("long-boxes", split, f"{long} of {len(boxes)}, beyond {low:.2g} to {high:.2g}")
    if len(boxes) >= MANY and report.fitted_recall > report.recall + _WORTH:
        remarks.add(
            "anchors",
            split,
            f"{report.recall:.0%} now, {report.fitted_recall:.0%} with fitted ones",
        )


def _quantiles(values: NDArray[np.float64], *, digits: int) -> tuple[float, ...]:
    return tuple(np.quantile(values, (0.05, 0.5, 0.95)).round(digits).tolist())
