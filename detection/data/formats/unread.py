"""Of several exports in one folder one is read: which files of annotations are not."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from detection.data.dataset import DetectionDataset
from detection.data.findings import Findings
from detection.data.formats.format import FOREIGN, Format
from detection.data.formats.splits import FilesOfSplits
from detection.data.formats.yolo import Yolo
from detection.data.formats.yolo_tree import find_tree

UNREAD = (
    "file of annotations that is not read, since those of another format are; pass its path to "
    "read it, or take it away"
)


def say_unread(
    dataset: DetectionDataset, root: Path, chosen: Format, others: Iterable[Format]
) -> DetectionDataset:
    """``dataset``, read by ``chosen``, with a line for the files that ``others`` would read."""
    if not root.is_dir():  # the user has chosen the file
        return dataset
    own = set(_files(root, chosen))
    findings = Findings()
    for other in others:
        try:
            unread = [file for file in _files(root, other) if file not in own]
        except (OSError, ValueError, *FOREIGN):  # it would not be read as it is
            continue
        findings.all_repaired(
            UNREAD,
            (f"{file.relative_to(root)} ({other.name}, not {chosen.name})" for file in unread),
        )
    return replace(dataset, oddities=dataset.oddities + findings.oddities)


def _files(root: Path, format: Format) -> list[Path]:
    if isinstance(format, FilesOfSplits):
        return [file for files in format.parts(root).values() for file in files]
    tree = find_tree(root) if isinstance(format, Yolo) else None
    if tree is None:
        return []
    pictures = [path for part in tree.splits.values() for path in part.pictures]
    return list(dict.fromkeys(file for path in pictures if (file := tree.label_of(path))))
