"""Text is utf-8 on every system, whatever its locale: each call that opens a file says so."""

from __future__ import annotations

import ast
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FILES = sorted(path for part in ("detection", "tools") for path in (ROOT / part).rglob("*.py"))
OWN = {"write_text", "read_text"}  # functions of the package, which know the encoding


def without_encoding(code: str) -> list[int]:
    """The lines of calls that open a file as text, or may, and do not say how it is encoded."""
    found = []
    for node in ast.walk(ast.parse(code)):
        if not isinstance(node, ast.Call):
            continue
        method = node.func.attr if isinstance(node.func, ast.Attribute) else None
        name = node.func.id if isinstance(node.func, ast.Name) else None
        texts = [a.value for a in node.args if isinstance(a, ast.Constant)]
        texts += [k.value.value for k in node.keywords if isinstance(k.value, ast.Constant)]
        modes = [text for text in texts if isinstance(text, str)]
        opens = name == "open" or (method in ("open", "fdopen") and bool(modes or not node.args))
        is_binary = any(
            ":" in mode or (set(mode) <= set("rwabx+") and "b" in mode) for mode in modes
        )
        if method in OWN or (opens and not is_binary):
            arguments = {keyword.arg for keyword in node.keywords}
            if not arguments & {"encoding", "buffering"} and None not in arguments:
                found.append(node.lineno)
    return found


def test_calls_are_told_apart() -> None:
    for text in ("open(p)", "p.open()", "p.open('w')", "p.read_text()", "os.fdopen(1, 'w')"):
        assert without_encoding(text) == [1], text
    for binary in (
        "open(p, 'rb')",
        "tarfile.open(p, 'w:gz')",
        "p.open('ab')",
        "p.open('w', encoding='utf-8')",
        "f(p)",
    ):
        assert without_encoding(binary) == [], binary


def test_each_call_says_the_encoding() -> None:
    found = []
    for path in FILES:
        code = path.read_text(encoding="utf-8")
        found += [f"{path.relative_to(ROOT)}:{line}" for line in without_encoding(code)]
    assert not found
