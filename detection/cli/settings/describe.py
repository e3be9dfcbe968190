"""The type and range of each key, in words: for the help and for docs/configuration.md."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from detection.cli.settings.fields import walk
from detection.cli.settings.table import settings_of


def describe(config: str, targets: Mapping[str, Any] | None = None) -> dict[str, str]:
    """Key -> type and range, of configs/<config>.yaml with all its groups.

    ``targets``: key of a part -> its ``_target_``, as in {"model.backbone": "detection...VGG16"};
    without it a key that several classes have in common has the words of each.
    A file of the user's own has no keys here.
    """
    node = settings_of(config)
    found: dict[str, list[str]] = {}
    for key, kind in () if node is None else walk(node, targets or {}):
        words = found.setdefault(key, [])
        if kind.words() not in words:
            words.append(kind.words())
    return {key: "; or ".join(words) for key, words in found.items()}
