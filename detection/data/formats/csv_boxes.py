"""CSV files of boxes, a line for each: TensorFlow's (from xml_to_csv), Kaggle's, OpenImages', ...

Commas, semicolons or tabs are between the columns; a .tsv is one as well.

The columns are recognised by their names (`csv_columns`) and told.  Coordinates are in
pixels, or parts of the picture's size if none is over 1.  A picture without a line: where the file
has no classes, as in Kaggle's detection tasks, it shows nothing, if it lies beside pictures that
have some; where it has classes it was never labelled, and is left out.
"""

from __future__ import annotations

import csv
import re
from pathlib import Path

from detection.data.box_check import PARTS_TOLERANCE, InvalidBoxes
from detection.data.dataset import DetectionDataset
from detection.data.findings import Findings
from detection.data.formats.csv_columns import Columns, recognise, rows_of
from detection.data.formats.file_names import FileNames
from detection.data.formats.pictures import (
    UNNAMED,
    AnnotatedPicture,
    refuse_missing,
    say_unlabelled,
    to_dataset,
)
from detection.data.formats.sniff import candidates
from detection.data.formats.splits import FilesOfSplits, by_name
from detection.data.formats.text_file import decode, read_text
from detection.data.image import read_size
from detection.data.picture_files import find_pictures


class CsvBoxes(FilesOfSplits):
    """See `detection.data.formats.format.Format`."""

    name = "CSV"

    def parts(self, root: Path) -> dict[str, list[Path]]:
        files = sorted(candidates(root, ".csv") + candidates(root, ".tsv"))
        return by_name(root, [file for file in files if _columns_of(file) is not None])

    def read(
        self, *, root: Path, split: str, check_images: bool, invalid_boxes: InvalidBoxes
    ) -> DetectionDataset:
        findings = Findings()
        files = self.parts(root)[split]
        base = root if root.is_dir() else root.parent
        names = FileNames(folders=[base], root=base, findings=findings, split=split)
        pictures: dict[Path, AnnotatedPicture] = {}
        before: set[tuple[Path | None, Columns, tuple[str, ...]]] = set()
        has_classes = has_sizes = False
        tables = [(file, *_rows(file, findings)) for file in files]
        found = {
            (row[columns.file], file.parent): None
            for file, rows, columns in tables
            for _, row in rows
        }
        paths = {(name, near): names.find(name, near=near) for name, near in found}
        missing = dict.fromkeys(name for (name, _), path in paths.items() if path is None)
        others = names.refuse_shared(files[0])
        for file, rows, columns in tables:
            has_classes = has_classes or columns.label is not None
            has_sizes = has_sizes or columns.width is not None
            relative = _is_relative(rows, columns)
            if relative:
                findings.repaired("boxes as parts of the picture's size", file.name)
            here = set()
            for number, row in rows:
                name = row[columns.file]
                path = paths[name, file.parent]
                if (name.strip(), file.parent) in others:
                    continue
                line = (path, columns, tuple(row))
                here.add(line)
                if line in before:
                    findings.repaired(
                        "line that another file has, too, left out", f"{file.name}, line {number}"
                    )
                elif path is not None:
                    picture = pictures.setdefault(path, AnnotatedPicture(path, _size(row, columns)))
                    _add(picture, row, columns, relative, f"{file.name}, line {number}", findings)
            before |= here
        nearest = names.nearest(next(iter(missing))) if missing else ""
        refuse_missing(list(missing), len(missing) + len(pictures), files[0], nearest)
        beside = [p for f in sorted({path.parent for path in pictures}) for p in find_pictures(f)]
        if has_classes:
            say_unlabelled(beside, list(pictures), findings)
        else:
            for path in beside:
                pictures.setdefault(path, AnnotatedPicture(path))
            say_unlabelled(find_pictures(base), list(pictures), findings)
        return to_dataset(
            [pictures[path] for path in sorted(pictures)],
            source=files[0],
            format=self.name,
            findings=findings,
            invalid_boxes=invalid_boxes,
            check_images=check_images,
            has_sizes=has_sizes,
        )


