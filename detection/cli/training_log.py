"""Configuration -> what a training is logged with."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import cast

from omegaconf import DictConfig, OmegaConf

from detection.cli.given import texts
from detection.engine.log import TrainingLog
from detection.engine.loggers.logger import Name, check_installed
from detection.visualization.image import Image


def training_log(
    config: DictConfig, pictures: Callable[[], Mapping[str, Image]] | None = None
) -> Callable[..., TrainingLog]:
    """Makes the log of ``logger=``.

    ``pictures``: see :class:`detection.engine.log.TrainingLog`.  Raises ImportError, with the line
    that installs it, for a logger that is not there.
    """
    # show_data makes a training's mini-batches, and no log.
    given = texts(config.get("logger", "none"))
    names = [cast(Name, name) for name in given if name != "none"]
    check_installed(names)
    return functools.partial(
        TrainingLog, loggers=names, settings=OmegaConf.to_yaml(config), pictures=pictures
    )
