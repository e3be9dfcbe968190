"""docs/paper.md names files, classes and functions that are there."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "paper.md").read_text()
# | section | what | `file` | `Name.method`, `name` | key |
ROWS = re.findall(r"^\| [^|]+ \| [^|]+ \| `([\w/]+\.py)` \| ([^|]+) \|", PAGE, re.MULTILINE)
FILES = sorted(set(re.findall(r"`((?!tools/)\w+(?:/\w+)*\.py)`", PAGE)))


def defined_in(path: Path) -> set[str]:
    """Top-level classes and functions, and methods as Class.method, inherited ones left out."""
    found = set()
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, (ast.ClassDef, ast.FunctionDef)):
            found.add(node.name)
        if isinstance(node, ast.ClassDef):
            found |= {f"{node.name}.{n.name}" for n in node.body if isinstance(n, ast.FunctionDef)}
    return found


def test_the_rows_are_seen_at_all() -> None:
    assert len(ROWS) > 40


@pytest.mark.parametrize("file", FILES)
def test_a_file_is_there(file: str) -> None:
    assert (ROOT / "detection" / file).is_file()


@pytest.mark.parametrize(("file", "names"), ROWS)
def test_a_row_names_what_its_file_defines(file: str, names: str) -> None:
    missing = set(re.findall(r"`([\w.]+)`", names)) - defined_in(ROOT / "detection" / file)
    assert not missing, f"detection/{file} defines no {', '.join(missing)}"
