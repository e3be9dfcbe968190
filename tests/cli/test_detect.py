"""Several arguments of detect are one list of pictures."""

from __future__ import annotations

from pathlib import Path

import pytest

from detection.cli.detect import _find, _names


def test_several_files_and_folders_are_found_once_each(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()
    files = [tmp_path / "photos" / name for name in ("a (1).jpg", "[b].jpg", "it's.png")]
    for file in files:
        file.touch()
    found = _find(["photos/it's.png", str(tmp_path / "photos"), "photos/../photos/[b].jpg"])
    assert found == [files[2], *sorted(files[:2])]
    assert {name for _, name in _names(found).values()} == {file.name for file in files}
    assert _find("photos/it's.png") == [Path("photos/it's.png")]
