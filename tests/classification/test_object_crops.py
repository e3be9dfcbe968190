"""The objects of a detection data set as a classifier's folders."""

from __future__ import annotations

from pathlib import Path

from detection.classification.images import open_labelled
from detection.classification.object_crops import write_object_crops
from detection.data.formats.open import open_dataset
from detection.shapes.dataset import generate


def test_crops_are_a_folder_per_class(tmp_path: Path) -> None:
    data = generate(root=tmp_path / "data", splits={"train": 6}, seed=3, image_side=128)
    dataset = open_dataset(root=data, split="train", classes=None, invalid_boxes="error")
    # Difficult objects are left out; there are some.
    labels = [int(label) for e in dataset.examples for label in e.labels[~e.difficult]]
    assert len(labels) < sum(len(e.labels) for e in dataset.examples)
    count = write_object_crops(
        dataset, tmp_path / "crops" / "train", side=32, context=(1.0, 1.5), per_object=2, seed=1
    )
    assert count == 2 * len(labels)
    crops = open_labelled(root=tmp_path / "crops", split="train", in_memory=True, images=None)
    found = [crops.class_names[label] for label in crops.classes]
    expected = [dataset.class_names[label - 1] for label in labels for _ in range(2)]
    assert sorted(found) == sorted(expected)
    assert crops.images[0].shape == (32, 32, 3)
