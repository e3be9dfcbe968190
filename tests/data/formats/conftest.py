"""Files of a data set, written from a table."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from detection.data.dataset import DetectionDataset
from detection.data.formats.open import open_every_split

WriteFiles = Callable[..., Path]


@pytest.fixture
def write_files(tmp_path: Path, write_picture: Callable[..., None]) -> WriteFiles:
    """{path: content} -> the folder; pictures, whose content is None, are 64 x 48."""

    def write(files: dict[str, Any]) -> Path:
        for name, content in files.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if content is None:
                write_picture(path, 48, 64)
            else:
                text = content if isinstance(content, str) else json.dumps(content)
                path.write_text(text, encoding="utf-8")
        return tmp_path

    return write


@pytest.fixture(scope="session")
def read_all() -> Callable[..., dict[str, DetectionDataset]]:
    """The splits of a folder."""

    def read(root: Path, invalid_boxes: Any = "clip") -> dict[str, DetectionDataset]:
        return open_every_split(root=root, invalid_boxes=invalid_boxes)

    return read


@pytest.fixture(scope="session")
def objects() -> Callable[[DetectionDataset], dict[str, list[tuple[str, list[float]]]]]:
    """The name of each picture -> the class and the box of each of its objects."""

    def of(dataset: DetectionDataset) -> dict[str, list[tuple[str, list[float]]]]:
        names = dataset.class_names
        return {
            example.path.name: [
                (names[label - 1], box)
                for label, box in zip(example.labels, example.boxes.tolist(), strict=True)
            ]
            for example in dataset.examples
        }

    return of
