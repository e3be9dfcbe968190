"""An override on the command line: key=value, as Hydra takes it."""

from __future__ import annotations

import re

# key=value, +key=value, ++key=value, ~key or ~key=value
SHAPE = re.compile(r"(\+{0,2}[\w.@/-]+=.*|~[\w.@/-]+(=.*)?)", re.DOTALL)


def key_of(override: str) -> str:
    """The key that it sets, adds or deletes."""
    return override.lstrip("+~").partition("=")[0]
