"""Weights & Biases: a run in the project "detection", or what WANDB_PROJECT names.

Without an API key, or without a network, it is written to output_dir/wandb/ alone: nobody is asked
to log in.  ``wandb sync`` sends it later.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from detection.atomic_write import write_text
from detection.engine.loggers.logger import import_logger
from detection.visualization.image import Image

log = logging.getLogger("train")

PROJECT = "detection"
RUN_FILE = "wandb/run_id.txt"
OFFLINE = "offline"
SECONDS = 30  # for the server to answer


class WandbLogger:
    """A :class:`detection.engine.loggers.logger.Logger`.

    A training that goes on adds to the run that it began, whose name is in :data:`RUN_FILE`.
    """

    def __init__(self, folder: Path, *, start: int, settings: str) -> None:
        self._wandb: Any = import_logger("wandb")
        self.errors: tuple[type[Exception], ...] = (self._wandb.Error, OSError)
        mode = os.environ.get("WANDB_MODE") or ("online" if self._has_key() else OFFLINE)
        file = folder / RUN_FILE
        known = file.read_text(encoding="utf-8").strip() if start > 0 and file.is_file() else None
        arguments = {
            "project": os.environ.get("WANDB_PROJECT", PROJECT),
            "name": os.environ.get("WANDB_NAME", folder.name),
            "dir": str(folder),
            "id": known,
            "resume": "allow" if known else None,
            "config": yaml.safe_load(settings) or {},
        }
        (folder / "wandb").mkdir(parents=True, exist_ok=True)  # else it takes a temporary folder
        self._run = self._begin(arguments, mode)
        write_text(file, f"{self._run.id}\n")
        # Of a run that goes on, iterations come again; wandb's own steps may not.
        self._run.define_metric("*", step_metric="iteration")

    def _has_key(self) -> bool:
        return bool(os.environ.get("WANDB_API_KEY") or self._wandb.api.api_key)

    def _begin(self, arguments: dict[str, Any], mode: str) -> Any:
        settings = self._wandb.Settings(init_timeout=SECONDS, silent=True)
        if mode != OFFLINE:
            try:
                return self._wandb.init(**arguments, mode=mode, settings=settings)
            except self.errors as error:
                log.warning("W&B does not answer (%s): this run is written offline", error)
        # A run that is offline cannot ask the server for the earlier part.
        arguments |= {"resume": None}
        run = self._wandb.init(**arguments, mode=OFFLINE, settings=settings)
        log.info(
            "W&B: offline, in %s; set WANDB_API_KEY to send runs as they train, or send this one "
            "later: wandb sync %s", run.dir, Path(run.dir).parent,
        )  # fmt: skip
        return run

    def numbers(self, iteration: int, values: Mapping[str, float]) -> None:
        self._run.log({"iteration": iteration, **values})

    def picture(self, iteration: int, name: str, picture: Image) -> None:
        rgb = np.ascontiguousarray(picture[:, :, ::-1])
        shown = self._wandb.Image(rgb, file_type="jpg")
        self._run.log({"iteration": iteration, name: shown})

    def close(self) -> None:
        self._run.finish()
