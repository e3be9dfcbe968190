"""CSV files of boxes, a line for each: TensorFlow's (from xml_to_csv), Kaggle's, OpenImages', ...

Commas, semicolons or tabs are between the columns; a .tsv is one as well.

The columns are recognised by their names (`csv_columns`) and told.  Coordinates are in
pixels, or parts of the picture's size if none is over 1.  A column split (or set, subset, ...) with
words such as train and val divides the lines.  A picture without a line: where the file
has no classes, as in Kaggle's detection tasks, it shows nothing, if it lies beside pictures that
have some; where it has classes it was never labelled, and is left out.
"""

from __future__ import annotations

import os
import re
from functools import lru_cache
from pathlib import Path

from detection.data.box_check import PARTS_TOLERANCE, InvalidBoxes
from detection.data.dataset import DetectionDataset
from detection.data.findings import Findings
from detection.data.formats.csv_columns import Columns
from detection.data.formats.csv_table import Row, columns_of, read_table
from detection.data.formats.file_names import FileNames
from detection.data.formats.pictures import (
    UNNAMED,
    AnnotatedPicture,
    pictures_of_others,
    refuse_missing,
    say_unlabelled,
    to_dataset,
)
from detection.data.formats.sniff import candidates
from detection.data.formats.splits import TRAIN, FilesOfSplits, by_name, is_of
from detection.data.image import read_size
from detection.data.picture_files import find_pictures


class CsvBoxes(FilesOfSplits):
    """See `detection.data.formats.format.Format`."""

    name = "CSV"

    def parts(self, root: Path) -> dict[str, list[Path]]:
        files = [*_tables_under(root)]
        if len(files) == 1:  # of several tables each is a split
            words = _words(files[0], os.stat(files[0]).st_mtime_ns)
            if words:
                return dict.fromkeys(words, files)
        return by_name(root, files)

    def read(
        self, *, root: Path, split: str, check_images: bool, invalid_boxes: InvalidBoxes
    ) -> DetectionDataset:
        findings = Findings()
        known = _tables_under(root)
        parts = self.parts(root)
        divided = len(known) == 1
        base = root if root.is_dir() else root.parent
        names = FileNames(folders=[base], root=base, findings=findings, split=split)
        pictures: dict[Path, AnnotatedPicture] = {}
        before: set[tuple[Path | None, Columns, tuple[str, ...]]] = set()
        files = parts[split]
        whole = [read_table(file, known[file], findings, divided=divided) for file in files]
        tables = [table.of(split) for table in whole]
        paths = {
            (name, table.file.parent): names.find(name, near=table.file.parent)
            for table in tables
            for name in table.names()
        }
        missing = dict.fromkeys(name for (name, _), path in paths.items() if path is None)
        others = names.refuse_shared(files[0])
        for table, all_of_it in zip(tables, whole, strict=True):
            file, columns = table.file, table.columns
            relative = _is_relative(all_of_it.rows, columns)
            if relative:
                findings.repaired("boxes as parts of the picture's size", file.name)
            here = set()
            for number, row in table.rows:
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
        has_classes = any(known[file].label is not None for file in files)
        beside = [p for f in sorted({path.parent for path in pictures}) for p in find_pictures(f)]
        without = [p for p in (beside if has_classes else find_pictures(base)) if p not in pictures]
        if without:
            elsewhere = pictures_of_others(
                parts,
                split,
                root=base,
                names_in=lambda file, other: (
                    read_table(file, known[file], Findings(), divided=divided).of(other).names()
                ),
            )
            without = [path for path in without if path not in elsewhere]
            if any(is_of(other, TRAIN) for other in parts) and not is_of(split, TRAIN):
                # What has no line in a folder of several splits is one's alone: it trains.
                shared = {path.parent for path in elsewhere}
                without = [path for path in without if path.parent not in shared]
        if not has_classes:
            background = {*without} & {*beside}
            pictures |= {path: AnnotatedPicture(path) for path in background}
        say_unlabelled(without, list(pictures), findings)
        return to_dataset(
            [pictures[path] for path in sorted(pictures)],
            source=files[0],
            format=self.name,
            findings=findings,
            invalid_boxes=invalid_boxes,
            check_images=check_images,
            has_sizes=any(known[file].width is not None for file in files),
        )


def _tables_under(root: Path) -> dict[Path, Columns]:
    files = sorted(candidates(root, ".csv") + candidates(root, ".tsv"))
    return {file: columns for file in files if (columns := columns_of(file)) is not None}


@lru_cache(maxsize=4)
def _words(file: Path, _changed: int) -> list[str]:
    """The splits that a column says; [] without one.  Every question about a folder asks it."""
    columns = columns_of(file)
    if columns is None or not columns.splits:
        return []
    try:
        return sorted(read_table(file, columns, Findings(), divided=True).splits())
    except ValueError:  # `read` says it
        return []


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


def _is_relative(rows: list[Row], columns: Columns) -> bool:
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
