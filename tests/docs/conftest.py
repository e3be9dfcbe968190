"""The packages that the pages name."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def mypackage(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The names that the page's blocks of Python define."""
    text = (ROOT / "CONTRIBUTING.md").read_text()
    module = ModuleType("mypackage")
    monkeypatch.setitem(sys.modules, "mypackage", module)
    for block in re.findall(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        exec(compile(block, "CONTRIBUTING.md", "exec"), vars(module))
    return vars(module)
