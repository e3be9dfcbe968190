"""Paths as users write them."""

from __future__ import annotations

import os
from pathlib import Path


def user_path(given: str | os.PathLike[str]) -> Path:
    """``~/x`` within the home folder; ``~x.jpg`` is a file's name where no user is called x.jpg.

    ``Path.expanduser`` would raise RuntimeError there.
    """
    return Path(os.path.expanduser(given))
