"""Reads a data set once, pictures and all; says what is in it, and lists what is wrong with it.

python tools/check_dataset.py data.root=/path/to/dataset
"""

from __future__ import annotations

import json
import logging
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from omegaconf import DictConfig
from tqdm import tqdm

from detection.cli.data_sets import formats, open_split
from detection.data.dataset import DetectionDataset, Example
from detection.data.findings import table
from detection.data.formats.open import available_splits
from detection.data.image import read_image
from detection.data.loader import check_size

log = logging.getLogger("check")


def main(config: DictConfig) -> None:
    root = Path(config.data.root).expanduser()
    data = config.data
    splits = list(config.splits or ()) or available_splits(
        root, formats(data), allow_outside=data.allow_outside
    )
    problems: list[str] = []
    read: dict[str, DetectionDataset] = {}
    for split in splits or [config.data.train_split]:
        try:
            dataset = read[split] = open_split(config.data, split)
        except (FileNotFoundError, ValueError) as error:
            problems.append(str(error))
            continue
        with ThreadPoolExecutor(max(config.workers, 1)) as pool:
            checks = pool.map(_problem, dataset.examples)
            found = tqdm(checks, total=len(dataset), unit="img", desc=split, leave=False)
            problems += [problem for problem in found if problem]
    if config.json:
        print(json.dumps(summary(read, problems), ensure_ascii=False, indent=2))
    elif read:
        log.info("%s", overview(read))
    if len(problems) == 1:
        raise ValueError(problems[0])
    if problems:
        raise ValueError("\n".join([f"{len(problems)} problems:", *problems]))
    log.info("nothing wrong in %s", ", ".join(splits))


def summary(read: dict[str, DetectionDataset], problems: list[str]) -> dict[str, Any]:
    """What ``json=true`` prints; boxes count crowds and difficult objects too."""
    return {
        "format": ", ".join(dict.fromkeys(dataset.format for dataset in read.values())) or None,
        "splits": {
            split: {
                "images": len(dataset),
                "boxes": sum(len(example.labels) for example in dataset.examples),
                "empty": sum(len(example.labels) == 0 for example in dataset.examples),
                "per_class": _per_class(dataset),
            }
            for split, dataset in read.items()
        },
        "repaired": [
            {"split": split, "kind": odd.kind, "count": odd.count, "example": odd.example}
            for split, dataset in read.items()
            for odd in dataset.oddities
        ],
        "refused": problems,
    }


def overview(read: dict[str, DetectionDataset]) -> str:
    """The same for a reader: the splits, the classes, what was odd."""
    said = summary(read, [])
    first = next(iter(read.values()))
    counts = [
        ("split", "images", "boxes", "empty"),
        *((name, s["images"], s["boxes"], s["empty"]) for name, s in said["splits"].items()),
    ]
    names = dict.fromkeys(name for dataset in read.values() for name in dataset.class_names)
    per_split = [_per_class(dataset) for dataset in read.values()]
    classes = [
        ("class", *read),
        *((name, *(counts.get(name, 0) for counts in per_split)) for name in names),
    ]
    odd = [f"  {o['split']}: {o['count']} x {o['kind']}: {o['example']}" for o in said["repaired"]]
    title = f"{first.source}: {said['format']}, {len(names)} classes"
    heads = ["Boxes of each class:", "Repaired or left out, each with its first:"]
    return "\n".join(
        [title, *table(counts), heads[0], *table(classes), *([heads[1], *odd] if odd else [])]
    )


def _per_class(dataset: DetectionDataset) -> dict[str, int]:
    counts = Counter(int(label) for e in dataset.examples for label in e.labels)
    return {name: counts[label] for label, name in enumerate(dataset.class_names, start=1)}


def _problem(example: Example) -> str | None:
    try:
        check_size(read_image(example.path), example)
    except (OSError, ValueError) as error:
        return str(error)
    return None
