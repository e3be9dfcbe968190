"""Files by their paths without the suffix, as VOC's lists name them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from detection.data.formats.file_names import fold
from detection.data.picture_files import find_files


class Stems:
    """The files of a folder and those below it by their path without the suffix."""

    def __init__(self, folder: Path, suffixes: Sequence[str]) -> None:
        self._paths: dict[str, list[Path]] = defaultdict(list)
        for path in find_files(folder):
            if path.suffix.lower() in suffixes:
                stem = path.relative_to(folder).with_suffix("").as_posix()
                self._paths[stem].append(path)
        self._folded: dict[str, list[str]] = defaultdict(list)
        for stem in self._paths:
            self._folded[fold(stem)].append(stem)

    def find(self, stem: str) -> list[Path]:
        """The files of that stem, or of the one that differs from it in case or accents alone."""
        if stem in self._paths:
            return self._paths[stem]
        alike = self._folded.get(fold(stem), [])
        return self._paths[alike[0]] if len(alike) == 1 else []

    def __contains__(self, stem: str) -> bool:
        return bool(self.find(stem))
