"""The whole check of a data set that was read: its pictures, boxes, classes, copies and files."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from detection.data.audit.boxes import audit_boxes
from detection.data.audit.classes import audit_classes
from detection.data.audit.copies import audit_copies
from detection.data.audit.folder import audit_folder
from detection.data.audit.pictures import Picture, look_at
from detection.data.audit.remarks import Remarks
from detection.data.box_check import OVER_BORDER
from detection.data.dataset import DetectionDataset
from detection.data.findings import collected
from detection.data.formats.coco_entries import REPEATED_ID
from detection.data.formats.unread import UNREAD
from detection.data.formats.yolo_lists import UNUSED
from detection.data.formats.yolo_tree import NOT_LISTED
from detection.data.formats.yolo_yaml import ABSENT
from detection.data.picture_files import listed_once

# What a reader says of the pictures that no split names.
NOT_ANNOTATED = (
    "picture that was never annotated, left out (it is not taken for background)",
    "second picture of the same name, left out",
)
# What a reader repairs that somebody should look at.
_LOOK_AT = (
    OVER_BORDER,
    "category repeated",
    "width and height of a picture exchanged",
    "picture of another size than annotated, boxes kept in pixels (look at them)",
    *NOT_ANNOTATED,
    "label file without a picture, left out",
    UNREAD,
    *ABSENT,
    NOT_LISTED,
    UNUSED,
    "name that a list has several times, taken once",
    "class name with blanks around it",
)


@dataclass(frozen=True)
class Audit:
    """``splits``: what could be read, without what is refused.  ``pictures``: of each split.

    ``unions``: splits that are others put together.
    """

    splits: dict[str, DetectionDataset]
    pictures: dict[str, dict[Path, Picture]]
    remarks: Remarks
    unions: frozenset[str]

    @property
    def refused(self) -> list[tuple[str, str]]:
        """(split, what a reader refused)."""
        return [
            (one.split, place)
            for one in self.remarks
            if one.rule == "refused"
            for place in one.places
        ]


def audit(
    root: Path,
    splits: Sequence[str],
    read: Callable[[str], DetectionDataset],
    *,
    workers: int,
    is_whole: bool = True,
) -> Audit:
    """``read``: opens a split; what it refuses is a remark, as is everything else.

    ``is_whole``: whether ``splits`` are all there are; the files of other ones are no strays.
    """
    remarks = Remarks()
    datasets: dict[str, DetectionDataset] = {}
    with listed_once():
        for split in splits:
            with collected() as faults:
                try:
                    datasets[split] = read(split)
                except (OSError, ValueError) as error:
                    faults.append(str(error))
            remarks.add("refused", split, *faults)
    pictures = _look_at_all(datasets, workers)
    for split, dataset in datasets.items():
        _audit_reading(split, dataset, remarks)
        _audit_pictures(split, pictures[split], remarks)
        audit_boxes(split, dataset, remarks)
    entries = {split: [e.path for e in dataset.examples] for split, dataset in datasets.items()}
    unions = unions_of({split: set(paths) for split, paths in entries.items()})
    entries = {split: paths for split, paths in entries.items() if split not in unions}
    audit_classes({split: datasets[split] for split in entries}, remarks)
    audit_copies(entries, pictures, remarks)
    if is_whole and len(datasets) == len(splits):
        named = {path for paths in entries.values() for path in paths}
        kinds = {odd.kind for dataset in datasets.values() for odd in dataset.oddities}
        audit_folder(root, named, remarks, say_strays=kinds.isdisjoint(NOT_ANNOTATED))
    return Audit(datasets, pictures, remarks, frozenset(unions))


def unions_of(pictures: Mapping[str, set[Path]]) -> set[str]:
    """Splits that are others put together, as VOC's trainval: they hold all pictures of two."""
    return {
        split
        for split, own in pictures.items()
        if len([other for other, its in pictures.items() if other != split and its < own]) > 1
    }


def _look_at_all(
    datasets: Mapping[str, DetectionDataset], workers: int
) -> dict[str, dict[Path, Picture]]:
    """Each file once, however many splits have it."""
    seen: dict[Path, Picture] = {}
    found = {}
    for split, dataset in datasets.items():
        paths = list(dict.fromkeys(example.path for example in dataset.examples))
        new = [path for path in paths if path not in seen]
        with ThreadPoolExecutor(max(workers, 1)) as pool:
            looked = pool.map(look_at, new)
            shown = tqdm(looked, total=len(new), unit="img", desc=split, leave=False)
            seen.update((picture.path, picture) for picture in shown)
        found[split] = {path: seen[path] for path in paths}
    return found


def _audit_reading(split: str, dataset: DetectionDataset, remarks: Remarks) -> None:
    for oddity in dataset.oddities:
        if oddity.kind == REPEATED_ID:
            remarks.add("same-annotation-id", split, oddity.example, *oddity.others)
            continue
        rule = "mended" if oddity.kind in _LOOK_AT else "repaired"
        remarks.add(rule, split, str(oddity))


def _audit_pictures(split: str, pictures: Mapping[Path, Picture], remarks: Remarks) -> None:
    refused = {
        place.partition(": ")[0] for one in remarks if one.rule == "refused" for place in one.places
    }
    for path, picture in pictures.items():
        for rule, place in picture.remarks:
            if rule != "unreadable" or str(path) not in refused:
                remarks.add(rule, split, place)
