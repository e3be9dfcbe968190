"""Flags of an annotation: crowd, difficult, and what others say of a box."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# Statements of others that change what a box means, beside iscrowd and difficult.
UNUSED = "flag that is not used (the object counts; difficult or iscrowd: 1 would leave it aside)"
_ATTRIBUTES = ("difficult", "ignore", "occluded", "rotation")
# Texts that a flag's "no" is written as.
_FALSE = ("", "0", "0.0", "false", "f", "no", "n", "off", "none", "null")


def flag_of(value: object) -> bool:
    """iscrowd and the like; also as a text."""
    if isinstance(value, str):
        return value.strip().lower() not in _FALSE
    return bool(value)


def unused_flags(annotation: Mapping[str, Any]) -> list[str]:
    """ignore, and what CVAT and others have in ``attributes``; a rotated box is its upright one."""
    if "ignore" not in annotation and "attributes" not in annotation:
        return []  # at once: there may be a million of them
    attributes = annotation.get("attributes")
    given = attributes if isinstance(attributes, dict) else {}
    return [
        *(["ignore"] if flag_of(annotation.get("ignore", 0)) else []),
        *(f"attributes.{name}" for name in _ATTRIBUTES if flag_of(given.get(name, 0))),
    ]
