"""The page ``data.html``: what a :class:`DataPage` says, as one file for people to look at."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from detection.report.data_content import DataPage
from detection.report.page import number
from detection.report.self_contained import self_contained, write_page

STYLES = ("base.css", "gallery.css", "report.css", "data.css")
SCRIPTS = ("elements.js", "sortable_table.js", "charts.js", "parts.js", "gallery.js", "data.js")


def write_data_page(path: Path, page: DataPage) -> None:
    """Writes ``page`` as one HTML file that needs no other; see :func:`write_page`."""
    write_page(path, data_page(page))


def data_page(page: DataPage) -> str:
    """The HTML of :func:`write_data_page`."""
    return self_contained(
        "data.html.j2",
        styles=STYLES,
        scripts=SCRIPTS,
        data=_drawn(page),
        page=page,
        sections=_sections(page),
        number=number,
    )


def _sections(page: DataPage) -> dict[str, str]:
    """id -> title of those that have anything to say, in the order of the page."""
    there = {
        "splits": ("Splits", bool(page.splits)),
        "findings": ("Findings", bool(page.findings)),
        "classes": ("Classes", bool(page.classes)),
        "shapes": ("Boxes", any(page.sides.counts)),
        "batches": ("Mini-batches", page.batches is not None),
        "pictures": ("Pictures", bool(page.pictures)),
    }
    return {name: title for name, (title, is_there) in there.items() if is_there}


def _drawn(page: DataPage) -> dict[str, Any]:
    """What the scripts draw; the rest stands in the template's HTML."""
    return {
        "sides": asdict(page.sides),
        "ratios": asdict(page.ratios),
        "per_picture": asdict(page.per_picture),
        "names": [one.name for one in page.classes],
        "pictures": [asdict(one) for one in page.pictures],
        "batches": None if page.batches is None else [asdict(o) for o in page.batches.pictures],
    }
