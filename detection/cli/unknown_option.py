"""What to write for an option that there is not: schedule.recipe.epochs=5 for --epochs 5."""

from __future__ import annotations

import re

from detection.cli.explain import nearest_key
from detection.cli.other_names import OTHER_NAMES
from detection.cli.outline import outline

_KEY_VALUE = "write key=value, where --help lists the keys, or -- before a path that begins with -"
_ONE_RUN = "a command does one run; write a loop in your shell, with another -o each time"
_FILES = "--config FILE takes the config.yaml of a run, --config-dir DIR a folder of your own files"
# What Hydra's own programs have.
_INSTEAD = {
    "-m": _ONE_RUN,
    "--multirun": _ONE_RUN,
    "--cfg": "--help all shows every value; a training keeps its own in config.yaml",
    "--config-path": _FILES,
    "--config-name": _FILES,
}


def instead_of(option: str, config: str, words: list[str]) -> str:
    """``option``: as in ``words``, the command line of a command with configs/<config>.yaml."""
    name, _, value = option.partition("=")
    if name in _INSTEAD:
        return _INSTEAD[name]
    keys = outline(config) or {}
    wrong = name.lstrip("-").replace("-", "_")
    other = OTHER_NAMES.get(wrong)
    right = next((key for key in other.keys if key in keys), None) if other else None
    if right is None and name.startswith("--") and keys:
        right = wrong if wrong in keys else nearest_key(wrong, list(keys))
    if right is None:
        return _KEY_VALUE
    if not value and keys.get(right) in ("true", "false"):
        value = "true"
    if not value:
        behind = words[words.index(option) + 1 :][:1]
        value = behind[0] if behind and re.fullmatch(r"-?[\w.,\[\]/]+", behind[0]) else "..."
    return f"did you mean {right}={value}? Options are written key=value (--help lists the keys)"
