"""Pictures for the classifier's tools."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def imported_by() -> Callable[[str, Sequence[str]], list[str]]:
    """Which of some modules a program has imported at its end, in a Python of its own."""

    def imported(program: str, names: Sequence[str]) -> list[str]:
        ending = f"import sys\nprint('imported:', *(n for n in {names!r} if n in sys.modules))\n"
        done = subprocess.run(
            [sys.executable, "-c", f"{program}\n{ending}"],
            capture_output=True,
            text=True,
            env={"PYTHONPATH": str(ROOT)},
            check=True,
        )
        first, *found = done.stdout.splitlines()[-1].split()
        assert first == "imported:"
        return found

    return imported


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
