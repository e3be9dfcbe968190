"""Two classes of small pictures, bright and dark: the least that a classifier can learn."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np


def write_bright_and_dark(root: Path) -> Path:
    """16 pictures to learn from and 6 to test on, ``root``/<split>/<class>/<number>.png."""
    random = np.random.default_rng(0)
    for split, count in (("train", 8), ("test", 3)):
        for name, level in (("bright", 200), ("dark", 50)):
            (root / split / name).mkdir(parents=True)
            for number in range(count):
                image = np.clip(random.normal(level, 30, (32, 32, 3)), 0, 255).astype(np.uint8)
                cv2.imwrite(str(root / split / name / f"{number}.png"), image)
    return root
