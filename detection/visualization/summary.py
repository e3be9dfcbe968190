"""A one-page summary of a run: numbers, a table per class, pictures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader


@dataclass(frozen=True, kw_only=True)
class Summary:
    """``facts``: name -> value.  ``per_class``: class -> column -> value.

    ``pictures``: caption -> path relative to the page.
    """

    title: str
    facts: dict[str, str]
    per_class: dict[str, dict[str, str]]
    pictures: dict[str, str]


def write_summary(path: Path, summary: Summary) -> None:
    """Writes an HTML page that needs nothing but its pictures."""
    environment = Environment(loader=PackageLoader("detection.visualization", "."), autoescape=True)
    page = environment.get_template("summary.html.j2").render(summary=summary)
    path.write_text(page, encoding="utf-8")


def percent(value: float) -> str:
    return f"{100 * value:.1f} %"


def detection_facts(coco: Mapping[str, Any], voc: Mapping[str, Any]) -> dict[str, str]:
    """The headline numbers of a metrics.json's ``coco`` and ``voc``."""
    return {
        "COCO AP": percent(coco["AP"]),
        "COCO AP50": percent(coco["AP50"]),
        "VOC mAP, 11-point": percent(voc["mAP_11point"]),
        "VOC mAP, area": percent(voc["mAP_area"]),
    }


def detection_classes(coco: Mapping[str, Any], voc: Mapping[str, Any]) -> dict[str, dict[str, str]]:
    """A row for each class of a metrics.json's ``coco`` and ``voc``, in percent."""
    return {
        name: {
            "objects": str(values["num_objects"]),
            "AP": f"{100 * values['AP']:.1f}",
            "AP50": f"{100 * values['AP50']:.1f}",
            "11-point": f"{100 * voc['per_class'][name]['AP_11point']:.1f}",
            "area": f"{100 * voc['per_class'][name]['AP_area']:.1f}",
        }
        for name, values in coco["per_class"].items()
    }
