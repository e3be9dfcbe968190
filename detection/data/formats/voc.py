"""Data sets in PASCAL VOC's format (Everingham et al. 2010): lists of images, one XML file each.

The tree, in root/, root/VOC20xx/ or root/VOCdevkit/VOC20xx/::

    Annotations/<name>.xml
    JPEGImages/<name>.jpg              or another suffix of a picture
    ImageSets/Main/<split>.txt         one <name> per line: a path
                                       under the two folders above, also in quotes
    ImageSets/Main/<class>_<split>.txt <name> and 1, -1 or 0: the images of one class

Trees that others made may have the lists in ImageSets itself, and the pictures in images/.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from detection.data.box_check import OVER_BORDER, BoxCheck, InvalidBoxes
from detection.data.data_root import check_length
from detection.data.dataset import DetectionDataset
from detection.data.findings import Findings, collect
from detection.data.formats.class_names import in_the_case_of
from detection.data.formats.file_names import parts_of
from detection.data.formats.sizes import Size, Sized, settle_sizes
from detection.data.formats.stems import Stems
from detection.data.formats.text_file import read_lines
from detection.data.formats.voc_xml import corners_of, read_annotation, to_example, unannotated
from detection.data.image import SUFFIXES
from detection.data.picture_files import OTHER_SUFFIXES, is_picture_name

VOC_CLASSES = (
    "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow",
    "diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train",
    "tvmonitor",
)  # fmt: skip


class Voc:
    """See `detection.data.formats.format.Format`."""

    name = "VOC"

    def splits(self, root: Path) -> list[str]:
        """A split that several years have is listed as "<year>/<split>"."""
        # Without the lists of one class, dog_train.txt and the like.
        found = [
            (path.stem, year.name)
            for year in _year_folders(root)
            for path in _lists(year).glob("*.txt")
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
    return [year for year in _year_folders(root) if (_lists(year) / f"{split}.txt").is_file()]


def _lists(root: Path) -> Path:
    """The folder of the splits' lists: some leave out Main, beside Annotations."""
    above, main = root / "ImageSets", root / "ImageSets" / "Main"
    return main if main.is_dir() or not (root / "Annotations").is_dir() else above


def _images(root: Path) -> Path:
    """The folder of the pictures, which some call as others do."""
    usual = root / "JPEGImages"
    return usual if usual.is_dir() or not (root / "images").is_dir() else root / "images"


def read_voc(
    *, root: Path, split: str, check_images: bool, invalid_boxes: InvalidBoxes
) -> DetectionDataset:
    """Reads ``root``/ImageSets/Main/``split``.txt and the XML files of its images.

    The classes are VOC's twenty if no other occurs (in whatever case, which is said), otherwise
    those that occur, sorted by name.
    Image ids are 1, 2, ... in the order of the list.
    ``check_images=False``: without the pictures (to measure saved detections).
    A split "test..." without any XML file is a test set whose annotations are not published.
    Raises FileNotFoundError and ValueError, which name the file, the object and the value.
    """
    findings = Findings()
    folder = _images(root)
    xml, pictures = Stems(root / "Annotations", (".xml",)), Stems(folder, SUFFIXES + OTHER_SUFFIXES)
    names = _read_image_set(root, split, (xml, pictures), findings)
    if check_images:
        names = _present(folder, names, pictures)
    files = [next(iter(xml.find(name)), root / "Annotations" / f"{name}.xml") for name in names]
    # In any other split it is an error that no image has annotations.
    annotated = not split.startswith("test") or any(file.is_file() for file in files)
    if check_images:
        for name in names:
            found_name = pictures.find(name)[0].relative_to(folder).with_suffix("").as_posix()
            if found_name != name:
                findings.repaired("names in another case or with other accents", name)
    read = None
    if annotated:
        read = [read_annotation(f, findings, needs_size=not check_images) for f in files]
    paths = [
        _picture(folder, name, pictures, read[i].filename if read else "", check_images)
        for i, name in enumerate(names)
    ]
    annotations = read or [unannotated(path) for path in paths]
    corners = [corners_of(annotation) for annotation in annotations]
    stated = [a.size for a in annotations]
    sizes: Sequence[Size | None] = stated
    if check_images:
        sized = [Sized(*item) for item in zip(paths, stated, corners, strict=True)]
        sizes = settle_sizes(sized, findings)
    findings.finish()
    places = {name: f"{a.name}.xml" for a in reversed(annotations) for name in a.names}
    meant = in_the_case_of(VOC_CLASSES, places, findings)
    found = {*meant.values()}
    class_names = VOC_CLASSES if found <= set(VOC_CLASSES) else tuple(sorted(found))
    label_of = {name: label for label, name in enumerate(class_names, start=1)}

    source = _lists(root) / f"{split}.txt"
    check = BoxCheck(source=source, on_invalid=invalid_boxes)
    examples = []
    for number, (path, annotation, size, boxes) in enumerate(
        zip(paths, annotations, sizes, corners, strict=True), start=1
    ):
        assert size is not None, "settled, or refused"
        labels = [label_of[meant[name]] for name in annotation.names]
        examples.append(to_example(number, path, annotation, size, boxes, labels, check))
    check.finish()
    findings.all_repaired(OVER_BORDER, check.clipped)
    ids = tuple(range(1, len(class_names) + 1))
    return DetectionDataset(
        class_names, ids, examples, source, annotated, Voc.name, findings.oddities
    )


