"""The generated data set: reproducible, the same in both formats, and never over other files."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from collections import Counter
from pathlib import Path
from typing import Any

import cv2
import pytest

from detection.shapes import dataset
from detection.shapes.dataset import CATEGORY_IDS, generate
from detection.shapes.outlines import CLASS_NAMES


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return generate(
        root=tmp_path_factory.mktemp("generated") / "shapes",
        splits={"train": 40, "val": 12},
        seed=3,
        image_side=256,
        empty_fraction=0.1,
    )


def read_coco(root: Path, split: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(
        (root / "annotations" / f"instances_{split}.json").read_text()
    )
    return content


def contents(root: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()
    }


def coco_objects(root: Path, split: str) -> dict[str, list[tuple[Any, ...]]]:
    """File name -> (class, x1, y1, x2, y2, difficult)."""
    coco = read_coco(root, split)
    names = {category["id"]: category["name"] for category in coco["categories"]}
    files = {image["id"]: image["file_name"] for image in coco["images"]}
    objects: dict[str, list[tuple[Any, ...]]] = {name: [] for name in files.values()}
    for annotation in coco["annotations"]:
        x, y, width, height = annotation["bbox"]
        objects[files[annotation["image_id"]]].append(
            (
                names[annotation["category_id"]],
                *(x, y, x + width, y + height),
                annotation["difficult"],
            )
        )
    return objects


def voc_objects(root: Path, split: str) -> dict[str, list[tuple[Any, ...]]]:
    """The same from the VOC tree: pixel 1 spans [0, 1], so x1 = xmin - 1 and x2 = xmax."""
    voc = root / "VOC"
    result = {}
    for name in (voc / "ImageSets" / "Main" / f"{split}.txt").read_text().split():
        tree = ET.parse(voc / "Annotations" / f"{name}.xml").getroot()
        objects = []
        for element in tree.iter("object"):
            box = [
                int(element.findtext(f"bndbox/{k}", "")) for k in ("xmin", "ymin", "xmax", "ymax")
            ]
            difficult = int(element.findtext("difficult", ""))
            objects.append(
                (element.findtext("name"), box[0] - 1, box[1] - 1, box[2], box[3], difficult)
            )
        result[tree.findtext("filename", "")] = objects
    return result


@pytest.mark.slow
def test_same_seed_gives_the_same_bytes(root: Path, tmp_path: Path) -> None:
    again = generate(
        root=tmp_path / "again",
        splits={"train": 40, "val": 12},
        seed=3,
        image_side=256,
        empty_fraction=0.1,
    )
    assert contents(again) == contents(root)


def test_an_image_does_not_depend_on_how_many_there_are(root: Path, tmp_path: Path) -> None:
    few = generate(
        root=tmp_path / "few", splits={"val": 3}, seed=3, image_side=256, empty_fraction=0.1
    )
    for index in range(3):
        name = f"val_{index:06d}"
        assert (few / "val" / f"{name}.jpg").read_bytes() == (
            root / "val" / f"{name}.jpg"
        ).read_bytes()
        xml = Path("VOC/Annotations") / f"{name}.xml"
        assert (few / xml).read_bytes() == (root / xml).read_bytes()
    few_boxes, all_boxes = coco_objects(few, "val"), coco_objects(root, "val")
    assert few_boxes == {name: all_boxes[name] for name in few_boxes}


@pytest.mark.parametrize("split", ["train", "val"])
def test_both_formats_hold_the_same_boxes(root: Path, split: str) -> None:
    coco = coco_objects(root, split)
    assert coco == voc_objects(root, split)
    assert sum(map(len, coco.values())) > 20


def test_voc_boxes_are_one_based_and_inside(root: Path) -> None:
    for path in (root / "VOC" / "Annotations").glob("*.xml"):
        tree = ET.parse(path).getroot()
        width, height = (int(tree.findtext(f"size/{k}", "")) for k in ("width", "height"))
        for box in tree.iter("bndbox"):
            x1, y1, x2, y2 = (int(box.findtext(k, "")) for k in ("xmin", "ymin", "xmax", "ymax"))
            assert 1 <= x1 < x2 <= width
            assert 1 <= y1 < y2 <= height


def test_files_are_images_of_the_noted_size_in_both_trees(root: Path) -> None:
    for record in read_coco(root, "val")["images"]:
        image = cv2.imread(str(root / "val" / record["file_name"]))
        assert image is not None
        assert image.shape == (record["height"], record["width"], 3)
        twin = root / "VOC" / "JPEGImages" / record["file_name"]
        assert twin.samefile(root / "val" / record["file_name"])


def test_images_are_copied_where_links_are_impossible(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(source: Path, target: Path) -> None:
        raise OSError("no links here")

    monkeypatch.setattr("detection.shapes.dataset.os.link", refuse)
    root = generate(root=tmp_path / "shapes", splits={"train": 1}, seed=0, image_side=128)
    twin = root / "VOC" / "JPEGImages" / "train_000000.jpg"
    assert twin.read_bytes() == (root / "train" / "train_000000.jpg").read_bytes()


def test_category_ids_have_gaps_and_keep_the_order_of_names(root: Path) -> None:
    ids = [category["id"] for category in read_coco(root, "train")["categories"]]
    assert ids == sorted(CATEGORY_IDS.values())
    assert ids != list(range(ids[0], ids[0] + len(ids)))
    assert len(CLASS_NAMES) >= 6


def test_annotation_and_image_ids_are_unique(root: Path) -> None:
    coco = read_coco(root, "train")
    for key in ("images", "annotations"):
        assert max(Counter(entry["id"] for entry in coco[key]).values()) == 1


def test_images_without_objects_stay_in_both_formats(root: Path) -> None:
    without = [name for name, objects in voc_objects(root, "train").items() if not objects]
    assert without
    listed = {image["file_name"] for image in read_coco(root, "train")["images"]}
    assert set(without) <= listed
    assert len(listed) == 40


def test_the_same_data_is_not_generated_again(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(**_: object) -> None:
        raise AssertionError("drawn again")

    monkeypatch.setattr(dataset, "draw_scene", refuse)
    parameters: dict[str, Any] = {"seed": 3, "image_side": 256, "empty_fraction": 0.1}
    assert generate(root=root, splits={"val": 12, "train": 40}, **parameters) == root


def test_other_shapes_are_not_overwritten(root: Path) -> None:
    before = contents(root)
    with pytest.raises(ValueError, match=r"seed: 3 instead of 5.*choose another root"):
        generate(
            root=root,
            splits={"train": 40, "val": 12},
            seed=5,
            image_side=256,
            empty_fraction=0.1,
        )
    assert contents(root) == before


def test_other_files_are_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(ValueError, match="is not empty and holds no generated shapes"):
        generate(root=tmp_path, splits={"train": 1}, seed=0, image_side=128)
    assert contents(tmp_path) == {"thesis.tex": b"years of work"}


def test_a_file_in_place_of_the_root_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "shapes").write_text("")
    with pytest.raises(ValueError, match="shapes is a file"):
        generate(root=tmp_path / "shapes", splits={"train": 1}, seed=0, image_side=128)


@pytest.mark.parametrize("record", ["{", "[]"])
def test_a_broken_record_is_an_error(tmp_path: Path, record: str) -> None:
    (tmp_path / "shapes.json").write_text(record)
    with pytest.raises(ValueError, match=r"shapes\.json .*choose another root"):
        generate(root=tmp_path, splits={"train": 1}, seed=0, image_side=128)


def test_an_empty_folder_is_filled(tmp_path: Path) -> None:
    generate(root=tmp_path, splits={"train": 1}, seed=0, image_side=128)
    assert (tmp_path / "train" / "train_000000.jpg").is_file()


def test_an_interrupted_run_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(dataset, "_write_voc", interrupt)
    with pytest.raises(KeyboardInterrupt):
        generate(root=tmp_path / "shapes", splits={"train": 1}, seed=0, image_side=128)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"splits": {}}, "splits is empty"),
        ({"splits": {"../train": 1}}, "'../train' cannot name a folder"),
        ({"splits": {"VOC": 1}}, "'VOC' cannot name a folder"),
        ({"splits": {"train": 0}}, "'train' must have at least 1 image, got 0"),
        ({"seed": -1}, "seed must not be negative, got -1"),
        ({"image_side": 32}, "image_side must be at least 128 pixels, got 32"),
        ({"max_objects": 0}, "max_objects must be at least 1, got 0"),
        ({"empty_fraction": 1.5}, r"empty_fraction must lie in \[0, 1\], got 1.5"),
        ({"typical_colours": -0.1}, r"typical_colours must lie in \[0, 1\], got -0.1"),
    ],
)
def test_values_out_of_range(tmp_path: Path, wrong: dict[str, Any], message: str) -> None:
    arguments = {"splits": {"train": 1}, "seed": 0, **wrong}
    with pytest.raises(ValueError, match=message):
        generate(root=tmp_path / "shapes", **arguments)
    assert list(tmp_path.iterdir()) == []
