"""MLflow: a run in the experiment "detection", or what MLFLOW_EXPERIMENT_NAME names.

It goes to MLFLOW_TRACKING_URI, or else into output_dir/mlflow.db and output_dir/mlartifacts/, which
``mlflow ui --backend-store-uri sqlite:///output_dir/mlflow.db`` shows.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from detection.atomic_write import write_text
from detection.engine.loggers.logger import import_logger
from detection.visualization.image import Image

log = logging.getLogger("train")

EXPERIMENT = "detection"
RUN_FILE = "mlflow_run_id.txt"


class MlflowLogger:
    """A :class:`detection.engine.loggers.logger.Logger`.

    A training that goes on adds to the run that it began, whose name is in :data:`RUN_FILE`.
    """

    def __init__(self, folder: Path, *, start: int, settings: str) -> None:
        self._mlflow: Any = import_logger("mlflow")
        self.errors: tuple[type[Exception], ...] = (self._mlflow.MlflowException, OSError)
        folder = folder.resolve()
        given = os.environ.get("MLFLOW_TRACKING_URI")
        try:
            self._client = self._mlflow.MlflowClient(given or f"sqlite:///{folder / 'mlflow.db'}")
            artifacts = None if given else (folder / "mlartifacts").as_uri()
            self._run_id = self._begin(folder, artifacts, start=start)
            self._client.log_text(self._run_id, settings, "config.yaml")
        except (*self.errors, ImportError) as error:
            remedy = (
                f"see whether {given} answers"
                if given
                else 'pip install mlflow (mlflow-skinny has no database), or "export '
                'MLFLOW_TRACKING_URI=http://..." for a server of yours'
            )
            reason = " ".join(str(error).split())
            raise ValueError(f"logger=mlflow: {remedy}, or leave it out ({reason})") from None
        if not given:
            log.info("MLflow: in %s", folder / "mlflow.db")

    def _begin(self, folder: Path, artifacts: str | None, *, start: int) -> str:
        file = folder / RUN_FILE
        if start > 0 and file.is_file():
            known = file.read_text(encoding="utf-8").strip()
            self._client.update_run(known, "RUNNING")
            return known
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME", EXPERIMENT)
        experiment = self._client.get_experiment_by_name(name)
        number = (
            experiment.experiment_id
            if experiment
            else self._client.create_experiment(name, artifact_location=artifacts)
        )
        run_id = str(self._client.create_run(number, run_name=folder.name).info.run_id)
        write_text(file, f"{run_id}\n")
        return run_id

    def numbers(self, iteration: int, values: Mapping[str, float]) -> None:
        now = int(1000 * time.time())
        metric = self._mlflow.entities.Metric
        self._client.log_batch(
            self._run_id,
            metrics=[metric(name, float(value), now, iteration) for name, value in values.items()],
        )

    def picture(self, iteration: int, name: str, picture: Image) -> None:
        rgb = np.ascontiguousarray(picture[:, :, ::-1])
        self._client.log_image(self._run_id, rgb, key=name, step=iteration)

    def close(self) -> None:
        self._client.set_terminated(self._run_id)
