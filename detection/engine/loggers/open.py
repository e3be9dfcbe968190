"""The loggers of a training, opened by their names.  Their packages are imported then."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from detection.engine.loggers.logger import Logger, Name
from detection.engine.loggers.mlflow import MlflowLogger
from detection.engine.loggers.tensorboard import open_tensorboard
from detection.engine.loggers.wandb import WandbLogger


def open_loggers(names: Sequence[Name], folder: Path, *, start: int, settings: str) -> list[Logger]:
    """Those of ``names``, for the training in ``folder`` that begins at iteration ``start``.

    ``settings``: its configuration as YAML.  TensorBoard, the default, may be absent.  Raises
    ImportError for another that is not installed: its line names the package.
    """
    found: list[Logger] = []
    for name in dict.fromkeys(names):
        if name == "tensorboard":
            if (board := open_tensorboard(folder / "tensorboard", start=start)) is not None:
                found.append(board)
        elif name == "wandb":
            found.append(WandbLogger(folder, start=start, settings=settings))
        else:
            found.append(MlflowLogger(folder, start=start, settings=settings))
    return found
