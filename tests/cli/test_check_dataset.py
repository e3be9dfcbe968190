"""check: what is in a data set, as a table and as JSON; what is wrong with it, all of it."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import yaml

from detection.cli.commands import COMMANDS
from detection.cli.launch import launch

XML = (
    "<annotation><filename>{0}.jpg</filename><size><width>0</width><height>0</height></size>"
    "<object><name>mug</name><bndbox><xmin>11</xmin><ymin>11</ymin><xmax>34</xmax><ymax>30</ymax>"
    "</bndbox></object></annotation>"
)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """VOC's XML beside the pictures, in train/ and valid/."""
    for split, name in (("train", "a"), ("train", "b"), ("valid", "c")):
        folder = tmp_path / split
        folder.mkdir(exist_ok=True)
        (folder / f"{name}.xml").write_text(XML.format(name))
        cells = np.random.default_rng(ord(name)).integers(0, 256, (6, 8, 3), dtype=np.uint8)
        cv2.imwrite(str(folder / f"{name}.jpg"), cv2.resize(cells, (64, 48)))
    return tmp_path


def check(*words: str | Path) -> None:
    launch(COMMANDS["check"], ["detection check", *map(str, words)])


def test_the_json_says_what_was_read_and_repaired(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    check(root, "--json")
    said: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert set(said) == {
        "format", "splits", "anchors", "repaired", "refused", "remarks", "counts",
    }  # fmt: skip
    assert said["format"] == "VOC (XML files)"
    assert said["splits"] == {
        "train": {"images": 2, "boxes": 2, "empty": 0, "per_class": {"mug": 2}},
        "valid": {"images": 1, "boxes": 1, "empty": 0, "per_class": {"mug": 1}},
    }
    assert [(r["split"], r["count"]) for r in said["repaired"]] == [("train", 2), ("valid", 1)]
    assert said["refused"] == []
    assert said["counts"] == {"error": 0, "warning": 1, "note": 2}
    few = next(one for one in said["remarks"] if one["severity"] == "warning")
    assert (few["rule"], few["split"], few["count"], few["places"]) == (
        "few-boxes", None, 1, ["mug: 3"],
    )  # fmt: skip
    assert said["anchors"]["train"]["boxes"] == 2


def test_the_json_says_what_is_refused_and_the_command_fails(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (root / "train" / "a.xml").write_text(XML.format("a").replace("34", "many"))
    picture = root / "valid" / "c.jpg"
    picture.write_bytes(picture.read_bytes()[:-20])
    with pytest.raises(SystemExit, match="2 errors, 1 warning, 2 notes"):
        check(root, "json=true")
    said = json.loads(capsys.readouterr().out)
    # What can be read is read: the split is not given up for one object.
    assert said["splits"]["train"]["images"] == 2
    assert said["splits"]["train"]["boxes"] == 1
    (first, second) = said["refused"]
    assert "a.xml, object 1: <bndbox/xmax> must be a number, got 'many'" in first
    assert "c.jpg: truncated JPEG" in second


def test_a_table_says_the_same(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        check(root)
    rows = [line.split() for line in caplog.text.splitlines()]
    for row in (["train", "2", "2", "0"], ["valid", "1", "1", "0"], ["mug", "2", "1"]):
        assert row in rows
    assert "train: 2 x size of a picture missing" in caplog.text
    assert "0 errors, 1 warning, 2 notes in train, valid" in caplog.text


def test_warnings_end_a_strict_check_alone(root: Path) -> None:
    with pytest.raises(SystemExit, match="0 errors, 1 warning, 2 notes; strict=true") as end:
        check(root, "strict=true")
    assert isinstance(end.value.code, str)  # which is printed, and the exit code is 1


def test_a_fix_needs_a_folder_that_is_its_own(root: Path, tmp_path_factory: Any) -> None:
    with pytest.raises(SystemExit, match="output_dir=null: fix=true writes a cleaned copy there"):
        check(root, "fix=true")
    with pytest.raises(SystemExit, match=r"output_dir=.*: is for the cleaned copy: say fix=true"):
        check(root, "output_dir=x")
    with pytest.raises(SystemExit, match="lies in the data set"):
        check(root, "fix=true", f"output_dir={root / 'cleaned'}")
    other = tmp_path_factory.mktemp("other")
    (other / "diary.txt").write_text("dear diary")
    with pytest.raises(SystemExit, match="not empty"):
        check(root, "fix=true", "-o", other)
    assert [path.name for path in other.iterdir()] == ["diary.txt"]


def test_the_anchors_are_those_of_the_model() -> None:
    configs = Path(__file__).resolve().parents[2] / "configs"
    own = yaml.safe_load((configs / "check.yaml").read_text())["anchors"]
    model = yaml.safe_load((configs / "model" / "paper2015.yaml").read_text())
    anchors = model["rpn"]["anchors"]
    assert own == {key: anchors[key] for key in ("sizes", "aspect_ratios")}


def test_an_option_that_is_no_key_is_still_none(root: Path) -> None:
    with pytest.raises(SystemExit, match="there is no option --jason"):
        check(root, "--jason")
