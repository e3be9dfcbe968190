"""The checkpoint of a localisation network."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from detection.checkpoint import ClassifierCheckpoint, is_classifier, is_detector, load_plain


@dataclass(frozen=True, kw_only=True)
class LocalizerCheckpoint(ClassifierCheckpoint):
    """A classifier's, of which ``views`` are what it is tested on, and more.

    ``choice``: the configuration of the box that is chosen:
    :class:`detection.localization.choice.BoxChoice`.
    """

    choice: dict[str, Any]

    @classmethod
    def load(cls, path: Path) -> LocalizerCheckpoint:
        """Raises ValueError, too, for the checkpoint of another kind of network."""
        if Path(path).is_file():
            content = load_plain(Path(path))
            other = "classifier" if is_classifier(content) else None
            other = "detector" if is_detector(content) else other
            if other:
                raise ValueError(
                    f"{path}: is a {other}, and no localisation network; "
                    "detection train-localizer trains one"
                )
        return super().load(path)
