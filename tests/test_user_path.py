"""``~`` is the home folder, and the beginning of a name where no such user is."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from detection.cli.inputs import check_there
from detection.data.image_input import to_image
from detection.engine.inputs import find_inputs
from detection.inference.photos import is_folder, read_photo
from detection.user_path import user_path
from detection.weights.by_name import weights_file

ROOT = Path(__file__).resolve().parent.parent


def test_home_is_expanded_and_a_name_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    assert user_path("~/x.jpg") == user_path(Path("~/x.jpg")) == Path("/home/me/x.jpg")
    assert user_path("~no such user.jpg") == Path("~no such user.jpg")
    assert user_path("a/~/b") == Path("a/~/b")


def test_pictures_whose_names_begin_with_a_tilde(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    name = "~holiday.png"
    cv2.imwrite(name, np.zeros((8, 8, 3), np.uint8))
    Path("list.txt").write_text(f"{name}\n", encoding="utf-8")
    assert to_image(name).shape == (8, 8, 3)
    assert read_photo(name, bgr=False).path == Path(name)
    assert not is_folder("~x")
    for given in (name, "~*.png", "list.txt"):
        assert find_inputs(given).pictures == [Path(name)], given
    with pytest.raises(FileNotFoundError, match=r"~none: no such folder"):
        check_there(Path("~none"))
    assert weights_file("~none.pt") == Path("~none.pt")


def test_no_path_is_expanded_in_the_way_that_raises() -> None:
    files = {p.relative_to(ROOT).as_posix(): p for p in (ROOT / "detection").rglob("*.py")}
    raising = {n for n, p in files.items() if ".expanduser()" in p.read_text(encoding="utf-8")}
    assert not raising
