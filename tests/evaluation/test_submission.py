"""What the servers of the challenges take, packed as they want it, and what is refused first."""

from __future__ import annotations

import json
import tarfile
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from detection.evaluation.submission import (
    check_submission,
    image_set,
    write_coco_submission,
    write_submission,
    write_voc_submission,
)

TRUTH: dict[str, Any] = {
    "images": [{"id": 1, "file_name": "2008_000001.jpg"}],
    "annotations": [],
    "categories": [{"id": 2, "name": "dog"}],
}
DETECTIONS = [{"image_id": 1, "category_id": 2, "bbox": [1.0, 2, 3, 4], "score": 0.5}]


def test_the_voc_server_gets_the_files_where_it_looks_for_them(tmp_path: Path) -> None:
    files = [tmp_path / f"comp4_det_test_{name}.txt" for name in ("dog", "cat")]
    for file in files:
        file.write_text(f"2008_000001 0.5 1 2 3 4 {file.stem}\n")
    write_voc_submission(files, tmp_path / "results.tar.gz", year="VOC2012")
    with tarfile.open(tmp_path / "results.tar.gz", "r:gz") as archive:
        assert archive.getnames() == [f"results/VOC2012/Main/{file.name}" for file in files]
        packed = archive.extractfile(archive.getnames()[1])
        assert packed is not None
        assert packed.read() == files[1].read_bytes()
    assert not list(tmp_path.glob("*.partial"))


def test_cocos_server_gets_its_name_for_the_file(tmp_path: Path) -> None:
    found = [{"image_id": 1, "category_id": 2, "bbox": [1.0, 2, 3, 4], "score": 0.5}]
    path = write_coco_submission(found, tmp_path, image_set="test-dev2015", method="r101")
    assert path.name == "detections_test-dev2015_r101_results.zip"
    with zipfile.ZipFile(path) as archive:
        (name,) = archive.namelist()
        assert name == "detections_test-dev2015_r101_results.json"
        assert json.loads(archive.read(name)) == found
    with pytest.raises(ValueError, match="'my/method' becomes part of a file's name"):
        write_coco_submission(found, tmp_path, image_set="test", method="my/method")


def test_each_server_gets_its_own_file(tmp_path: Path) -> None:
    where: dict[str, Any] = {"source": tmp_path / "VOC2007" / "VOC2012", "method": "r101"}
    voc = write_submission("voc", DETECTIONS, TRUTH, tmp_path, split="VOC2012/test", **where)
    with tarfile.open(voc) as archive:  # of the year in the folder nearest to the data
        assert archive.getnames() == ["results/VOC2012/Main/comp4_det_test_dog.txt"]
    coco = write_submission("coco", DETECTIONS, TRUTH, tmp_path, split="test-dev2015", **where)
    assert coco.name == "detections_test-dev2015_r101_results.zip"


@pytest.mark.parametrize(
    ("split", "name"),
    [
        ("val", "val"),
        ("VOC2012/test", "test"),
        (["VOC2007/test", "VOC2012/val"], "VOC2007-test+VOC2012-val"),
    ],
)
def test_the_image_set_is_the_splits_name(split: str | Sequence[str], name: str) -> None:
    assert image_set(split) == name


@pytest.mark.parametrize(
    ("server", "changes", "message"),
    [
        ("voc", {"source": Path("/data/shapes")}, "/data/shapes: no folder VOC20xx in it says"),
        ("voc", {"max_images": 5}, "max_images=5 with submission=voc: a server takes"),
        ("coco", {"method": "my net"}, "'my net' becomes part of a file's name"),
    ],
)
def test_what_could_not_be_packed_is_refused_first(
    server: str, changes: dict[str, Any], message: str
) -> None:
    right = {"source": Path("/data/VOC2012"), "method": "r101", "max_images": None}
    check_submission(server, TRUTH, **right)
    with pytest.raises(ValueError, match=message):
        check_submission(server, TRUTH, **{**right, **changes})


def test_names_that_comp4_files_cannot_hold_are_refused_first() -> None:
    truth = {**TRUTH, "categories": [{"id": 2, "name": "dog/cat"}]}
    with pytest.raises(ValueError, match="'dog/cat' cannot be part of a file name"):
        check_submission("voc", truth, source=Path("/VOC2012"), method="x", max_images=None)
