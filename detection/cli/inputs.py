"""What a command is to read is there: asked at the door, before torch takes its seconds to load."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from detection.data.data_root import check_there
from detection.user_path import user_path
from detection.weights.published import PUBLISHED, check_name

# What is no file: weights=random trains layers that are fixed, too.
_RANDOM = "random"
# Key -> what the file is called.
_WEIGHTS = {"checkpoint": "checkpoint", "init": "checkpoint", "weights": "file of weights"}


def check_inputs(config: DictConfig, *, without: Sequence[str] = ()) -> None:
    """Raises FileNotFoundError for weights and a data set that are not there.

    ``without``: keys that the command does not look at.  A run that is gone on with needs no first
    weights any more.
    """
    for key, what in _WEIGHTS.items():
        if key == "checkpoint" or not config.get("resume"):
            for name in _texts(config, key):
                _check_weights(name, key, what)
    if "data.root" not in without:
        for root in _texts(config, "data.root"):
            check_there(Path(root))


def _check_weights(name: str, key: str, what: str) -> None:
    if key == "weights" and name == _RANDOM:
        return
    check_name(name)
    path = user_path(name)
    if name in PUBLISHED or os.path.lexists(path):
        return
    several = f"; several are written {key}={name}" * name.startswith("[")
    raise FileNotFoundError(f"{path}: no such {what}{several}")


def _texts(config: DictConfig, key: str) -> list[str]:
    value = OmegaConf.select(config, key, throw_on_missing=False)
    found = [value] if isinstance(value, str) else value or []
    return [each for each in found if isinstance(each, str) and each]
