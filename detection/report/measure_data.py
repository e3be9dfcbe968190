"""What the page of a data set says, out of what its readers have read."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from detection.data.dataset import DetectionDataset, Example
from detection.data.image import read_image
from detection.report.choose_pictures import choose_pictures
from detection.report.content import Histogram
from detection.report.data_content import (
    Batches,
    ClassFacts,
    DataPage,
    ShownBox,
    ShownPicture,
    SplitFacts,
)
from detection.report.data_facts import PER_PICTURE, SIDES, histogram
from detection.report.reader_findings import Key, NamedPictures, SplitFindings, findings, named_in
from detection.report.shown_boxes import ground_truth, size_of
from detection.report.small_copy import small_copy

# Width / height.
RATIOS = (0, 0.125, 0.25, 0.5, 0.67, 0.8, 1.25, 1.5, 2, 4, 8, 16)
# Characters of all pictures together, boxes included: the page stays below 20 MB.
CHARACTERS = 15_000_000
# Of a picture, how many boxes are drawn.
MOST_BOXES = 500


@dataclass(frozen=True, kw_only=True)
class Look:
    """How the ground truth is looked at.

    ``most``: pictures, None for all.  ``seed``: of their choice.  ``characters``: of all of them.
    ``ignore_crowd``, ``ignore_difficult``: as in training.
    """

    most: int | None
    seed: int
    ignore_crowd: bool
    ignore_difficult: bool
    characters: int = CHARACTERS


def measure_data(
    title: str,
    facts: Mapping[str, str],
    splits: Sequence[SplitFindings],
    look: Look,
    batches: Batches | None = None,
) -> DataPage:
    """``splits``: those that could be read, and those that could not.

    A picture that cannot be read is a finding of its split.
    """
    read = {one.split: one.dataset for one in splits if one.dataset is not None}
    named = {split: NamedPictures(dataset.examples) for split, dataset in read.items()}
    every = [(split, number) for split, dataset in read.items() for number in range(len(dataset))]
    about = named_in(splits, named)
    chosen = choose_pictures(
        _classes(read),
        look.most,
        seed=look.seed,
        found=[place for place, key in enumerate(every) if key in about],
    )
    seen = _gather(read, [every[place] for place in chosen], look)
    refused = [
        SplitFindings(one.split, one.dataset, [*one.refused, *seen.damaged.get(one.split, ())])
        for one in splits
    ]
    about = named_in(refused, named)
    if len(seen.keys) < len(every):
        seen.notes.insert(
            0,
            f"{len(seen.keys)} of {len(every)} pictures are shown, drawn with seed {look.seed} so "
            "that every class is seen; max_images= says how many",
        )
    return DataPage(
        title=title,
        facts=dict(facts),
        splits=[_split_facts(split, dataset) for split, dataset in read.items()],
        classes=_class_facts(list(read.values())),
        **_histograms([example for dataset in read.values() for example in dataset.examples]),
        findings=findings(refused, named, {key: number for number, key in enumerate(seen.keys)}),
        pictures=[
            replace(picture, findings=about[key])
            for picture, key in zip(seen.pictures, seen.keys, strict=True)
        ],
        notes=seen.notes,
        batches=batches,
    )


def _classes(read: Mapping[str, DetectionDataset]) -> list[list[str]]:
    """The class names in each picture."""
    return [
        [dataset.class_names[label - 1] for label in np.unique(example.labels)]
        for dataset in read.values()
        for example in dataset.examples
    ]


@dataclass
class _Gathered:
    """``keys``: (split, number of the example) of each picture.  ``damaged``: split -> faults."""

    pictures: list[ShownPicture] = field(default_factory=list)
    keys: list[Key] = field(default_factory=list)
    damaged: dict[str, list[str]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    used: int = 0
    shortened: int = 0


def _gather(read: Mapping[str, DetectionDataset], chosen: Sequence[Key], look: Look) -> _Gathered:
    found = _Gathered()
    for place, key in enumerate(tqdm(chosen, unit="img", desc="pictures", leave=False)):
        split, number = key
        dataset = read[split]
        image = _read(dataset.examples[number].path, found.damaged.setdefault(split, []))
        if image is None:
            continue
        picture = _without_copy(split, dataset, number, look)
        found.shortened += len(picture.objects) > MOST_BOXES
        picture = replace(picture, objects=picture.objects[:MOST_BOXES])
        boxes = characters_of(picture.objects)
        left = look.characters - found.used
        jpeg = small_copy(image, left // (len(chosen) - place) - boxes)
        if boxes + len(jpeg) > left:
            found.notes.append(
                f"the page is full after {len(found.keys)} of {len(chosen)} pictures: max_images= "
                "shows fewer, and larger ones"
            )
            break
        found.used += boxes + len(jpeg)
        found.pictures.append(replace(picture, jpeg=jpeg))
        found.keys.append(key)
    if found.shortened:
        found.notes.append(
            f"{counted(found.shortened, 'picture')} with more than {MOST_BOXES} boxes: the first "
            f"{MOST_BOXES} are drawn"
        )
    return found


def _read(path: Path, damaged: list[str]) -> NDArray[np.uint8] | None:
    """A picture that training would refuse is shown, as far as it can be read."""
    try:
        return read_image(path)
    except (OSError, ValueError) as error:
        damaged.append(str(error))
    try:
        return read_image(path, strict=False)
    except (OSError, ValueError):
        return None


def _without_copy(split: str, dataset: DetectionDataset, number: int, look: Look) -> ShownPicture:
    example = dataset.examples[number]
    boxes = ground_truth(
        example,
        dataset.class_names,
        ignore_crowd=look.ignore_crowd,
        ignore_difficult=look.ignore_difficult,
    )
    height, width = example.size
    without = "empty" if dataset.annotated else "not annotated"
    return ShownPicture(
        file_name=example.path.name,
        width=width,
        height=height,
        jpeg="",
        choice=split,
        note=counted(len(boxes), "object") if boxes else without,
        objects=boxes,
        facts=[str(example.path), f"{width} × {height} pixels"],  # noqa: RUF001
    )


def characters_of(boxes: Sequence[ShownBox]) -> int:
    """Of the boxes in the page's JSON."""
    return len(json.dumps([asdict(box) for box in boxes]))


