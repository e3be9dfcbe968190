"""ImageNet's localisation task, CLS-LOC (Russakovsky et al. 2015): 1000 classes, one in a picture.

The tree as of ILSVRC 2015, which is what Kaggle has::

    root/Annotations/CLS-LOC/train/<synset>/<name>.xml    objects are named by synset: n01440764
    root/Annotations/CLS-LOC/val/<name>.xml
    root/Data/CLS-LOC/train/<synset>/<name>.JPEG
    root/Data/CLS-LOC/val/<name>.JPEG                     or val/<synset>/<name>.JPEG
    root/ImageSets/CLS-LOC/train_loc.txt  val.txt         <name> <number>; may be absent
    root/LOC_synset_mapping.txt                           <synset> <words>; may be absent

``train`` are the pictures that have boxes, about half of those of the classification task: those
of train_loc.txt, or else those with an XML file.  Without the mapping the classes are the folders
of the training annotations.

Boxes are 0-based and inclusive, as those of ImageNet DET.  The size in an XML file is that of the
picture as its annotators saw it; the picture itself may have another one.
"""

from __future__ import annotations

from pathlib import Path

from detection.data.box_check import OVER_BORDER, BoxCheck, InvalidBoxes
from detection.data.dataset import DetectionDataset
from detection.data.findings import Findings
from detection.data.formats.imagenet_det import check_pictures, zero_based_corners
from detection.data.formats.text_file import read_lines
from detection.data.formats.voc_xml import Annotation, read_annotation, to_example
from detection.data.image import read_size

_TASK = "CLS-LOC"


class ImageNetLoc:
    """See `detection.data.formats.format.Format`.  Class names are synsets, as in the folders."""

    name = "ImageNet CLS-LOC"

    def splits(self, root: Path) -> list[str]:
        """Those that have annotations: the test set's are not published."""
        folder = root / "Annotations" / _TASK
        return [split for split in ("train", "val") if (folder / split).is_dir()]

    def has_split(self, root: Path, split: str) -> bool:
        return split in self.splits(root)

    def read(
        self, *, root: Path, split: str, check_images: bool, invalid_boxes: InvalidBoxes
    ) -> DetectionDataset:
        """Raises FileNotFoundError and ValueError, which name file, object and value."""
        source = root / "Annotations" / _TASK / split
        names = _names(root, split)
        classes = read_synsets(root)
        label_of = {synset: label for label, synset in enumerate(classes, start=1)}
        findings = Findings()
        files = [source / f"{name}.xml" for name in names]
        annotations = [read_annotation(f, findings, needs_size=not check_images) for f in files]
        pictures = _pictures(root / "Data" / _TASK / split, names, annotations)
        if check_images:
            check_pictures(pictures)
        check = BoxCheck(source=source, on_invalid=invalid_boxes)
        examples = []
        for number, (picture, file, annotation) in enumerate(
            zip(pictures, files, annotations, strict=True), start=1
        ):
            labels = [_label(synset, label_of, file) for synset in annotation.names]
            size = annotation.size or (read_size(picture) if check_images else (1, 1))
            corners = zero_based_corners(annotation)
            examples.append(to_example(number, picture, annotation, size, corners, labels, check))
        findings.finish()
        check.finish()
        findings.all_repaired(OVER_BORDER, check.clipped)
        ids = tuple(range(1, len(classes) + 1))
        oddities = findings.oddities
        return DetectionDataset(
            tuple(classes), ids, examples, source, format=self.name, oddities=oddities
        )


def read_synsets(root: Path) -> dict[str, str]:
    """Synset -> its words, in alphabetical order of the synsets; without the mapping: no words.

    Raises ValueError for a mapping that cannot be read, FileNotFoundError where nothing says what
    the classes are.
    """
    path = root / "LOC_synset_mapping.txt"
    if path.is_file():
        found = {}
        for number, line in enumerate(read_lines(path), start=1):
            synset, _, words = line.partition(" ")
            if synset in found:
                raise ValueError(f"{path}:{number}: {synset} occurs twice; take one of them out")
            found[synset] = words.strip()
        if not found:
            raise ValueError(f"{path}: is empty; a line is '<synset> <words>'")
        return dict(sorted(found.items()))
    folder = root / "Annotations" / _TASK / "train"
    synsets = [f.name for f in folder.iterdir() if f.is_dir()] if folder.is_dir() else []
    if not synsets:
        raise FileNotFoundError(
            f"{path}: not there, nor folders of classes in {folder}: one of both says what the "
            "classes are"
        )
    return dict.fromkeys(sorted(synsets), "")


def _names(root: Path, split: str) -> list[str]:
    """Of a split's pictures, without suffix: n01440764/n01440764_18, ILSVRC2012_val_00000001."""
    lists = root / "ImageSets" / _TASK
    path = lists / ("train_loc.txt" if split == "train" else f"{split}.txt")
    folder = root / "Annotations" / _TASK / split
    if path.is_file():
        names = [line.split()[0] for line in read_lines(path)]
    else:
        files = folder.glob("*/*.xml" if split == "train" else "*.xml")
        names = sorted(file.relative_to(folder).with_suffix("").as_posix() for file in files)
    if not names:
        raise ValueError(f"{path if path.is_file() else folder}: no picture is named there")
    return names


def _pictures(folder: Path, names: list[str], annotations: list[Annotation]) -> list[Path]:
    """Those of val may have been sorted into folders of their classes, as classifiers want them."""
    flat = [folder / f"{name}.JPEG" for name in names]
    if flat[0].is_file():
        return flat
    by_class = [
        folder / (annotation.names or ["."])[0] / f"{Path(name).name}.JPEG"
        for name, annotation in zip(names, annotations, strict=True)
    ]
    return by_class if by_class[0].is_file() else flat


def _label(synset: str, label_of: dict[str, int], file: Path) -> int:
    if synset not in label_of:
        raise ValueError(
            f"{file}: an object is a {synset!r}, none of the {len(label_of)} synsets; correct it, "
            "or name it in LOC_synset_mapping.txt"
        )
    return label_of[synset]
