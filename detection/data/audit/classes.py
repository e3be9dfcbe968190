"""What is said of the classes: their names, and how many boxes each has."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Mapping

from detection.data.audit.remarks import Remarks
from detection.data.dataset import DetectionDataset

# A class with fewer boxes is hardly learnt.
FEW = 5
# How many times more boxes the largest class has.
IMBALANCE = 100
_BACKGROUND = {"background", "bg", "nothing", "noobject", "nonobject", "unlabeled", "unlabelled"}


def fold_name(name: str) -> str:
    """What names have in common that are typed differently: traffic-light is Traffic Light."""
    return re.sub(r"[\s_\-.]+", "", unicodedata.normalize("NFKC", name).casefold())


def boxes_per_class(dataset: DetectionDataset) -> dict[str, int]:
    """Crowds and difficult objects count too."""
    counts = Counter(int(label) for e in dataset.examples for label in e.labels)
    return {name: counts[label] for label, name in enumerate(dataset.class_names, start=1)}


def audit_classes(splits: Mapping[str, DetectionDataset], remarks: Remarks) -> None:
    annotated = {split: dataset for split, dataset in splits.items() if dataset.annotated}
    if not annotated:
        return
    counts = {split: boxes_per_class(dataset) for split, dataset in annotated.items()}
    total: Counter[str] = Counter()
    for own in counts.values():
        total.update(own)
    _audit_names(counts, remarks)
    # The twenty of VOC are no statement of the files.
    are_told = not any(dataset.format == "VOC" for dataset in annotated.values())
    largest = max(total.values(), default=0)
    for name, count in total.items():
        if not count:
            remarks.add("unused-class", "", *([name] if are_told else []))
            continue
        if count < FEW:
            remarks.add("few-boxes", "", f"{name}: {count}")
        if count * IMBALANCE < largest:
            remarks.add("imbalance", "", f"{name}: {count}, the largest has {largest}")
        without = [split for split, own in counts.items() if name in own and not own[name]]
        if without and any(own.get(name) for own in counts.values()):
            remarks.add("one-split", "", f"{name}: none in {', '.join(without)}")


def _audit_names(counts: Mapping[str, Mapping[str, int]], remarks: Remarks) -> None:
    names = dict.fromkeys(name for own in counts.values() for name in own)
    for name in names:
        absent = [split for split, own in counts.items() if name not in own]
        if absent:
            remarks.add("other-classes", "", f"{name!r}: not in {', '.join(absent)}")
        if fold_name(name) in _BACKGROUND:
            remarks.add("background", "", repr(name))
    alike: dict[str, list[str]] = defaultdict(list)
    for name in names:
        alike[fold_name(name)].append(name)
    for group in alike.values():
        if len(group) > 1:
            remarks.add("alike-names", "", " and ".join(map(repr, group)))
