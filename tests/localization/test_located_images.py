"""Images of one class each, out of any data set."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from detection.data.dataset import DetectionDataset, Example
from detection.localization.located_images import LocatedImages, boxes_in


def as_dataset(located: LocatedImages, examples: list[Example]) -> DetectionDataset:
    ids = tuple(range(1, len(located.class_names) + 1))
    return DetectionDataset(located.class_names, ids, examples, located.source)


def test_what_was_painted_is_read(located: LocatedImages) -> None:
    assert len(located) == 4
    assert located.class_names[0] == "n00000001"
    image, boxes = located.read(2)
    assert image.shape[:2] == located.examples[2].size
    assert np.array_equal(boxes, located.examples[2].boxes)
    assert "4 images of 7 classes with 4 boxes" in located.report()
    labelled = located.labelled()
    assert np.array_equal(labelled.images[2], image)
    assert labelled.classes.tolist() == located.classes.tolist()


def test_boxes_follow_the_size_of_the_picture(located: LocatedImages) -> None:
    example = located.examples[0]
    height, width = example.size
    assert np.allclose(boxes_in(example, (2 * height, 3 * width)), example.boxes * (3, 2, 3, 2))


def test_images_without_a_box_are_left_out_and_counted(located: LocatedImages) -> None:
    first, second, *_ = located.examples
    flat = replace(second, boxes=second.boxes * np.array((1, 0, 1, 0), dtype=np.float32))
    kept = LocatedImages.of(as_dataset(located, [first, flat]))
    assert len(kept) == 1
    assert kept.report().endswith("; 1 without a box are left out")
    with pytest.raises(ValueError, match="no picture has a box"):
        LocatedImages.of(as_dataset(located, [flat]))


def test_an_image_of_two_classes_is_refused(located: LocatedImages) -> None:
    example = located.examples[0]
    both = replace(
        example.keep(np.array([0, 0])), labels=np.array([1, 2]), boxes=example.boxes.repeat(2, 0)
    )
    with pytest.raises(ValueError, match=r"objects of 2 classes \(n00000001, n00000002\)"):
        LocatedImages.of(as_dataset(located, [both]))


def test_some_of_them_are_evenly_spread(located: LocatedImages) -> None:
    some = located.every(2)
    assert [e.path for e in some.examples] == [located.examples[i].path for i in (0, 3)]
    assert located.every(None) is located
