"""A page that is one file: template, styles, scripts and data in it, and nothing from elsewhere.

The pieces lie beside this file.  ``base.html.j2`` is the frame; ``base.css`` has colours, letters
and tables; ``elements.js`` makes elements, ``sortable_table.js`` sorts tables, ``charts.js`` and
``parts.js`` draw charts, ``gallery.js`` and ``gallery.css`` show pictures with boxes: each says at
its top what it takes.
"""

from __future__ import annotations

import base64
import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from detection.atomic_write import atomic_write

FOLDER = Path(__file__).parent
# In JSON they mean the same escaped; in a page something would end or begin at them.  All that is
# not ASCII, U+2028 among it, is escaped by json itself.
_ESCAPES = {ord(letter): f"\\u{ord(letter):04x}" for letter in "<>&"}


def self_contained(
    template: str, *, styles: Sequence[str], scripts: Sequence[str], data: Any, **values: Any
) -> str:
    """The HTML of ``template``, which extends ``base.html.j2``; files are named within this folder.

    ``styles`` and ``scripts`` go into it in their order.  ``data``, of plain values, is what
    ``pageData()`` of ``elements.js`` returns.  ``values`` are the template's, and escaped there.
    """
    code = [_content(name) for name in scripts]
    page = _environment().get_template(template)
    return page.render(
        values,
        styles=[_content(name) for name in styles],
        scripts=code,
        policy=Markup(_policy(code)),
        data=Markup(embedded_json(data)),
    )


def write_page(path: Path, page: str) -> None:
    """Writes the HTML ``page``; it is there whole or not at all.

    Raises OSError where it cannot be written.
    """
    with atomic_write(path) as partial:
        # A file name may hold bytes that no letter has.
        partial.write_bytes(page.encode("utf-8", "replace"))


def embedded_json(data: Any) -> str:
    """``data`` as JSON that can stand in a ``<script>``; numbers that are not finite are null."""
    text = json.dumps(_finite(data), allow_nan=False, separators=(",", ":"))
    return text.translate(_ESCAPES)


def _finite(data: Any) -> Any:
    if isinstance(data, float):
        return data if math.isfinite(data) else None
    if isinstance(data, Mapping):
        return {key: _finite(value) for key, value in data.items()}
    if isinstance(data, (list, tuple)):
        return [_finite(value) for value in data]
    return data


def _environment() -> Environment:
    return Environment(
        loader=FileSystemLoader(FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _content(name: str) -> Markup:
    return Markup((FOLDER / name).read_text(encoding="utf-8"))


def _policy(scripts: Sequence[str]) -> str:
    """Of what the browser may do: run these scripts, and load nothing."""
    known = " ".join(map(source_of, scripts))
    return f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src {known}"


def source_of(text: str) -> str:
    """How a Content-Security-Policy names an inlined script or style."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
