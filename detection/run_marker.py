"""The file in the output folder of a run by which it is known as one."""

from __future__ import annotations

# `detection.engine.folder_lock` says what it holds.
MARKER = ".detection-run.json"
