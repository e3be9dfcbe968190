"""Texts on the command line stay as they are typed, where Hydra reads 0, true and null as values.

A class may be called 0 or null, a folder 2014; and both may have any letters.
"""

from __future__ import annotations

import re

from detection.cli.settings.fields import walk
from detection.cli.settings.table import settings_of

# What Hydra's grammar reads as something else than a text.
NO_TEXT = re.compile(
    r"null|true|false|[+-]?(inf|nan|(\d[\d_]*\.?[\d_]*|\.\d[\d_]*)(e[+-]?\d+)?)", re.IGNORECASE
)


def as_typed(config: str, overrides: list[str]) -> list[str]:
    """The overrides with quotes around what is to be a text and would not be one."""
    if not any(NO_TEXT.search(o.partition("=")[2]) or not o.isascii() for o in overrides):
        return overrides
    node = settings_of(config)
    texts = {} if node is None else {k: kind for k, kind in walk(node, {}) if kind.is_text}
    found = []
    for override in overrides:
        key, equals, value = override.partition("=")
        kind = texts.get(key.lstrip("+"))
        if kind is not None and equals:
            value = _quoted(value)
        found.append(f"{key}{equals}{value}")
    return found


def _quoted(value: str) -> str:
    inside = re.fullmatch(r"\[([^\[\]{}'\"\\]*)\]", value)
    if inside:
        items = [item.strip() for item in inside[1].split(",")]
        quoted = [f'"{item}"' if _needs_quotes(item) else item for item in items]
        return f"[{','.join(quoted)}]"
    if value.lower() == "null" or not _needs_quotes(value):
        return value
    return f'"{value}"'


def _needs_quotes(text: str) -> bool:
    # Hydra's grammar knows ASCII alone; what it has signs for stays, and is explained.
    plain = re.fullmatch(r"[\w ./:@%+-]+", text) is not None
    return NO_TEXT.fullmatch(text) is not None or (plain and not text.isascii())
