"""The pictures of the validation set that a training shows after each validation."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from detection.data.dataset import DetectionDataset
from detection.data.formats.open import open_dataset
from detection.engine.validation import DetectionValidation
from detection.engine.validation_pictures import ValidationPictures, choose
from detection.shapes.dataset import generate


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> DetectionDataset:
    root = generate(
        root=tmp_path_factory.mktemp("shapes") / "data", splits={"val": 5}, seed=3, image_side=128
    )
    return open_dataset(root=root, split="val", classes=None, invalid_boxes="error")


def pictures(
    dataset: DetectionDataset, count: int, found: list[dict[str, Any]] | None
) -> dict[str, Any]:
    last = None if found is None else SimpleNamespace(detections=found)
    validation = SimpleNamespace(dataset=dataset, last=lambda: last)
    return ValidationPictures(cast(DetectionValidation, validation), count)()


def test_the_same_few_have_the_same_names_each_time(dataset: DetectionDataset) -> None:
    first = pictures(dataset, 3, [])
    assert list(first) == list(pictures(dataset, 3, None))
    assert len(first) == 3
    assert [name.split("_")[0] for name in first] == ["pictures/1", "pictures/2", "pictures/3"]
    assert len(pictures(dataset, 9, [])) == 5  # all that there are
    assert pictures(dataset, 0, []) == {}
    for picture in first.values():
        assert picture.dtype == np.uint8
        assert picture.shape[1] <= 2 * 640 + 16


def test_detections_are_on_the_right_half(dataset: DetectionDataset) -> None:
    (example,) = choose(dataset, 1)
    found = {
        "image_id": example.image_id,
        "category_id": dataset.category_ids[0],
        "bbox": [20.0, 20.0, 50.0, 50.0],
        "score": 0.9,
    }
    other = found | {"image_id": 12345}
    weak = found | {"score": 0.1}
    (without,) = pictures(dataset, 1, [other, weak]).values()
    (with_it,) = pictures(dataset, 1, [found]).values()
    different = np.abs(without.astype(int) - with_it).max(axis=(0, 2)) > 60
    half = len(different) // 2
    assert different[half:].any()
    assert not different[:half].any()
