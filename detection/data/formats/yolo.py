"""YOLO's format: a text file for each picture, a line for each box.

A line is the number of a class, from 0, and the centre and size of the box as parts of the
picture's; or the number and the corners of a polygon, whose box is taken.  Where the yaml has a
``kpt_shape`` keypoints follow the box, and are not used.  An empty file says that
there is nothing to see; a picture without a file says nothing, and is left out.

The readers of supervision and hotcoco were tried: the first brings 260 MB of libraries, the second
reads no picture of the layout that Ultralytics documents, without a word.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path

from detection.data.box_check import PARTS_TOLERANCE, InvalidBoxes
from detection.data.dataset import DetectionDataset
from detection.data.findings import Findings, collect
from detection.data.formats.pictures import AnnotatedPicture, say_unlabelled, to_dataset
from detection.data.formats.sizes import Size
from detection.data.formats.text_file import read_lines, read_yaml
from detection.data.formats.yolo_tree import YoloTree, find_tree
from detection.data.formats.yolo_yaml import ABSENT_LINE, Part
from detection.data.image import read_size
from detection.data.picture_files import find_pictures

# Keypoints that nobody sees are -1; an outline does not lie so far outside of its picture.
_UNSEEN = -0.5


class Yolo:
    """See `detection.data.formats.format.Format`."""

    name = "YOLO"

    def splits(self, root: Path) -> list[str]:
        tree = find_tree(root)
        return sorted(tree.splits) if tree else []

    def has_split(self, root: Path, split: str) -> bool:
        return split in self.splits(root)

    def read(
        self, *, root: Path, split: str, check_images: bool, invalid_boxes: InvalidBoxes
    ) -> DetectionDataset:
        """The pictures are needed in any case: the boxes are parts of their sizes."""
        tree = find_tree(root)
        assert tree is not None, "has_split comes first"
        findings = Findings()
        part = tree.splits[split]
        _refuse_unlisted(part, tree.source, findings)
        there = part.pictures
        files = {path: file for path in there if (file := tree.label_of(path))}
        # Of a.jpg and a.png with one a.txt the first is taken.
        first = {file: path for path, file in reversed(files.items())}
        labelled = [(path, file) for path, file in files.items() if first[file] == path]
        annotated = bool(labelled)
        if not annotated and not split.startswith("test"):
            raise ValueError(
                f"{tree.source}: none of the {len(there)} pictures of {split} has a label file; "
                f"that of {there[0]} would be labels/{there[0].stem}.txt, or lie beside it"
            )
        names = tree.names
        if not names:
            _refuse_broken_yaml(tree.base)
            names = _numbers(file for _, file in labelled)
            findings.repaired(
                "class names missing, called by their numbers", "add classes.txt: a name per line"
            )
        pictures = [AnnotatedPicture(path) for path in there] if not annotated else []
        for path, file in labelled:
            pictures.append(_picture(path, file, names, tree.keypoints, findings))
        if annotated:
            say_unlabelled(there, [path for path, _ in labelled], findings)
        _say_strays(tree, findings)
        for kind, example in tree.said:
            findings.repaired(kind, example)
        return to_dataset(
            pictures,
            source=tree.source,
            format=self.name,
            findings=findings,
            invalid_boxes=invalid_boxes,
            class_names=[names[number].strip() for number in sorted(names)],
            annotated=annotated,
        )


def _refuse_broken_yaml(base: Path) -> None:
    """The names may stand in a file that cannot be read."""
    for file in sorted([*base.glob("*.yaml"), *base.glob("*.yml")]):
        read_yaml(file)


def _refuse_unlisted(part: Part, source: Path, findings: Findings) -> None:
    """Raises FileNotFoundError if more than half of the pictures of a list are not there."""
    total = len(part.missing) + len(part.pictures)
    if 2 * len(part.missing) <= total:
        findings.all_repaired(ABSENT_LINE, part.missing)
    elif not collect(f"{source}: no picture {name}" for name in part.missing):
        raise FileNotFoundError(
            f"{source}: {len(part.missing)} of {total} pictures that its lists name are not there, "
            f"the first is {part.missing[0]}; put them there, or take these lines out"
        )
    part.faults.finish()


def _numbers(files: Iterable[Path]) -> dict[int, str]:
    """The class names of a data set that has none: "0" to the highest number in its files."""
    highest = 0
    for file in files:
        for line in read_lines(file):
            word = line.split()[0]
            highest = max(highest, int(word) if word.isdigit() else 0)
    return {number: str(number) for number in range(highest + 1)}


def _picture(
    path: Path, file: Path, names: dict[int, str], keypoints: int | None, findings: Findings
) -> AnnotatedPicture:
    try:
        size = read_size(path)
    except (OSError, ValueError):
        size = (1, 1)  # `to_dataset` names the file
    picture = AnnotatedPicture(path, size)
    for number, line in enumerate(read_lines(file), start=1):
        where = f"{file}, line {number}"
        try:
            label, corners = _parse(line, size, keypoints, where, findings)
        except ValueError as error:
            findings.refuse(f"{where}: {error}, got {line!r}")
            continue
        if label not in names:
            gap = f" without {label}" if min(names) < label < max(names) else ""
            findings.refuse(
                f"{where}: class {label}, but there are {len(names)} class names, from "
                f"{min(names)} to {max(names)}{gap}; name them all in data.yaml or classes.txt"
            )
            continue
        picture.add(names[label], corners, where)
    return picture


def _parse(
    line: str, size: Size, keypoints: int | None, where: str, findings: Findings
) -> tuple[int, tuple[float, float, float, float]]:
    """The class and (x1, y1, x2, y2) in pixels.  Raises ValueError, which says the rule."""
    words = line.replace(",", " ").split()
    try:
        label, *numbers = (float(word) for word in words)
    except ValueError:
        raise ValueError("a line is numbers: class, x, y, width, height") from None
    if not label.is_integer():
        raise ValueError("the first number is a class, from 0")
    if not all(math.isfinite(number) for number in numbers):
        raise ValueError("a coordinate is not finite")
    if keypoints is not None and len(numbers) != 4:
        if len(numbers) != 4 + keypoints:
            raise ValueError(
                f"a line is a class, 4 numbers of the box and {keypoints} of its keypoints, as "
                "kpt_shape in the yaml says"
            )
        numbers = numbers[:4]
        findings.repaired("keypoints, which are not used", where)
    if max(numbers, default=0) > 1 + PARTS_TOLERANCE:
        raise ValueError("coordinates are parts of the picture's size, from 0 to 1, not pixels")
    height, width = size
    if len(numbers) == 4:
        x, y, w, h = numbers
        corners = (x - w / 2, y - h / 2, x + w / 2, y + h / 2)
    elif len(numbers) >= 6 and len(numbers) % 2 == 0:
        if min(numbers) <= _UNSEEN:
            raise ValueError(
                "the corners of a polygon are parts of the picture's size, from 0 to 1; where "
                "keypoints follow the box, some of them unseen, data.yaml needs kpt_shape, such as "
                "[5, 2]"
            )
        xs, ys = numbers[::2], numbers[1::2]
        corners = (min(xs), min(ys), max(xs), max(ys))
        findings.repaired("box taken from a polygon", where)
    else:
        raise ValueError(
            "a line is a class and 4 numbers, or a class and the corners of a polygon; take other "
            "columns (a score, say) out"
        )
    x1, y1, x2, y2 = corners
    return int(label), (x1 * width, y1 * height, x2 * width, y2 * height)


def _say_strays(tree: YoloTree, findings: Findings) -> None:
    of_splits = (path for part in tree.splits.values() for path in part.pictures)
    used = {tree.label_of(path) for path in {*of_splits, *find_pictures(tree.base)}}
    for file in dict.fromkeys(tree.labels.values()):
        if file not in used and "labels" in {part.casefold() for part in file.parts}:
            findings.repaired("label file without a picture, left out", str(file))
