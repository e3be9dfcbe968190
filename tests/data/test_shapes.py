"""The generated data set: reproducible, the same in both formats, and what it promises to hold."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from detection.data import shapes
from detection.data.shapes import CATEGORY_IDS, CLASS_NAMES, Recipe, draw_scene, generate

RECIPE = Recipe(seed=3, image_side=256, max_objects=6, empty_fraction=0.1, typical_colours=0.0)


@pytest.fixture(scope="module")
def scenes() -> list[shapes.Scene]:
    return [draw_scene(recipe=RECIPE, split="train", index=i) for i in range(120)]


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


def test_same_seed_gives_the_same_bytes(root: Path, tmp_path: Path) -> None:
    again = generate(
        root=tmp_path / "again",
        splits={"train": 40, "val": 12},
        seed=3,
        image_side=256,
        empty_fraction=0.1,
    )
    assert contents(again) == contents(root)


def test_another_seed_and_another_split_give_other_images() -> None:
    image = draw_scene(recipe=RECIPE, split="train", index=0).image
    other_recipe = replace(RECIPE, seed=4)
    assert not np.array_equal(image, draw_scene(recipe=other_recipe, split="train", index=0).image)
    assert not np.array_equal(image, draw_scene(recipe=RECIPE, split="val", index=0).image)


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

    monkeypatch.setattr("detection.data.shapes.os.link", refuse)
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


def test_boxes_lie_inside_and_are_not_slivers(scenes: list[shapes.Scene]) -> None:
    for scene in scenes:
        height, width = scene.image.shape[:2]
        for item in scene.objects:
            x1, y1, x2, y2 = item.box
            assert 0 <= x1 < x2 <= width
            assert 0 <= y1 < y2 <= height
            assert min(x2 - x1, y2 - y1) >= 8
            assert max(x2 - x1, y2 - y1) <= round(shapes.MAX_SIDE * 256) + 1
            assert 0 < item.area <= (x2 - x1) * (y2 - y1) * 1.1


def test_scenes_vary_as_promised(scenes: list[shapes.Scene]) -> None:
    objects = [item for scene in scenes for item in scene.objects]
    classes = Counter(item.name for item in objects)
    # About 50 of each; the standard deviation is 7.
    assert set(classes) == set(CLASS_NAMES)
    assert min(classes.values()) > 25
    counts = Counter(len(scene.objects) for scene in scenes)
    assert set(counts) == set(range(7))
    assert 2 <= counts[0] <= 30  # 12 expected
    shapes_of_images = [scene.image.shape[:2] for scene in scenes]
    assert {height > width for height, width in shapes_of_images} == {True, False}
    assert all(max(shape) == 256 for shape in shapes_of_images)
    sides = [max(item.box[2] - item.box[0], item.box[3] - item.box[1]) for item in objects]
    assert min(sides) < 64  # 0.22 of 256 pixels, and a little less on the diagonal
    assert max(sides) > 115  # up to 0.53
    assert any(item.difficult for item in objects)
    assert any(item.truncated for item in objects)
    assert any(item.visible < 0.9 and not item.truncated for item in objects)
    assert min(item.visible for item in objects) >= shapes.MIN_VISIBLE


def test_without_typical_colours_colour_does_not_give_the_class_away(
    scenes: list[shapes.Scene],
) -> None:
    means: dict[str, list[Any]] = {name: [] for name in CLASS_NAMES}
    for scene in scenes:
        for item in scene.objects:
            x1, y1, x2, y2 = item.box
            means[item.name].append(scene.image[y1:y2, x1:x2].mean(axis=(0, 1)))
    overall = np.mean(np.concatenate([np.array(m) for m in means.values()]), axis=0)
    # One patch deviates by about 50 grey levels, the mean of some 50 patches by about 7.
    for name, values in means.items():
        assert np.abs(np.mean(values, axis=0) - overall).max() < 35, name
        assert np.std(values, axis=0).min() > 25, name


def test_typical_colours_are_of_the_class() -> None:
    recipe = replace(RECIPE, seed=1, empty_fraction=0, max_objects=1, typical_colours=1.0)
    near = []
    for index in range(60):
        scene = draw_scene(recipe=recipe, split="a", index=index)
        (item,) = scene.objects
        x1, y1, x2, y2 = item.box
        hue = cv2.cvtColor(scene.image[y1:y2, x1:x2].astype(np.float32), cv2.COLOR_BGR2HSV)[..., 0]
        typical = 360 * CLASS_NAMES.index(item.name) / len(CLASS_NAMES)
        # The angle between the two, 0 ... 180; three standard deviations are 36 degrees.
        distance = np.abs((hue - typical + 180) % 360 - 180)
        near.append((distance < 36).mean())
    # A box is not all object: a cross fills about half of its own, the ground is of any colour.
    # Of hues at random a fifth (72 / 360) would lie so near.
    assert np.mean(near) > 0.5


def test_empty_fraction_decides_the_images_without_objects() -> None:
    def empty(fraction: float) -> int:
        recipe = replace(RECIPE, seed=0, image_side=128, max_objects=2, empty_fraction=fraction)
        found = [draw_scene(recipe=recipe, split="a", index=i) for i in range(15)]
        assert max(len(scene.objects) for scene in found) <= 2
        return sum(not scene.objects for scene in found)

    assert empty(1) == 15
    assert empty(0) == 0


def test_images_without_objects_stay_in_both_formats(root: Path) -> None:
    without = [name for name, objects in voc_objects(root, "train").items() if not objects]
    assert without
    listed = {image["file_name"] for image in read_coco(root, "train")["images"]}
    assert set(without) <= listed
    assert len(listed) == 40


def test_mask_covers_the_contour() -> None:
    # To a quarter of a pixel, one step of the supersampling: cv2 draws the boundary too.
    # 19.5 wide, 20 high: x from 10.5 to 30 covers half of column 10, then columns 11 to 29.
    square = np.array([(10.5, 20), (30, 20), (30, 40), (10.5, 40)])
    item = shapes._rasterise("square", [square], (64, 64))
    mask = np.zeros((64, 64), np.float32)
    mask[item.window] = item.mask
    np.testing.assert_allclose(mask[30, 8:13], (0, 0, 0.5, 1, 1), atol=0.26)
    np.testing.assert_allclose(mask[30, 28:32], (1, 1, 0, 0), atol=0.26)
    np.testing.assert_allclose(mask[18:22, 20], (0, 0, 1, 1), atol=0.26)
    np.testing.assert_allclose(mask[38:42, 20], (1, 1, 0, 0), atol=0.26)


@pytest.mark.parametrize("name", CLASS_NAMES)
def test_boxes_are_tight(name: str) -> None:
    rng = np.random.default_rng(0)
    for side in (24.0, 60.0, 140.0):
        item = shapes._propose(rng, name, side, (2000, 2000))
        x1, y1, x2, y2 = shapes._describe(item, (2000, 2000)).box
        mask = np.zeros((2000, 2000), np.float32)
        mask[item.window] = item.mask
        rows, columns = np.flatnonzero(mask.max(axis=1)), np.flatnonzero(mask.max(axis=0))
        drawn = (columns[0], rows[0], columns[-1] + 1, rows[-1] + 1)
        np.testing.assert_allclose((x1, y1, x2, y2), drawn, atol=1)
        assert max(x2 - x1, y2 - y1) == pytest.approx(side, abs=1)


def test_a_ring_has_a_hole_and_a_moon_a_bay() -> None:
    for name in ("ring", "moon"):
        contours = [c * 20 + 32 for c in shapes.outline(name)]
        item = shapes._rasterise(name, contours, (64, 64))
        mask = np.zeros((64, 64), np.float32)
        mask[item.window] = item.mask
        assert mask[32, 36] == 0
        assert mask[32, 15] == 1


def test_unknown_shape_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"unknown shape 'blob'; there are circle, cross"):
        shapes.outline("blob")


def test_the_same_data_is_not_generated_again(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(**_: object) -> None:
        raise AssertionError("drawn again")

    monkeypatch.setattr(shapes, "draw_scene", refuse)
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

    monkeypatch.setattr(shapes, "_write_voc", interrupt)
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
