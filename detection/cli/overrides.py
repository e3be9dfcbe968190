"""An override on the command line: key=value, as Hydra takes it."""

from __future__ import annotations

import re

# key=value, +key=value, ++key=value, ~key or ~key=value
SHAPE = re.compile(r"(\+{0,2}[\w.@/-]+=.*|~[\w.@/-]+(=.*)?)", re.DOTALL)


# No value of the configuration has more.  Parsers take a second for fifty, and fail at hundreds.
_DEEPEST = 16


def check_depth(override: str) -> None:
    """Raises ValueError for brackets within brackets that no value has."""
    depth = 0
    for letter in override:
        depth += (letter in "[{(") - (letter in ")}]")
        if depth > _DEEPEST:
            key = key_of(override)[:60]
            raise ValueError(
                f"{key}: more than {_DEEPEST} brackets within each other: leave them out"
            )


def key_of(override: str) -> str:
    """The key that it sets, adds or deletes."""
    return override.lstrip("+~").partition("=")[0]
