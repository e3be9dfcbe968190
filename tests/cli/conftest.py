"""Pictures for the classifier's tools."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest


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
