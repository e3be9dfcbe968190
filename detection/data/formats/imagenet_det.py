"""ImageNet's detection task (Russakovsky et al. 2015): 200 classes, VOC's XML with synset names.

The tree as of ILSVRC 2015::

    root/Annotations/DET/{train,val}/**/<name>.xml     objects are named by synset: n02691156
    root/Data/DET/{train,val,test}/**/<name>.JPEG
    root/ImageSets/DET/train_1.txt ... train_200.txt   <name> 1, 0 or -1: of one class each
    root/ImageSets/DET/val.txt  test.txt               <name> <number>
    root/devkit/data/map_det.txt                       <synset> <id> <name>; may be absent

The split ``train`` has every image that is positive (1) in one of the 200 lists; images marked 0
are annotated incompletely and are left out.  Any other list, for example val1 and val2 of R-CNN, is
a split as it is; its name must begin with the name of the folder of its pictures.

Boxes are 0-based and inclusive, unlike VOC's: xmin = 0, xmax = 499 spans an image 500 pixels wide.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from detection import boxes as box_ops
from detection.data.box_check import OVER_BORDER, BoxCheck, InvalidBoxes
from detection.data.data_root import check_length, refuse_outside
from detection.data.dataset import DetectionDataset
from detection.data.findings import Findings
from detection.data.formats.imagenet_det_classes import DET_CLASSES
from detection.data.formats.text_file import read_text
from detection.data.formats.voc_xml import Annotation, read_annotation, to_example, unannotated
from detection.data.image import read_size

FOLDERS = ("train", "val", "test")


class ImageNetDet:
    """See `detection.data.formats.format.Format`."""

    name = "ImageNet DET"

    def splits(self, root: Path) -> list[str]:
        """The 200 lists of the training set are one split."""
        stems = {path.stem for path in (root / "ImageSets" / "DET").glob("*.txt")}
        return sorted({re.sub(r"^train_\d+$", "train", stem) for stem in stems})

    def has_split(self, root: Path, split: str) -> bool:
        return split in self.splits(root)

    def read(
        self, *, root: Path, split: str, check_images: bool, invalid_boxes: InvalidBoxes
    ) -> DetectionDataset:
        """The labels follow the ids of the classes; class names are the names of the synsets.

        A training image without an XML file has no objects; a split "test..." without any XML file
        is one whose annotations are not published.
        Raises FileNotFoundError and ValueError, which name the file, the object and the value.
        """
        names = _read_lists(root, split)
        folder = next((folder for folder in FOLDERS if split.startswith(folder)), None)
        if folder is None:
            raise ValueError(
                f"{root / 'ImageSets' / 'DET'}: the name of list {split!r} must begin with that of "
                f"its folder of pictures, {', '.join(FOLDERS)}; rename it"
            )
        pictures = [root / "Data" / "DET" / folder / f"{name}.JPEG" for name in names]
        if check_images:
            check_pictures(pictures)
        files = [root / "Annotations" / "DET" / folder / f"{name}.xml" for name in names]
        present = [file.is_file() for file in files]
        if not any(present) and folder != "test":
            raise FileNotFoundError(f"{files[0]}: no image of {split} has its annotation there")
        if not check_images and not all(present):
            raise ValueError(
                f"{root}: images of {split} have no XML file, so their sizes must come from the "
                "pictures, which are not read when saved detections are measured"
            )
        classes = read_classes(root)
        label_of = {synset: label for label, synset in enumerate(classes, start=1)}

        source = root / "ImageSets" / "DET" / f"{split}.txt"
        findings = Findings()
        check = BoxCheck(source=source, on_invalid=invalid_boxes)
        examples = []
        for number, (picture, file, exists) in enumerate(
            zip(pictures, files, present, strict=True), start=1
        ):
            annotation = (
                read_annotation(file, findings, needs_size=not check_images)
                if exists
                else unannotated(picture)
            )
            labels = [_label(synset, label_of, file) for synset in annotation.names]
            size = annotation.size or (read_size(picture) if check_images else (1, 1))
            corners = zero_based_corners(annotation)
            examples.append(to_example(number, picture, annotation, size, corners, labels, check))
        findings.finish()
        check.finish()
        findings.all_repaired(OVER_BORDER, check.clipped)
        return DetectionDataset(
            tuple(classes.values()),
            tuple(range(1, len(classes) + 1)),
            examples,
            source,
            any(present),
            self.name,
            findings.oddities,
        )


def read_classes(root: Path) -> dict[str, str]:
    """Synset -> name in the order of the ids, from map_det.txt if it is there, else as of 2015."""
    path = root / "devkit" / "data" / "map_det.txt"
    if not path.is_file():
        return dict(DET_CLASSES)
    entries = []
    for number, line in enumerate(read_text(path).splitlines(), start=1):
        if not line.strip():
            continue
        columns = line.split(maxsplit=2)
        if len(columns) < 3 or not columns[1].isdigit():
            raise ValueError(f"{path}:{number}: a line is '<synset> <id> <name>', got {line!r}")
        entries.append((int(columns[1]), columns[0], columns[2].strip()))
    classes = {synset: name for _, synset, name in sorted(entries)}
    if len(set(classes.values())) != len(entries):
        raise ValueError(f"{path}: a synset or a name occurs twice")
    return classes


def _read_lists(root: Path, split: str) -> list[str]:
    folder = root / "ImageSets" / "DET"
    path = folder / f"{split}.txt"
    if path.is_file():
        lines = read_text(path).splitlines()
        names = [line.split()[0] for line in lines if line.strip()]
    else:
        lists = sorted(folder.glob(f"{split}_*.txt"))
        rows = [line.split() for file in lists for line in read_text(file).splitlines()]
        # An image is positive in the lists of all the classes that it shows; it is taken once.
        names = list(dict.fromkeys(row[0] for row in rows if row and row[-1] == "1"))
    if not names:
        raise ValueError(f"{path}: the image set is empty")
    for name in names:
        check_length(name, source=path)
    return names


def check_pictures(pictures: list[Path]) -> None:
    """Raises FileNotFoundError for what is missing, ValueError for what is outside of the root."""
    for picture in pictures:
        refuse_outside(picture)
    folders = {picture.parent for picture in pictures}
    # One listing per folder instead of one stat per image, which is slow on network file systems.
    present = {path for folder in folders if folder.is_dir() for path in folder.iterdir()}
    missing = [picture for picture in pictures if picture not in present]
    if missing:
        raise FileNotFoundError(
            f"{len(missing)} of {len(pictures)} images are missing, the first is {missing[0]}; "
            "check the folder, or take them out of the image set"
        )


def _label(synset: str, label_of: dict[str, int], file: Path) -> int:
    if synset not in label_of:
        raise ValueError(
            f"{file}: an object is a {synset!r}, none of the {len(label_of)} synsets; correct it, "
            "or name them in devkit/data/map_det.txt"
        )
    return label_of[synset]


def zero_based_corners(annotation: Annotation) -> np.ndarray:
    """ImageNet's 0-based inclusive boxes -> [G, 4] in the convention of `detection.boxes`."""
    boxes = np.array(annotation.boxes, dtype=np.float32).reshape(-1, 4)
    return box_ops.from_voc(boxes + 1)  # from 0-based to 1-based, as VOC's are
