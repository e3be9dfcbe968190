"""The lines of docs/tutorial.md, on folders in its four layouts, in small."""

from __future__ import annotations

import csv
import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import pytest

from detection.cli.main import main
from detection.shapes.dataset import generate
from tests.docs.test_commands import ROOT, SMALL, shell_commands

pytestmark = pytest.mark.slow

LINES = shell_commands(ROOT / "docs" / "tutorial.md")
INSTALL = 3
# (picture's file, class, x1, y1, x2, y2)
Row = tuple[str, str, int, int, int, int]
SPLITS = {"train": "train", "val": "valid"}  # as generated, as exported


def rows_of(shapes: Path, split: str) -> list[Row]:
    content = json.loads((shapes / "annotations" / f"instances_{split}.json").read_text())
    names = {one["id"]: one["name"] for one in content["categories"]}
    files = {one["id"]: one["file_name"] for one in content["images"]}
    rows = []
    for one in content["annotations"]:
        x, y, width, height = map(round, one["bbox"])
        box = x, y, x + width, y + height
        rows.append((Path(files[one["image_id"]]).name, names[one["category_id"]], *box))
    return rows


def write_voc(shapes: Path, root: Path) -> None:
    for split in SPLITS:
        shutil.copytree(shapes / split, root / split)
        for picture in (root / split).iterdir():
            xml = shapes / "VOC" / "Annotations" / f"{picture.stem}.xml"
            shutil.copy(xml, picture.with_suffix(".xml"))


def write_coco(shapes: Path, root: Path) -> None:
    for split, exported in SPLITS.items():
        shutil.copytree(shapes / split, root / exported)
        content = json.loads((shapes / "annotations" / f"instances_{split}.json").read_text())
        for one in content["images"]:
            one["file_name"] = Path(one["file_name"]).name
        (root / exported / "_annotations.coco.json").write_text(json.dumps(content))


def write_yolo(shapes: Path, root: Path) -> None:
    names = sorted({row[1] for split in SPLITS for row in rows_of(shapes, split)})
    for split, exported in SPLITS.items():
        shutil.copytree(shapes / split, root / exported / "images")
        labels = root / exported / "labels"
        labels.mkdir()
        lines: dict[str, list[str]] = {p.name: [] for p in (root / exported / "images").iterdir()}
        for name, kind, x1, y1, x2, y2 in rows_of(shapes, split):
            height, width = cv2.imread(str(root / exported / "images" / name)).shape[:2]
            parts = (x1 + x2) / 2 / width, (y1 + y2) / 2 / height, (x2 - x1) / width
            numbers = " ".join(f"{part:.8f}" for part in (*parts, (y2 - y1) / height))
            lines[name].append(f"{names.index(kind)} {numbers}\n")
        for name, own in lines.items():
            (labels / Path(name).with_suffix(".txt")).write_text("".join(own))
    (root / "data.yaml").write_text(
        f"train: ../train/images\nval: ../valid/images\nnames: {json.dumps(names)}\n"
    )


def write_csv(shapes: Path, root: Path) -> None:
    (root / "images").mkdir(parents=True)
    with (root / "boxes.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["filename", "width", "height", "class", "xmin", "ymin", "xmax", "ymax"])
        for split in SPLITS:
            shutil.copytree(shapes / split, root / "images", dirs_exist_ok=True)
            for name, kind, *box in rows_of(shapes, split):
                height, width = cv2.imread(str(shapes / split / name)).shape[:2]
                table.writerow([name, width, height, kind, *box])


WRITE: dict[str, Callable[[Path, Path], None]] = {
    "my_voc": write_voc,
    "my_coco": write_coco,
    "my_yolo": write_yolo,
    "my_csv": write_csv,
}


@pytest.fixture(scope="module")
def shapes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("tutorial") / "shapes"
    return generate(root=root, splits={"train": 6, "val": 4}, seed=1, image_side=128)


def test_there_are_twenty_lines_at_most() -> None:
    assert len(LINES) <= 20
    assert [words[0] for words in LINES[:INSTALL]] == ["python", ".", "pip"]


@pytest.mark.parametrize("folder", WRITE)
def test_the_lines_run(
    folder: str, shapes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    WRITE[folder](shapes, tmp_path / folder)
    shutil.copytree(shapes / "val", tmp_path / "photos")
    monkeypatch.chdir(tmp_path)
    name = folder.removeprefix("my_")
    lines = [words for words in LINES[INSTALL:] if name in " ".join(words)]
    assert [words[1] for words in lines] == ["check", "train", "test", "detect"]
    for words in lines:
        small: list[Any] = [*SMALL[words[1]]]
        if words[1] == "train":  # iterations in the place of minutes
            words = [word for word in words if not word.startswith("minutes=")]
            small += ["weights=random", "model/backbone=resnet_basic"]
        monkeypatch.setattr(sys, "argv", [*words, *small])
        main()
    found = json.loads((tmp_path / "outputs" / name / "metrics.json").read_text())
    assert found["coco"]["AP"] is not None
    assert (tmp_path / "outputs" / f"{name}_test" / "report.html").is_file()
    drawn = tmp_path / "outputs" / f"{name}_photos" / "drawn"
    assert len([*drawn.iterdir()]) == 4
