"""Names of files that are no UTF-8, and a format that cannot be written."""

from __future__ import annotations

import csv
import os
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from detection.writers.csv import CsvWriter
from tests.cli.test_detect import Levels, by_picture, detector, files, photos, run

__all__ = ["detector", "photos"]


@pytest.mark.skipif(sys.platform != "linux", reason="other systems take no such names")
def test_a_latin_1_name_is_escaped_in_every_format(
    detector: Levels, photos: Path, tmp_path: Path
) -> None:
    odd = Path(os.fsdecode(os.fsencode(photos) + "/café.png".encode("latin-1")))
    (photos / "a.png").rename(odd)
    output = tmp_path / "out"
    run(photos, output, "formats=[csv,voc,yolo,coco]", "draw=false")
    with (output / "detections.csv").open(encoding="utf-8") as table:
        names = {row["file_name"] for row in csv.DictReader(table)}
    assert names == {r"caf\udce9.png", "a.jpg", "sub/b.png", "c.jfif"}
    annotation = ElementTree.parse(output / "voc" / odd.with_suffix(".xml").name)
    assert annotation.findtext("filename") == r"caf\udce9.png"
    assert (output / "yolo/labels" / odd.with_suffix(".txt").name).is_file()
    assert odd.name in by_picture(output)


def test_what_one_format_cannot_write_costs_no_other(
    detector: Levels, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(self: CsvWriter, records: object) -> None:
        raise ValueError("detections.csv: no such letters")

    monkeypatch.setattr(CsvWriter, "finish", fails)
    with pytest.raises(ValueError, match="no such letters"):
        run(photos, tmp_path / "out", "formats=[csv,coco]", "draw=false")
    assert files(tmp_path / "out") == ["detections.json", "detections.jsonl"]