def counted(number: int, word: str) -> str:
    return f"{number} {word}" if number == 1 else f"{number} {word}s"


def _split_facts(split: str, dataset: DetectionDataset) -> SplitFacts:
    examples = dataset.examples
    return SplitFacts(
        name=split,
        source=str(dataset.source),
        format=dataset.format,
        images=len(examples),
        empty=sum(len(example.labels) == 0 for example in examples),
        boxes=sum(len(example.labels) for example in examples),
        crowds=sum(int(example.crowd.sum()) for example in examples),
        difficult=sum(int(example.difficult.sum()) for example in examples),
        without_area=sum(int((~example.has_area).sum()) for example in examples),
    )


def _class_facts(datasets: Sequence[DetectionDataset]) -> list[ClassFacts]:
    names = dict.fromkeys(name for dataset in datasets for name in dataset.class_names)
    boxes = {name: [0] * len(datasets) for name in names}
    pictures = {name: [0] * len(datasets) for name in names}
    sizes = {name: {"small": 0, "medium": 0, "large": 0} for name in names}
    for place, dataset in enumerate(datasets):
        for example in dataset.examples:
            in_it = [dataset.class_names[label - 1] for label in example.labels]
            for name, area in zip(in_it, example.areas.tolist(), strict=True):
                boxes[name][place] += 1
                sizes[name][size_of(area)] += 1
            for name in set(in_it):
                pictures[name][place] += 1
    return [
        ClassFacts(
            name=name, boxes=boxes[name], pictures=pictures[name], sizes=[*sizes[name].values()]
        )
        for name in names
    ]


def _histograms(examples: Sequence[Example]) -> dict[str, Histogram]:
    sides = _joined([example.boxes[:, 2:] - example.boxes[:, :2] for example in examples])
    sides = sides[(sides > 0).all(axis=1)]
    counts = np.array([len(example.labels) for example in examples])
    return {
        "sides": histogram(np.sqrt(sides.prod(axis=1)), SIDES),
        "ratios": histogram(sides[:, 0] / sides[:, 1], RATIOS),
        "per_picture": histogram(counts, PER_PICTURE),
    }


def _joined(arrays: list[NDArray[np.float32]]) -> NDArray[np.float64]:
    return np.concatenate([np.zeros((0, 2)), *arrays]).astype(np.float64)
