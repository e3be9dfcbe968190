"""TensorBoard: ``tensorboard --logdir outputs/`` shows all trainings below it."""

from __future__ import annotations

import importlib
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import cv2

from detection.visualization.image import Image

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

log = logging.getLogger("train")

JPEG_QUALITY = 90  # an eighth of a PNG's bytes; there are pictures of each validation


def open_tensorboard(folder: Path, *, start: int) -> TensorBoardLogger | None:
    """None where TensorBoard is not installed: it is for those who look at it.

    ``start``: what an interrupted run wrote after that iteration is not shown.
    """
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        log.info('no %s/: pip install "detection[logs]" brings TensorBoard', folder)
        return None
    return TensorBoardLogger(SummaryWriter(str(folder), purge_step=start))


class TensorBoardLogger:
    """A :class:`detection.engine.loggers.logger.Logger`.  A disk that is full ends the training."""

    def __init__(self, writer: SummaryWriter) -> None:
        self._writer = writer
        self.errors: tuple[type[Exception], ...] = ()

    def numbers(self, iteration: int, values: Mapping[str, float]) -> None:
        for name, value in values.items():
            self._writer.add_scalar(name, value, iteration)
        self._writer.flush()

    def picture(self, iteration: int, name: str, picture: Image) -> None:
        # Made when it is imported: type checkers do not see what is in it.
        summary = importlib.import_module("tensorboard.compat.proto.summary_pb2").Summary
        coded = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])[1]
        image = summary.Image(
            height=picture.shape[0],
            width=picture.shape[1],
            colorspace=3,
            encoded_image_string=coded.tobytes(),
        )
        # add_image writes PNG alone.
        self._writer._get_file_writer().add_summary(
            summary(value=[summary.Value(tag=name, image=image)]), iteration
        )
        self._writer.flush()

    def close(self) -> None:
        self._writer.close()
