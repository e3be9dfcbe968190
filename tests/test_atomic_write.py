"""Files that are there whole or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from detection.atomic_write import atomic_write, write_text


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