def _columns_of(file: Path) -> Columns | None:
    with file.open("rb") as opened:
        text = decode(opened.read(4000))[0]
    try:
        rows = rows_of(text)
    except csv.Error:  # as of a file that is no table
        return None
    return recognise(rows[0]) if rows else None


def _rows(file: Path, findings: Findings) -> tuple[list[tuple[int, list[str]]], Columns]:
    """The lines with their numbers, each as long as the first."""
    try:
        rows = rows_of(read_text(file))
    except csv.Error as error:
        raise ValueError(
            f"{file}: not a readable CSV ({error}); look for a quotation mark that is never closed"
        ) from None
    columns = recognise(rows[0])
    assert columns is not None, "has_split comes first"
    findings.repaired(
        "CSV, whose columns were taken for",
        columns.told(rows[0]) if columns.has_head else "no head: picture, x1, y1, x2, y2, class",
    )
    numbered = list(enumerate(rows, start=1))[columns.has_head :]
    short = [number for number, row in numbered if len(row) < len(rows[0])]
    for number in short:
        findings.refuse(f"{file}, line {number}: fewer columns than the first line; complete it")
    return [(number, row) for number, row in numbered if len(row) >= len(rows[0])], columns


def _numbers(row: list[str], columns: Columns) -> list[float] | None:
    """The four of a line; None where all are empty: a picture without objects."""
    cells = [row[i].strip() for i in columns.sides]
    if len(cells) == 1:
        cells = re.findall(r"-?\d+(?:\.\d*)?(?:[eE][-+]?\d+)?|nan", cells[0])
    if not any(cells):
        return None
    if len(cells) != 4:
        raise ValueError("expected four numbers")
    return [float(cell) for cell in cells]


def _is_relative(rows: list[tuple[int, list[str]]], columns: Columns) -> bool:
    """Whether no coordinate is over 1 but by rounding, and not all of them are 0 and 1."""
    numbers: list[float] = []
    for _, row in rows:
        try:
            numbers += _numbers(row, columns) or []
        except ValueError:
            return False
    if not numbers or max(numbers) > 1 + PARTS_TOLERANCE:
        return False
    return any(0 < number < 1 for number in numbers)


def _size(row: list[str], columns: Columns) -> tuple[int, int] | None:
    try:
        sides = [int(float(row[i])) for i in (columns.height, columns.width) if i is not None]
    except ValueError:
        return None
    return (sides[0], sides[1]) if len(sides) == 2 and min(sides) > 0 else None


def _add(
    picture: AnnotatedPicture,
    row: list[str],
    columns: Columns,
    relative: bool,
    where: str,
    findings: Findings,
) -> None:
    try:
        numbers = _numbers(row, columns)
    except ValueError as error:
        given = [row[i] for i in columns.sides]
        findings.refuse(f"{where}: box {given}: {error}; correct it, or take the line out")
        return
    if numbers is None:
        return
    x1, y1, x2, y2 = numbers
    if columns.shape == "centre":
        x1, y1 = x1 - x2 / 2, y1 - y2 / 2
    if columns.shape != "corners":
        x2, y2 = x1 + x2, y1 + y2
    if relative:
        height, width = read_size(picture.path)
        x1, y1, x2, y2 = x1 * width, y1 * height, x2 * width, y2 * height
    name = UNNAMED if columns.label is None else row[columns.label]
    crowd, difficult = (_says(row, i) for i in (columns.crowd, columns.difficult))
    picture.add(name, (x1, y1, x2, y2), where, crowd=crowd, difficult=difficult)


def _says(row: list[str], column: int | None) -> bool:
    return column is not None and row[column].strip().casefold() in ("1", "1.0", "true", "yes")
