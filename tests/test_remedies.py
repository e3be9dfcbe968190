"""Messages name the installed command, ``detection propose``: a wheel has no tools/."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SCRIPTS = "|".join(sorted(path.stem for path in (ROOT / "tools").glob("*.py")))
NAMED = re.compile(rf"(?<![\w.])(tools/(?:{SCRIPTS})|(?:{SCRIPTS})\.py)\b")


def texts(path: Path) -> Iterator[tuple[int, str]]:
    """The string constants of a file that are no docstrings, and their lines."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    statements = (node for node in ast.walk(tree) if isinstance(node, ast.Expr))
    docstrings = {id(node.value) for node in statements}
    for node in ast.walk(tree):
        is_text = isinstance(node, ast.Constant) and isinstance(node.value, str)
        if is_text and id(node) not in docstrings:
            yield node.lineno, node.value


def test_no_message_names_a_script() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{line}: {text}"
        for path in sorted((ROOT / "detection").rglob("*.py"))
        for line, text in texts(path)
        if " " in text and NAMED.search(text)
    ]
    assert not found, "\n".join(found)


def test_no_explanation_of_a_key_names_a_script() -> None:
    """The first line of a configuration, and experiments, say how the source tree runs them."""
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line}"
        for path in sorted((ROOT / "configs").rglob("*.yaml"))
        if "experiment" not in path.parts
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1)
        if number > 1 and NAMED.search(line)
    ]
    assert not found, "\n".join(found)
