"""Data sets in PASCAL VOC's format (Everingham et al. 2010): lists of images, one XML file each.

The tree, in root/, root/VOC20xx/ or root/VOCdevkit/VOC20xx/::

    Annotations/<name>.xml
    JPEGImages/<name>.jpg              or another suffix of a picture
    ImageSets/Main/<split>.txt         one <name> per line
    ImageSets/Main/<class>_<split>.txt <name> and 1, -1 or 0: the images of one class
"""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import numpy as np

from detection import boxes as box_ops
from detection.data.box_check import BoxCheck, InvalidBoxes
from detection.data.dataset import DetectionDataset
from detection.data.formats.voc_xml import read_annotation, to_example, unannotated
from detection.data.image import SUFFIXES

VOC_CLASSES = (
    "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow",
    "diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train",
    "tvmonitor",
)  # fmt: skip


class Voc:
    """See `detection.data.formats.format.Format`."""

    name = "VOC"
    expects = "ImageSets/Main/*.txt"

    def splits(self, root: Path) -> list[str]:
        """A split that several years have is listed as "<year>/<split>"."""
        # Without the lists of one class, dog_train.txt and the like.
        found = [
            (path.stem, year.name)
            for year in _year_folders(root)
            for path in (year / "ImageSets" / "Main").glob("*.txt")
            if "_" not in path.stem
        ]
        times = Counter(split for split, _ in found)
        return sorted({split if times[split] == 1 else f"{year}/{split}" for split, year in found})

    def has_split(self, root: Path, split: str) -> bool:
        return bool(_years_with(root, split))

    def read(
        self, *, root: Path, split: str, check_images: bool, invalid_boxes: InvalidBoxes
    ) -> DetectionDataset:
        """Raises ValueError if several years have the split."""
        years = _years_with(root, split)
        if len(years) > 1:
            raise ValueError(
                f"{root}: {' and '.join(str(year.relative_to(root)) for year in years)} have a "
                f"split {split!r}; name one of them, {years[0].name}/{split}, or several: "
                f"[{','.join(f'{year.name}/{split}' for year in years)}]"
            )
        return read_voc(
            root=years[0], split=split, check_images=check_images, invalid_boxes=invalid_boxes
        )


def _year_folders(root: Path) -> list[Path]:
    """``root`` itself and the VOC20xx folders in it."""
    nested = [*root.glob("VOC20*"), *root.glob("VOCdevkit/VOC20*")]
    return [root, *sorted(path for path in nested if path.is_dir())]


def _years_with(root: Path, split: str) -> list[Path]:
    return [
        year
        for year in _year_folders(root)
        if (year / "ImageSets" / "Main" / f"{split}.txt").is_file()
    ]


def read_voc(
    *, root: Path, split: str, check_images: bool, invalid_boxes: InvalidBoxes
) -> DetectionDataset:
    """Reads ``root``/ImageSets/Main/``split``.txt and the XML files of its images.

    The classes are VOC's twenty if no other occurs, otherwise those that occur, sorted by name.
    Image ids are 1, 2, ... in the order of the list.
    ``check_images=False``: without the pictures (to measure saved detections).
    A split "test..." without any XML file is a test set whose annotations are not published.
    Raises FileNotFoundError and ValueError, which name the file, the object and the value.
    """
    names = _read_image_set(root, split)
    files = [root / "Annotations" / f"{name}.xml" for name in names]
    # In any other split it is an error that no image has annotations.
    annotated = not split.startswith("test") or any(file.is_file() for file in files)
    paths = _image_paths(root / "JPEGImages", names, check=check_images)
    if annotated:
        annotations = [read_annotation(file) for file in files]
    else:
        annotations = [unannotated(path) for path in paths]
    found = {name for annotation in annotations for name in annotation.names}
    class_names = VOC_CLASSES if found <= set(VOC_CLASSES) else tuple(sorted(found))
    label_of = {name: label for label, name in enumerate(class_names, start=1)}

    source = root / "ImageSets" / "Main" / f"{split}.txt"
    check = BoxCheck(source=source, on_invalid=invalid_boxes)
    examples = []
    for image_id, (path, annotation) in enumerate(zip(paths, annotations, strict=True), start=1):
        boxes = np.array(annotation.boxes, dtype=np.float32).reshape(-1, 4)
        corners = box_ops.from_voc(boxes)
        labels = [label_of[name] for name in annotation.names]
        examples.append(to_example(image_id, path, annotation, corners, labels, check))
    check.finish()
    ids = tuple(range(1, len(class_names) + 1))
    return DetectionDataset(class_names, ids, examples, source, annotated)


def _read_image_set(root: Path, split: str) -> list[str]:
    path = root / "ImageSets" / "Main" / f"{split}.txt"
    if not path.is_file():
        splits = sorted(p.stem for p in path.parent.glob("*.txt") if "_" not in p.stem)
        raise FileNotFoundError(
            f"{path}: no such image set; there are {', '.join(splits) or 'none'}"
        )
    # Lists of one class (dog_train.txt) have a second column, 1, -1 or 0; names may have spaces.
    lines = (line.strip() for line in path.read_text().splitlines())
    names = [re.sub(r"\s+(1|0|-1)$", "", line) for line in lines if line]
    if not names:
        raise ValueError(f"{path}: the image set is empty")
    return names


def _image_paths(folder: Path, names: list[str], *, check: bool) -> list[Path]:
    """The pictures of ``names``; with ``check=False`` their paths, supposing that they are .jpg."""
    if not check:
        return [folder / f"{name}.jpg" for name in names]
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder}: no such folder of images")
    present = {p.stem: p for p in folder.iterdir() if p.suffix.lower() in SUFFIXES}
    missing = [name for name in names if name not in present]
    if missing:
        raise FileNotFoundError(
            f"{folder}: {len(missing)} of {len(names)} images are missing, the first is "
            f"{missing[0]}; check the folder, or take them out of the image set"
        )
    return [present[name] for name in names]
