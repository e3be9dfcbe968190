"""A CSV file of boxes: its lines, its columns, and the splits that one of these may say."""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from detection.data.findings import Findings
from detection.data.formats.csv_columns import Columns, recognise, rows_of
from detection.data.formats.splits import REST, is_split
from detection.data.formats.text_file import decode, read_text

Row = tuple[int, list[str]]


@dataclass(frozen=True)
class Table:
    """``rows``: the lines with boxes, each with its number, that are as long as the first.

    ``split``: the column that says their splits; None without one.
    """

    file: Path
    rows: list[Row]
    columns: Columns
    split: int | None = None

    def splits(self) -> list[str]:
        """Those that its lines say; [] without a column of splits."""
        if self.split is None:
            return []
        return [*dict.fromkeys(_word(row, self.split) for _, row in self.rows)]

    def of(self, split: str) -> Table:
        """Its lines of that split: all without a column of splits."""
        if self.split is None:
            return self
        return replace(self, rows=[one for one in self.rows if _word(one[1], self.split) == split])

    def names(self) -> list[str]:
        """Each name of a picture once, as a line has it."""
        return [*dict.fromkeys(row[self.columns.file] for _, row in self.rows)]


def columns_of(file: Path) -> Columns | None:
    """By its first line; None if it is no table of boxes."""
    with file.open("rb") as opened:
        text = decode(opened.read(4000))[0]
    try:
        rows = rows_of(text)
    except csv.Error:  # as of a file that is no table
        return None
    return recognise(rows[0]) if rows else None


def read_table(file: Path, columns: Columns, findings: Findings, *, divided: bool) -> Table:
    """``divided``: whether its column of splits counts.  Raises ValueError if it is no table."""
    try:
        head, *others = rows_of(read_text(file))
    except csv.Error as error:
        raise ValueError(
            f"{file}: not a readable CSV ({error}); look for a quotation mark that is never closed"
        ) from None
    rows = [*enumerate(others, start=2)] if columns.has_head else [(1, head), *enumerate(others, 2)]
    for number, row in rows:
        if len(row) < len(head):
            findings.refuse(
                f"{file}, line {number}: fewer columns than the first line; complete it"
            )
    rows = [one for one in rows if len(one[1]) >= len(head)]
    split = _column_of_splits(rows, columns)
    told = columns.told(head) if columns.has_head else "no head: picture, x1, y1, x2, y2, class"
    if split is not None and divided:
        told += f", split={head[split]}"
    elif split is not None:
        findings.repaired("column of splits, not used: the tables are the splits", head[split])
    findings.repaired("CSV, whose columns were taken for", told)
    table = Table(file, rows, columns, split if divided else None)
    _refuse_torn(table, findings)
    return table


def _column_of_splits(rows: Iterable[Row], columns: Columns) -> int | None:
    """The first with train, val and test in one form or another, and no other words but none."""
    for column in columns.splits:
        words = {row[column].strip() for _, row in rows} - {""}
        if words and all(map(is_split, words)):
            return column
    return None


def _word(row: list[str], column: int) -> str:
    return row[column].strip().casefold() or REST


def _refuse_torn(table: Table, findings: Findings) -> None:
    """A picture with lines of two splits: in each the other's objects would be background."""
    if table.split is None:
        return
    splits: dict[str, dict[str, None]] = defaultdict(dict)
    for _, row in table.rows:
        splits[row[table.columns.file].strip()][_word(row, table.split)] = None
    for name, words in splits.items():
        if len(words) > 1:
            findings.refuse(
                f"{table.file}: picture {name} has lines of {' and of '.join(words)}; all lines of "
                "a picture must say one split"
            )
