"""A page in the browser of who asked for it."""

from __future__ import annotations

import logging
import webbrowser
from pathlib import Path

log = logging.getLogger(__name__)


def open_in_browser(path: Path) -> None:
    """Where no browser opens, a warning says which file it is."""
    if not webbrowser.open(path.resolve().as_uri()):
        log.warning("no browser opens here: open %s", path)
