"""Pictures for the classifier's tools."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from tests.bright_and_dark import write_bright_and_dark

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
    return write_bright_and_dark(tmp_path_factory.mktemp("classes"))
