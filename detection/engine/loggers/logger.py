"""Where a training's numbers and pictures go besides its own log: TensorBoard, W&B or MLflow."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import Literal, Protocol

from detection.visualization.image import Image

Name = Literal["tensorboard", "wandb", "mlflow"]


class Logger(Protocol):
    """One of them, while a training runs."""

    @property
    def errors(self) -> tuple[type[Exception], ...]:
        """What it raises where it can no longer write; log.jsonl has the same numbers then."""

    def numbers(self, iteration: int, values: Mapping[str, float]) -> None:
        """``values``: by names as "train/total" and "validation/AP"."""

    def picture(self, iteration: int, name: str, picture: Image) -> None:
        """``picture``: uint8 BGR [H, W, 3], under a name that comes again with the next ones."""

    def close(self) -> None:
        """Nothing is written after it."""


def check_installed(names: Sequence[str]) -> None:
    """Raises ImportError, before long work, where one that was asked for cannot be imported."""
    for name in names:
        if name in ("wandb", "mlflow"):
            import_logger(name)


def import_logger(name: str) -> ModuleType:
    """The package.  Raises ImportError with the line that installs it."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise ImportError(
            f"logger={name} needs a package that cannot be imported ({error}): pip install {name}"
        ) from None
