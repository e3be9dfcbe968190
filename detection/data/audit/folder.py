"""Files in a data set's folder that no split names, or that are not in it at all."""

from __future__ import annotations

import os
from collections.abc import Collection
from pathlib import Path

from detection.data.audit.remarks import Remarks
from detection.data.picture_files import (
    find_pictures,
    is_apple_double,
    is_left_out,
    is_output,
    is_picture_name,
)

# Version control and the like have files of pictures' names, too.
_TOOLS = (".git", ".svn", ".hg", ".dvc", ".venv")


def audit_folder(
    root: Path, named: Collection[Path], remarks: Remarks, *, say_strays: bool
) -> None:
    """``named``: the pictures of all splits; folders without any of them are left alone.

    ``say_strays``: whether pictures that are not named are worth a word: the reader had none.
    """
    if not root.is_dir():
        return
    folders = {path.parent for path in named}
    for path in find_pictures(root):
        if path.parent not in folders or path in named:
            continue
        if is_apple_double(path):
            remarks.add("hidden", "", str(path.relative_to(root)))
        elif say_strays:
            remarks.add("not-annotated", "", str(path.relative_to(root)))
    for at, inner, files in os.walk(root):
        inner[:] = sorted(
            name for name in inner if name not in _TOOLS and not is_output(Path(at, name))
        )
        is_hidden = any(is_left_out(part) for part in Path(at).relative_to(root).parts)
        for name in sorted(files):
            looks_like_data = is_picture_name(name) or name.endswith((".xml", ".txt", ".json"))
            if (is_hidden or is_left_out(name)) and (looks_like_data or not name.startswith(".")):
                remarks.add("hidden", "", str(Path(at, name).relative_to(root)))
    real = root.resolve()
    for path in sorted(named):
        if not path.resolve().is_relative_to(real):
            remarks.add("link-outside", "", f"{path.name} is {path.resolve()}")
