"""The objects of a detection data set as a classifier's folders."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

from detection.classification.images import open_labelled
from detection.classification.object_crops import object_crops, write_object_crops
from detection.data.formats.open import open_dataset
from detection.shapes.dataset import generate


def test_crops_are_a_folder_per_class(tmp_path: Path) -> None:
    data = generate(root=tmp_path / "data", splits={"train": 6}, seed=3, image_side=128)
    dataset = open_dataset(root=data, split="train", classes=None, invalid_boxes="error")
    # Difficult objects are left out; there are some.
    labels = [int(label) for e in dataset.examples for label in e.labels[~e.difficult]]
    assert len(labels) < sum(len(e.labels) for e in dataset.examples)
    count = write_object_crops(
        dataset,
        tmp_path / "crops" / "train",
        side=32,
        context=(1.0, 1.5),
        per_object=2,
        ground_per_object=0,
        seed=1,
    )
    assert count == 2 * len(labels)
    crops = open_labelled(root=tmp_path / "crops", split="train", in_memory=True, images=None)
    found = [crops.class_names[label] for label in crops.classes]
    expected = [dataset.class_names[label - 1] for label in labels for _ in range(2)]
    assert sorted(found) == sorted(expected)
    assert crops.images[0].shape == (32, 32, 3)


def test_ground_is_a_class_of_its_own_and_shows_no_whole_object(tmp_path: Path) -> None:
    """Objects are white squares on black: an object's crop is at least 0.4 white."""
    picture = np.zeros((100, 120, 3), np.uint8)
    boxes = np.array([[10, 10, 40, 40], [70, 50, 100, 80]], np.float32)
    for x1, y1, x2, y2 in boxes.astype(int):
        picture[y1:y2, x1:x2] = 255
    cv2.imwrite(str(tmp_path / "a.png"), picture)
    content = {
        "images": [{"id": 1, "file_name": "a.png", "width": 120, "height": 100}],
        "annotations": [
            {"id": n, "image_id": 1, "category_id": 1, "bbox": [x1, y1, x2 - x1, y2 - y1]}
            for n, (x1, y1, x2, y2) in enumerate(boxes.tolist(), start=1)
        ],
        "categories": [{"id": 1, "name": "square"}],
    }
    (tmp_path / "labels.json").write_text(json.dumps(content))
    dataset = open_dataset(root=tmp_path, split="all", classes=None, invalid_boxes="error")
    crops, classes = object_crops(
        dataset, side=16, context=(1.0, 1.5), per_object=3, ground_per_object=10, seed=1
    )
    assert (classes == 0).sum() == 6
    assert (classes == 1).sum() == 20
    white = crops.mean(axis=(1, 2, 3)) / 255
    assert white[classes == 0].min() > 0.4
    # Of a window as large as the object, or larger, IoU 0.3 is at most 0.46 of the window.
    assert white[classes == 1].max() < 0.5
    assert white[classes == 1].min() < 0.1

    crowded = replace(dataset.examples[0], size=(35, 35))  # no window is beside the object
    none = replace(dataset, examples=[crowded.keep(np.array([True, False]))])
    _, classes = object_crops(
        none, side=16, context=(1.0, 1.1), per_object=1, ground_per_object=2, seed=1
    )
    assert classes.tolist() == [0]
