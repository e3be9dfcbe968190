"""VOC's XML files without the rest of VOC's tree, as labelImg and others leave them.

One XML per picture, beside the pictures or in a folder of their own (Annotations/), anywhere under
root.  Folders called train, valid, test and the like are the splits; without them there is one,
"all".  Pictures without an XML file were never labelled: they are counted and left out.
"""

from __future__ import annotations

import re
from pathlib import Path

from detection.data.box_check import InvalidBoxes
from detection.data.dataset import DetectionDataset
from detection.data.findings import Findings
from detection.data.formats.file_names import FileNames, fold, parts_of
from detection.data.formats.pictures import (
    AnnotatedPicture,
    refuse_missing,
    say_unlabelled,
    to_dataset,
)
from detection.data.formats.sniff import candidates
from detection.data.formats.splits import FilesOfSplits, by_folder
from detection.data.formats.text_file import decode
from detection.data.formats.voc import Voc
from detection.data.formats.voc_xml import corners_of, read_annotation
from detection.data.picture_files import find_pictures

# So many XML files are looked at; among those of a data set one at least has an object.
_LOOKED_AT = 20


class VocLoose(FilesOfSplits):
    """See `detection.data.formats.format.Format`."""

    name = "VOC (XML files)"

    def parts(self, root: Path) -> dict[str, list[Path]]:
        if not root.is_dir() or Voc().splits(root):
            return {}
        files = candidates(root, ".xml")
        if not any(_is_voc(file) for file in files[:_LOOKED_AT]):
            return {}
        return by_folder(root, [file for file in files if _is_voc(file)])

    def read(
        self, *, root: Path, split: str, check_images: bool, invalid_boxes: InvalidBoxes
    ) -> DetectionDataset:
        findings = Findings()
        files = self.parts(root)[split]
        names = FileNames(
            folders=[root / "JPEGImages", root / "images"],
            root=root,
            findings=findings,
            split=split,
        )
        pictures, found, missing = [], [], []
        for file in files:
            annotation = read_annotation(file, findings, needs_size=not check_images)
            path = _find_picture(names, file, annotation.filename)
            if path is None:
                missing.append(annotation.filename or file.stem)
                continue
            picture = AnnotatedPicture(path, annotation.size)
            objects = zip(
                annotation.names, corners_of(annotation).tolist(), annotation.difficult, strict=True
            )
            for number, (name, box, difficult) in enumerate(objects, start=1):
                where = f"{file.name}, object {number} ({name})"
                picture.add(name, box, where, difficult=difficult)
            pictures.append(picture)
            found.append(file)
        nearest = names.nearest(missing[0]) if missing else ""
        refuse_missing(missing, len(files), root, nearest)
        _refuse_twice(pictures, found, findings)
        there = by_folder(root, find_pictures(root)).get(split, [])
        say_unlabelled(there, [picture.path for picture in pictures], findings)
        return to_dataset(
            pictures,
            source=root,
            format=self.name,
            findings=findings,
            invalid_boxes=invalid_boxes,
            check_images=check_images,
        )


def _is_voc(file: Path) -> bool:
    with file.open("rb") as opened:
        head = decode(opened.read(2000))[0]
    return re.search(r"<annotation[\s>]", head) is not None


def _find_picture(names: FileNames, file: Path, filename: str) -> Path | None:
    """By <filename>; by the name of the XML file where the two do not agree, or it is missing."""
    stem = parts_of(filename)[-1:] or [""]
    if filename and fold(Path(stem[0]).stem) == fold(file.stem):
        return names.find(filename, near=file.parent)
    own = names.find(file.stem, near=file.parent, say=False)
    return own or (names.find(filename, near=file.parent) if filename else None)


def _refuse_twice(pictures: list[AnnotatedPicture], files: list[Path], findings: Findings) -> None:
    seen: dict[Path, Path] = {}
    for picture, file in zip(pictures, files, strict=True):
        if picture.path in seen:
            findings.refuse(
                f"{file}: it annotates {picture.path.name}, as {seen[picture.path]} does; "
                "take one of them away"
            )
        seen[picture.path] = file
