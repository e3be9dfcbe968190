"""Pictures for the classifier's tools, and configurations that are read once."""

from __future__ import annotations

import copy
import functools
from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest
from omegaconf import DictConfig

from detection.cli import compose


@pytest.fixture(scope="session")
def bright_and_dark(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two classes, bright and dark, 16 + 6 pictures."""
    root = tmp_path_factory.mktemp("classes")
    random = np.random.default_rng(0)
    for split, count in (("train", 8), ("test", 3)):
        for name, level in (("bright", 200), ("dark", 50)):
            (root / split / name).mkdir(parents=True)
            for i in range(count):
                image = np.clip(random.normal(level, 30, (32, 32, 3)), 0, 255).astype(np.uint8)
                cv2.imwrite(str(root / split / name / f"{i}.png"), image)
    return root


@pytest.fixture(scope="session", autouse=True)
def _files_are_composed_once() -> Iterator[None]:
    """Of each tool without overrides, with which every call compares: half of the time it takes."""
    read = compose.compose

    @functools.cache
    def without_overrides(config: str) -> DictConfig:
        return read(config)

    def composed(config: str, overrides: Sequence[str] = ()) -> DictConfig:
        if overrides:
            return read(config, overrides=[*overrides])
        return copy.deepcopy(without_overrides(config))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compose, "compose", composed)
        yield
