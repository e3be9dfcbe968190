"""A one-page summary of a run: numbers, a table per class, pictures."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

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
