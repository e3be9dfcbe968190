"""The package's readers of files, as one call each for a folder with an input."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from detection.checkpoint import ClassifierCheckpoint
from detection.cli.compose import compose_config
from detection.data.formats.open import open_every_split
from detection.data.image import read_image, read_size
from detection.data.split_file import PictureSplit
from detection.evaluation.coco_results import read_coco_results
from detection.weights.file_content import read_content
from tests.fuzz.seeds import COCO


def _only(folder: Path) -> Path:
    (path,) = folder.iterdir()
    return path


def _data(folder: Path) -> None:
    for dataset in open_every_split(root=folder, invalid_boxes="clip").values():
        dataset.to_coco()


def _picture(folder: Path) -> None:
    read_size(_only(folder))
    read_image(_only(folder))


def _overrides(folder: Path) -> None:
    text = _only(folder).read_text(encoding="utf-8", errors="surrogateescape")
    compose_config("train", text.split("\n"))


READERS: dict[str, Callable[[Path], object]] = {
    "data": _data,
    "picture": _picture,
    "detections": lambda folder: read_coco_results(_only(folder), COCO),
    "split": lambda folder: PictureSplit.load(_only(folder)),
    "checkpoint": lambda folder: ClassifierCheckpoint.load(_only(folder)),
    "weights": lambda folder: read_content(_only(folder)),
    "overrides": _overrides,
}
