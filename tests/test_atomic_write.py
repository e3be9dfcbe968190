"""Files that are there whole or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from detection.atomic_write import append_line, atomic_write, write_text


def test_an_error_leaves_what_was_there_and_nothing_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "metrics.json"
    write_text(path, "before")

    def fail() -> None:
        with atomic_write(path) as partial:
            partial.write_text("half")
            assert path.read_text() == "before"
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert path.read_text() == "before"
    assert list(path.parent.iterdir()) == [path]
    write_text(path, "after: é")
    assert path.read_text(encoding="utf-8") == "after: é"


def test_a_name_that_is_no_utf_8_is_escaped(tmp_path: Path) -> None:
    name = b"caf\xe9".decode(errors="surrogateescape")
    write_text(tmp_path / "a.txt", f"{name} é\n")
    append_line(tmp_path / "a.txt", name)
    assert (tmp_path / "a.txt").read_text(encoding="utf-8") == "caf\\udce9 é\ncaf\\udce9\n"
