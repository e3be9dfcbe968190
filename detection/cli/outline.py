"""A command's keys and values as the files of configs/ say them, without composing them.

Hydra takes most of the time until an answer, and a question needs nothing of what it does.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from detection.cli.config_comments import rows_of

_FOLLOWS = re.compile(r"\$\{(\.*)(\w[\w.]*)(?:\[(\d+)\])?\}")


def outline(config: str) -> dict[str, str] | None:
    """Key -> value as it is written on the command line, nothing if it must be given.

    Of configs/<config>.yaml with the files that it chooses.  None where a file is not in the style
    that is read here: blocks, one key a line.
    """
    rows = {row.key: row.default for row in rows_of(config)}
    parts = {key.rpartition(".")[0] for key in rows}
    values = {
        key: value.replace(", ", ",")
        for key, value in rows.items()
        if key not in parts and not key.endswith("_partial_")
    }
    found: dict[str, str] = {}
    for key in _in_order(rows):
        if key not in values:
            continue
        value = _resolved(key, values)
        if value is None or re.search(r"[{}\"'&*|>]", value):
            return None
        found[key] = "" if value == "???" else value
    return found


def _in_order(keys: Iterable[str]) -> list[str]:
    """Those of each part together, where the part is first named."""
    groups: dict[str, list[str]] = {}
    for key in keys:
        head, dot, rest = key.partition(".")
        groups.setdefault(head, []).extend([rest] if dot else [])
    found: list[str] = []
    for head, inside in groups.items():
        found += [f"{head}.{rest}" for rest in _in_order(inside)] if inside else [head]
    return found


def _resolved(key: str, values: dict[str, str], depth: int = 5) -> str | None:
    """The value, or that of the key that it follows; None if that is not to be found."""
    value = values[key]
    if "${" not in value:
        return value
    follows = _FOLLOWS.fullmatch(value)
    if follows is None or not depth:
        return None
    dots, name, place = follows.groups()
    if dots:
        name = ".".join([*key.split(".")[: -len(dots)], name])
    followed = _resolved(name, values, depth - 1) if name in values else None
    if followed is None or place is None:
        return followed
    items = followed.strip("[]").split(",")
    return items[int(place)] if int(place) < len(items) else None
