"""A cleaned copy of a data set, in COCO's format: what is wrong is left out or set right.

The original is only read.  What nobody can know is left as it is: which of two classes, which of
two different labellings of one picture.
"""

from __future__ import annotations

import json
import os
import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from detection.atomic_write import write_text
from detection.data.audit.audit import Audit
from detection.data.audit.boxes import are_meant_otherwise, repeated
from detection.data.audit.classes import boxes_per_class, fold_name
from detection.data.dataset import DetectionDataset, Example
from detection.data.formats.splits import aliases

# Of a picture in two splits the one that measures keeps it.
_MEASURE = {word.casefold() for split in ("test", "val") for word in (split, *aliases(split))}


def write_cleaned(audit: Audit, folder: Path, *, root: Path, link: bool) -> list[str]:
    """Writes annotations/instances_<split>.json and <split>/ with the pictures to ``folder``.

    ``link``: pictures become hard links to the originals, where both lie in one file system.
    Returns what was changed, a line for each picture or class.
    Raises ValueError unless ``folder`` is new or empty, and apart from ``root``; and for boxes that
    are all meant otherwise, which a person has to say.
    """
    _check_folder(folder, root)
    for split, dataset in audit.splits.items():
        if are_meant_otherwise(dataset):
            raise ValueError(
                f"{split}: all of its boxes are in another unit or form than they are read in; "
                "correct them before a copy is written"
            )
    changes = [f"{split}: {place}: left out" for split, place in audit.refused]
    splits = {name: split for name, split in audit.splits.items() if name not in audit.unions}
    changes += [f"{split}: made of other splits, left out" for split in sorted(audit.unions)]
    names = _names(splits, changes)
    kept = _without_copies(audit, list(splits), changes)
    datasets = {
        split: _tidied(split, kept[split], names, changes)
        for split, dataset in splits.items()
        if dataset.annotated
    }
    for split, dataset in datasets.items():
        _write(split, dataset, folder, link=link)
    return changes


def _check_folder(folder: Path, root: Path) -> None:
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ValueError(f"output_dir={folder}: not empty; a cleaned copy needs a new folder")
    here, there = folder.resolve(), root.resolve()
    if here.is_relative_to(there):
        raise ValueError(f"output_dir={folder}: lies in the data set; choose a folder beside it")


def _names(splits: Mapping[str, DetectionDataset], changes: list[str]) -> dict[str, str]:
    """Class -> its name in the copy, for those that have boxes."""
    total: Counter[str] = Counter()
    for dataset in splits.values():
        total.update(boxes_per_class(dataset))
    best: dict[str, str] = {}
    for name, _ in total.most_common():
        best.setdefault(fold_name(name), name)
    used = {best[fold_name(name)] for name, count in total.items() if count}
    for name, count in total.items():
        if best[fold_name(name)] != name:
            changes.append(f"class {name!r}: joined with {best[fold_name(name)]!r}")
        elif not count and name not in used:
            changes.append(f"class {name!r}: without boxes, left out")
    return {name: best[fold_name(name)] for name in total if best[fold_name(name)] in used}


def _without_copies(
    audit: Audit, splits: Sequence[str], changes: list[str]
) -> dict[str, DetectionDataset]:
    """Without pictures that cannot be read, and with each one once."""
    found: dict[str, DetectionDataset] = {}
    # Of another size than annotated: nobody knows where its boxes belong.
    refused = {place.partition(": ")[0] for _, place in audit.refused}
    taken: dict[bytes, str] = {}
    order = sorted(splits, key=lambda split: split.casefold() not in _MEASURE)
    for split in order:
        kept: dict[Path, Example] = {}
        own: dict[bytes, Example] = {}
        for example in audit.splits[split].examples:
            picture = audit.pictures[split][example.path]
            where = f"{split}: {example.path.name}"
            if str(example.path) in refused:
                pass  # it is said
            elif picture.size is None:
                changes.append(f"{where}: cannot be read, left out")
            elif picture.digest in taken:
                changes.append(f"{where}: in {taken[picture.digest]} too, left out here")
            elif example.path in kept:
                changes.append(f"{where}: its entries are joined")
                kept[example.path] = _joined(kept[example.path], example)
            elif picture.digest in own and _are_alike(own[picture.digest], example):
                same = own[picture.digest].path.name
                changes.append(f"{where}: the same as {same}, left out")
            else:
                kept[example.path] = own[picture.digest] = example
        taken.update(dict.fromkeys(own, split))
        found[split] = replace(audit.splits[split], examples=list(kept.values()))
    return found