def _read_image_set(
    root: Path, split: str, known: tuple[Stems, Stems], findings: Findings
) -> list[str]:
    """The names of the list, each once, as paths without suffix under the two folders."""
    path = _lists(root) / f"{split}.txt"
    if not path.is_file():
        splits = sorted(p.stem for p in path.parent.glob("*.txt") if "_" not in p.stem)
        raise FileNotFoundError(
            f"{path}: no such image set; there are {', '.join(splits) or 'none'}"
        )
    lines = read_lines(path)
    if not lines:
        raise ValueError(f"{path}: the image set is empty")
    for line in lines:
        check_length(line, source=path)
    names = [_name(line, known) for line in lines]
    times = Counter(names)
    for name, count in times.items():
        if count > 1:
            findings.repaired(
                "name that a list has several times, taken once", f"{name}, {count} times in {path}"
            )
    return list(times)


def _name(line: str, known: tuple[Stems, Stems]) -> str:
    """The image that a line means: a path without suffix, or with one, or of another machine.

    Lists of one class (dog_train.txt) have a second column, 1, -1 or 0; names may have spaces.
    """
    first = re.sub(r"\s+(1|0|-1)$", "", line).strip("\"'")
    for name in (line, first):
        parts = parts_of(name)
        for start in range(len(parts)):
            path = "/".join(parts[start:])
            for stem in (path, path.rpartition(".")[0] if is_picture_name(path) else path):
                if any(stem in stems for stems in known):
                    return stem
    return first


def _present(folder: Path, names: list[str], pictures: Stems) -> list[str]:
    """The names, all of which have a picture."""
    if not folder.is_dir():
        raise FileNotFoundError(
            f"{folder}: no such folder of images: put them there, or into images/"
        )
    missing = [name for name in names if name not in pictures]
    if missing and not collect(f"{folder}: no picture of {name}" for name in missing):
        raise FileNotFoundError(
            f"{folder}: {len(missing)} of {len(names)} images are missing, the first is "
            f"{missing[0]}; check the folder, or take them out of the image set"
        )
    return [name for name in names if name in pictures]


def _picture(folder: Path, name: str, pictures: Stems, filename: str, check: bool) -> Path:
    """The picture of ``name``; of several with this stem the one that the XML names.

    With ``check=False`` its path, supposing that it is a .jpg.
    """
    if not check:
        return folder / f"{name}.jpg"
    found = pictures.find(name)
    return next((path for path in found if path.name == filename), found[0])
