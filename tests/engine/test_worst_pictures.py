"""The worst pictures as files: drawn beside their ground truth, one by one and on a sheet."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import cv2
import pytest

from detection.data.dataset import DetectionDataset
from detection.data.formats.open import open_dataset
from detection.engine.look_back import boxes_per_class, look_back
from detection.engine.worst_pictures import write_worst_pictures
from detection.evaluation.coco_ap import evaluate_coco
from detection.shapes.dataset import generate


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> DetectionDataset:
    root = generate(
        root=tmp_path_factory.mktemp("shapes") / "data",
        splits={"val": 3},
        seed=3,
        image_side=128,
    )
    return open_dataset(root=root, split="val", classes=None, invalid_boxes="error")


def test_the_files_are_those_of_the_pictures_and_replace_earlier_ones(
    dataset: DetectionDataset, tmp_path: Path
) -> None:
    ids = [example.image_id for example in dataset.examples]
    write_worst_pictures(dataset, [], ids, tmp_path, min_score=0.5)
    first = dataset.examples[0]
    found = [
        {
            "image_id": first.image_id,
            "category_id": dataset.category_ids[0],
            "bbox": [20.0, 20.0, 50.0, 50.0],
            "score": score,
        }
        for score in (0.4, 0.9)
    ]
    pictures = []
    for detections in (found, found[:1]):
        (file,) = write_worst_pictures(dataset, detections, ids[:1], tmp_path, min_score=0.5)
        assert [*(tmp_path / "worst").iterdir()] == [file]
        assert file.name == f"1_{first.path.stem}.jpg"
        assert (tmp_path / "worst.jpg").is_file()
        pictures.append(cv2.imread(str(file)).astype(int))
    # Left the ground truth, right the detections: those from the score on.
    different = abs(pictures[0] - pictures[1]).max(axis=(0, 2)) > 60
    half = len(different) // 2
    assert different[half:].any()
    assert not different[:half].any()


def test_a_look_back_counts_draws_and_measures(dataset: DetectionDataset, tmp_path: Path) -> None:
    truth = dataset.to_coco()
    # All objects of the first picture, none of the others.
    first = truth["images"][0]["id"]
    found = [{**a, "score": 0.9} for a in truth["annotations"] if a["image_id"] == first]
    coco = evaluate_coco(truth, found)
    back = look_back(dataset, found, coco, tmp_path, boxes=boxes_per_class(dataset))
    assert back is not None
    assert back.intervals.AP.value == pytest.approx(coco.AP, abs=1e-9)
    assert 0 <= back.intervals.AP.low <= back.intervals.AP.high <= 1
    assert len(back.pictures) == 2
    assert all(path.is_file() for path in (*back.pictures, tmp_path / "worst.jpg"))
    assert sum(boxes_per_class(dataset).values()) == len(truth["annotations"])
    entries = json.loads(json.dumps(back.entries(tmp_path)))  # plain values alone
    counted = [a["image_id"] for a in truth["annotations"] if not a["difficult"]]
    recall = counted.count(first) / len(counted)
    assert entries["at_half"] == {"score": 0.5, "precision": 1.0, "recall": pytest.approx(recall)}
    assert entries["worst_pictures"][0].startswith("worst/1_")
    nothing = evaluate_coco({**truth, "annotations": []}, [])
    assert look_back(dataset, [], nothing, tmp_path) is None


def test_saved_detections_are_looked_at_without_the_pictures(
    dataset: DetectionDataset, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    moved = [replace(e, path=tmp_path / "moved" / e.path.name) for e in dataset.examples]
    absent = replace(dataset, examples=moved)
    back = look_back(absent, [], evaluate_coco(dataset.to_coco(), []), tmp_path)
    assert back is not None
    assert back.sheet is None
    assert "not drawn" in caplog.text
