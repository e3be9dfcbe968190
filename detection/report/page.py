"""The page ``report.html``: what a :class:`Report` says, as one file for people to look at."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from markupsafe import Markup, escape

from detection.report.content import (
    ClassReport,
    Comparison,
    Curve,
    Estimate,
    Histogram,
    Report,
)
from detection.report.self_contained import self_contained, write_page

STYLES = ("base.css", "gallery.css", "report.css")
SCRIPTS = (
    *("elements.js", "sortable_table.js", "charts.js", "parts.js", "gallery.js"),
    *("matrix.js", "report.js"),
)
# Larger confusion matrices are no picture any more; the largest confusions are a table.
MATRIX_CLASSES = 100
CONFUSIONS = 12
RECALL_LEVELS = [level / 100 for level in range(101)]
HEADLINES = ("AP", "AP50", "AP75")
MEANINGS = {
    "AP": "mean over IoU 0.50 to 0.95",
    "AP50": "at an IoU of 0.50",
    "AP75": "at an IoU of 0.75",
    "APs": "small objects",
    "APm": "medium objects",
    "APl": "large objects",
    "AR1": "recall, 1 detection a picture",
    "AR10": "recall, 10 detections",
    "AR100": "recall, 100 detections",
    "ARs": "recall of small objects",
    "ARm": "recall of medium objects",
    "ARl": "recall of large objects",
    "mAP_11point": "as in VOC 2007",
    "mAP_area": "as in VOC 2010",
}
ERRORS = {
    "class": ("Another class", "on an object, but of another class"),
    "place": ("Misplaced", "the right class, overlapping too little"),
    "both": ("Both", "another class, and misplaced"),
    "duplicate": ("Duplicate", "of an object that is found already"),
    "background": ("Background", "where no object is"),
    "missed": ("Missed", "objects that nothing lies on"),
}
NONE = "\N{EN DASH}"


def write_report(path: Path, report: Report) -> None:
    """Writes ``report`` as one HTML file that needs no other; see :func:`write_page`."""
    write_page(path, report_page(report))


def report_page(report: Report) -> str:
    """The HTML of :func:`write_report`."""
    return self_contained(
        "report.html.j2",
        styles=STYLES,
        scripts=SCRIPTS,
        data=_drawn(report),
        report=report,
        sections=_sections(report),
        columns={
            name: any(getattr(one, name) is not None for one in report.classes)
            for name in ("voc_AP", "learnt_from")
        }
        | {"reasons": any(one.reasons for one in report.classes)},
        confusions=_confusions(report.classes),
        headlines=[name for name in HEADLINES if name in report.numbers],
        meanings=MEANINGS,
        errors=ERRORS,
        has_matrix=_has_matrix(report),
        hundredths=hundredths,
        signed=signed,
        span=span,
        with_code=with_code,
        number=number,
        compared_classes=compared_classes,
    )


def hundredths(share: float | None) -> str:
    """0.431 -> "43.1", as papers print AP."""
    return NONE if share is None else f"{100 * share:.1f}"


def signed(share: float | None) -> str:
    """0.012 -> "+1.2", with the minus of print."""
    if share is None:
        return NONE
    text = f"{100 * share:+.1f}"
    return text.replace("-", "\N{MINUS SIGN}")


def span(estimate: Estimate, form: str = "hundredths") -> str | None:
    """The interval in words; None where there is none."""
    if estimate.low is None or estimate.high is None:
        return None
    words = signed if form == "signed" else hundredths
    return f"{words(estimate.low)} to {words(estimate.high)}"


def number(value: float | None, digits: int = 2) -> str:
    """A score, or a count with its thousands apart."""
    if value is None:
        return NONE
    # A narrow space that does not break.
    return f"{value:,}".replace(",", "\u202f") if isinstance(value, int) else f"{value:.{digits}f}"


def with_code(text: str) -> Markup:
    """Text whose parts in `backticks` are code."""
    parts = re.split(r"`([^`]+)`", text)
    return Markup("").join(
        Markup("<code>{}</code>").format(part) if position % 2 else escape(part)
        for position, part in enumerate(parts)
    )


def _has_matrix(report: Report) -> bool:
    return report.confusion is not None and 0 < len(report.confusion.names) <= MATRIX_CLASSES


def _sections(report: Report) -> dict[str, str]:
    """id -> title of those that have anything to say, in the order of the page."""
    data = report.data
    training = report.training
    there = {
        "result": ("Result", bool(report.numbers)),
        "next": ("Next steps", bool(report.next_steps or report.notes)),
        "classes": ("Classes", bool(report.classes)),
        "curves": ("Precision and recall", _has_curves(report)),
        "errors": ("Errors", bool(report.errors)),
        "confusion": ("Confusion", _has_matrix(report) or bool(_confusions(report.classes))),
        "calibration": ("Scores", any(one.detections for one in report.calibration)),
        "sizes": ("Size of objects", any(one.objects for one in report.sizes)),
        "proposals": (
            "Proposals",
            any(recall is not None for recall in report.proposal_recall.values()),
        ),
        "training": (
            "Training",
            training is not None
            and any(one.values for one in (*training.losses, training.rate, *training.validation)),
        ),
        "data": ("Data", bool(data.images or data.oddities)),
        "comparison": ("Other runs", bool(report.comparisons)),
        "gallery": ("Pictures", bool(report.pictures)),
    }
    return {name: title for name, (title, is_there) in there.items() if is_there}


def _has_curves(report: Report) -> bool:
    return any(one.recall for one in _curves(report))


def _curves(report: Report) -> Iterable[Curve]:
    yield from report.curves
    for one in report.classes:
        yield from one.curves


def _confusions(classes: Iterable[ClassReport]) -> list[tuple[str, str, int, float]]:
    """The largest: (class, what it was taken for, how often, share of the class's objects)."""
    found = [
        (one.name, other, count, count / one.objects)
        for one in classes
        for other, count in one.confused.items()
        if count and one.objects
    ]
    return sorted(found, key=lambda entry: (-entry[2], -entry[3], entry[:2]))[:CONFUSIONS]


def _drawn(report: Report) -> dict[str, Any]:
    """What the scripts draw; the rest stands in the template's HTML."""
    training = report.training
    return {
        "score": report.score,
        "curves": [_curve(one) for one in report.curves],
        "classes": [
            {
                "name": one.name,
                "threshold": one.threshold,
                "precision": one.precision,
                "recall": one.recall,
                "curves": [_curve(curve) for curve in one.curves],
            }
            for one in report.classes
        ],
        "confusion": asdict(report.confusion) if report.confusion and _has_matrix(report) else None,
        "calibration": [asdict(one) for one in report.calibration],
        "training": None if training is None else asdict(training),
        "sides": _histogram(report.data.sides),
        "per_picture": _histogram(report.data.per_picture),
        "pictures": [asdict(one) for one in report.pictures],
    }


def _curve(curve: Curve) -> dict[str, Any]:
    """Rounded as they are read out: a hundred classes' curves would outweigh the pictures."""

    def rounded(values: Iterable[float | None], digits: int = 3) -> list[float | None]:
        return [one if one is None or math.isnan(one) else round(one, digits) for one in values]

    recall = rounded(curve.recall)
    return {
        "iou": curve.iou,
        # None: COCO's levels, which the page knows.
        "recall": None if recall == RECALL_LEVELS else recall,
        "precision": rounded(curve.precision),
        "score": rounded(curve.score, 2) if any(one is not None for one in curve.score) else None,
    }


def _histogram(histogram: Histogram) -> dict[str, Any] | None:
    return asdict(histogram) if any(histogram.counts) else None


def compared_classes(comparison: Comparison) -> list[tuple[str, Any, Any, float | None]]:
    """(class, AP of this, AP of the other, difference)."""
    return [
        (name, this, other, None if this is None or other is None else this - other)
        for name, (this, other) in comparison.per_class.items()
    ]