def _joined(first: Example, second: Example) -> Example:
    parts = ("boxes", "labels", "crowd", "difficult", "annotated", "areas")
    joined: dict[str, Any] = {
        n: np.concatenate([getattr(first, n), getattr(second, n)]) for n in parts
    }
    return replace(first, **joined)


def _are_alike(first: Example, second: Example) -> bool:
    """Whether they have the same objects: otherwise a person has to choose."""
    objects = [
        sorted(zip(map(tuple, e.annotated.tolist()), e.labels.tolist(), strict=True))
        for e in (first, second)
    ]
    return objects[0] == objects[1]


def _tidied(
    split: str, dataset: DetectionDataset, names: Mapping[str, str], changes: list[str]
) -> DetectionDataset:
    order = tuple(dict.fromkeys(names.values()))
    label_of = np.zeros(len(dataset.class_names) + 1, dtype=np.int64)
    for label, name in enumerate(dataset.class_names, start=1):
        label_of[label] = order.index(names[name]) + 1 if name in names else 0
    examples = [
        replace(_tidy(split, e, changes), image_id=number)
        for number, e in enumerate(dataset.examples, start=1)
    ]
    examples = [replace(e, labels=label_of[e.labels]) for e in examples]
    return replace(
        dataset, class_names=order, category_ids=tuple(range(1, len(order) + 1)), examples=examples
    )


def _tidy(split: str, example: Example, changes: list[str]) -> Example:
    """Each box once, within its picture, with an area."""
    where = f"{split}: {example.path.name}"
    keep = example.has_area.copy()
    if not keep.all():
        changes.append(f"{where}: {int((~keep).sum())} boxes without an area, left out")
    twice = [index for index, is_same_class in repeated(example) if is_same_class]
    if twice:
        changes.append(f"{where}: {len(twice)} repeated boxes, left out")
        keep[twice] = False
    kept = example.keep(keep)
    cut = kept.boxes.astype(np.float64)
    cut[:, 2:] -= cut[:, :2]
    moved = np.logical_or.reduce(np.abs(cut - kept.annotated) > 1e-3, axis=1)
    if moved.any():
        changes.append(f"{where}: {int(moved.sum())} boxes cut at the border")
    annotated = np.where(moved[:, None], cut, kept.annotated)
    own = annotated[:, 2:].prod(axis=1)
    wrong = ~(kept.areas > 0)
    if wrong.any():
        changes.append(f"{where}: {int(wrong.sum())} areas taken from the boxes")
    areas = np.where(wrong | moved, own, kept.areas)
    return replace(kept, annotated=annotated, areas=areas)


def _write(split: str, dataset: DetectionDataset, folder: Path, *, link: bool) -> None:
    name = split.replace("/", "_")
    pictures = folder / name
    pictures.mkdir(parents=True)
    content = dataset.to_coco()
    taken: set[str] = set()
    shown = tqdm(dataset.examples, unit="img", desc=f"copying {split}", leave=False)
    for entry, example in zip(content["images"], shown, strict=True):
        file = example.path.name
        if file.casefold() in taken:  # of another folder
            file = f"{example.path.stem}_{entry['id']}{example.path.suffix}"
        taken.add(file.casefold())
        entry["file_name"] = file
        _place(example.path, pictures / file, link=link)
    (folder / "annotations").mkdir(exist_ok=True)
    text = json.dumps(content, ensure_ascii=False) + "\n"
    write_text(folder / "annotations" / f"instances_{name}.json", text)


def _place(picture: Path, to: Path, *, link: bool) -> None:
    if link:
        try:
            os.link(picture.resolve(), to)
        except OSError:
            pass
        else:
            return
    shutil.copyfile(picture, to)
