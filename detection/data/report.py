"""What is said of a data set when it has been read: counts, classes, oddities."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from detection.data.dataset import DetectionDataset
from detection.data.findings import table


def report(dataset: DetectionDataset) -> str:
    """The counts in a line, a table of the classes, and what was odd."""
    return splits_report({"": dataset})


def splits_report(splits: Mapping[str, DetectionDataset]) -> str:
    """Of each split, by its name, the counts in a line; a table of the classes; what was odd.

    All splits have the classes of the first.  What is odd in all alike is said once.
    """
    names = list(splits)
    datasets = list(splits.values())
    heads = [f"{name} {word}".strip() for name in names for word in ("objects", "images")]
    rows: list[tuple[object, ...]] = [("label", "id", "class", *heads)]
    counts = [
        (
            Counter(int(label) for e in one.examples for label in e.labels),
            Counter(int(label) for e in one.examples for label in set(e.labels.tolist())),
        )
        for one in datasets
    ]
    classes = zip(datasets[0].class_names, datasets[0].category_ids, strict=True)
    for label, (name, category_id) in enumerate(classes, start=1):
        numbers = [count[label] for pair in counts for count in pair]
        rows.append((label, category_id, name, *numbers))
    odd = dict.fromkeys(str(oddity) for one in datasets for oddity in one.oddities)
    return "\n".join(
        [*(_summary(one) for one in datasets), *table(rows), *(f"  {line}" for line in odd)]
    )


def _summary(dataset: DetectionDataset) -> str:
    """The counts in a line."""
    empty = sum(len(e.labels) == 0 for e in dataset.examples)
    crowd = sum(int(e.crowd.sum()) for e in dataset.examples)
    difficult = sum(int(e.difficult.sum()) for e in dataset.examples)
    which = f"{dataset.format}{', ' if dataset.format else ''}{len(dataset)} images"
    without = f"{empty} without objects" if dataset.annotated else "not annotated"
    return (
        f"{dataset.source}: {which} ({without}), {sum(len(e.labels) for e in dataset.examples)} "
        f"objects ({crowd} crowd, {difficult} difficult), {len(dataset.class_names)} classes"
    )
