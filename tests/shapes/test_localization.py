"""Generated pictures of one large object each, in the tree of CLS-LOC."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from detection.data.formats.open import open_dataset
from detection.shapes.localization import SYNSETS, generate_localization, window
from detection.shapes.scenes import DrawnObject, Scene


def test_a_window_has_all_of_the_object() -> None:
    image = np.zeros((60, 100, 3), dtype=np.uint8)
    image[20:40, 50:90] = 255
    scene = Scene(image, [DrawnObject("ring", (50, 20, 90, 40), 800, 1.0, False)])
    corners = set()
    for seed in range(50):
        cut = window(scene, np.random.default_rng(seed))
        x1, y1, x2, y2 = cut.objects[0].box
        white = np.argwhere(cut.image[..., 0] == 255)
        assert (white.min(axis=0) == (y1, x1)).all()
        assert (white.max(axis=0) == (y2 - 1, x2 - 1)).all()
        assert (x2 - x1, y2 - y1) == (40, 20)
        height, width = cut.image.shape[:2]
        assert 44 <= width <= 80  # 1.1 to 2 times 40
        assert 44 <= height <= 60  # the picture ends there
        corners.add((x1, y1))
    assert len(corners) > 20


def test_what_is_written_is_read(tmp_path: Path) -> None:
    root = tmp_path / "shapes"
    arguments = {"train": 3, "val": 2, "seed": 1, "image_side": 128}
    generate_localization(root=root, **arguments)
    val = open_dataset(root=root, split="val", classes=None, invalid_boxes="error")
    train = open_dataset(root=root, split="train", classes=None, invalid_boxes="error")
    assert val.class_names == tuple(SYNSETS.values())
    assert (len(train), len(val)) == (3, 2)
    for example in [*train.examples, *val.examples]:
        assert cv2.imread(str(example.path)).shape[:2] == example.size
        assert len(example.boxes) == 1
    written = max(f.stat().st_mtime_ns for f in root.rglob("*"))
    generate_localization(root=root, **arguments)
    assert max(f.stat().st_mtime_ns for f in root.rglob("*")) == written
    with pytest.raises(ValueError, match="holds other shapes"):
        generate_localization(root=root, **arguments | {"seed": 2})
