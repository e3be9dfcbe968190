"""Reads a data set once, pictures and all; says what is in it, and lists what is wrong with it.

python tools/check_dataset.py data.root=/path/to/dataset
"""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from detection.cli.data_sets import formats, open_split
from detection.data.audit.audit import Audit, audit
from detection.data.audit.classes import boxes_per_class
from detection.data.audit.cleaned import write_cleaned
from detection.data.audit.remarks import Remarks
from detection.data.audit.rules import SEVERITIES
from detection.data.findings import table
from detection.data.formats.open import available_splits
from detection.engine.anchor_report import AnchorReport, anchor_report
from detection.user_path import user_path

log = logging.getLogger("check")


def main(config: DictConfig) -> None:
    root = user_path(config.data.root)
    data = config.data
    splits = list(config.splits or ()) or available_splits(
        root, formats(data), allow_outside=data.allow_outside
    )
    found = audit(
        root,
        splits or [data.train_split],
        lambda split: open_split(data, split),
        workers=config.workers,
        is_whole=not config.splits,
    )
    anchors = _anchor_reports(config, found)
    changes = None
    if config.fix:
        changes = write_cleaned(found, Path(config.output_dir), root=root, link=config.link)
    if config.json:
        said = summary(found, anchors) | ({} if changes is None else {"changes": changes})
        print(json.dumps(said, ensure_ascii=False, indent=2))
    else:
        if found.splits:
            log.info("%s", overview(found, anchors))
        if told := found.remarks.text("note", "warning"):
            log.info("%s", told)
        if changes is not None:
            log.info(
                "%s", "\n  ".join([f"{len(changes)} changes in {config.output_dir}:", *changes])
            )
    _end(found.remarks, splits, strict=config.strict)


def _end(remarks: Remarks, splits: list[str], *, strict: bool) -> None:
    """Raises ValueError, with the errors, if there are any; ``strict``: or a warning."""
    errors, warnings = remarks.count("error"), remarks.count("warning")
    counted = ", ".join(map(remarks.counted, SEVERITIES))
    if errors == 1:
        raise ValueError(remarks.text("error").split("\n", 1)[1].strip())
    if errors:
        raise ValueError(f"{counted}\n{remarks.text('error')}")
    if warnings and strict:
        raise ValueError(f"{counted}; strict=true takes warnings for errors")
    if warnings:
        log.info("%s in %s", counted, ", ".join(splits))
    else:
        log.info("nothing wrong in %s", ", ".join(splits))


def _anchor_reports(config: DictConfig, found: Audit) -> dict[str, AnchorReport]:
    reports = {
        split: anchor_report(
            split,
            dataset,
            found.remarks,
            shorter=min(config.data.shorter_sides),
            longest=config.data.longest,
            sizes=list(config.anchors.sizes),
            ratios=list(config.anchors.aspect_ratios),
        )
        for split, dataset in found.splits.items()
    }
    return {split: report for split, report in reports.items() if report is not None}


def summary(found: Audit, anchors: dict[str, AnchorReport]) -> dict[str, Any]:
    """What ``json=true`` prints; boxes count crowds and difficult objects too."""
    read, remarks = found.splits, found.remarks
    return {
        "format": ", ".join(dict.fromkeys(dataset.format for dataset in read.values())) or None,
        "splits": {
            split: {
                "images": len(dataset),
                "boxes": sum(len(example.labels) for example in dataset.examples),
                "empty": sum(len(example.labels) == 0 for example in dataset.examples),
                "per_class": boxes_per_class(dataset),
            }
            for split, dataset in read.items()
        },
        "anchors": {split: report.entry() for split, report in anchors.items()},
        "repaired": [
            {"split": split, "kind": odd.kind, "count": odd.count, "example": odd.example}
            for split, dataset in read.items()
            for odd in dataset.oddities
        ],
        "refused": [place for one in remarks.of("error") for place in one.places],
        "remarks": [one.entry() for one in remarks],
        "counts": {severity: remarks.count(severity) for severity in SEVERITIES},
    }


def overview(found: Audit, anchors: dict[str, AnchorReport]) -> str:
    """The same for a reader: the splits, the classes, the sizes of boxes."""
    read, said = found.splits, summary(found, anchors)["splits"]
    first = next(iter(read.values()))
    counts = [
        ("split", "images", "boxes", "empty"),
        *((name, s["images"], s["boxes"], s["empty"]) for name, s in said.items()),
    ]
    names = dict.fromkeys(name for dataset in read.values() for name in dataset.class_names)
    per_class = [s["per_class"] for s in said.values()]
    classes = [
        ("class", *read),
        *((name, *(counts.get(name, 0) for counts in per_class)) for name in names),
    ]
    formats_read = ", ".join(dict.fromkeys(dataset.format for dataset in read.values()))
    title = f"{first.source}: {formats_read}, {len(names)} classes"
    sizes = [f"  {report.text(split)}" for split, report in anchors.items()]
    return "\n".join([title, *table(counts), "Boxes of each class:", *table(classes), *sizes])
