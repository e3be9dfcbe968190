"""Runs to compare with: folders that a test, or a detection, has left, or files of detections."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from detection.evaluation.coco_arrays import GroundTruth, detection_arrays, object_arrays
from detection.evaluation.detections_file import read_detections
from detection.evaluation.matching_names import matched_by_name
from detection.report.comparison import OtherRun

DETECTIONS, METRICS = "detections.json", "metrics.json"


def read_run(path: Path, ground_truth: GroundTruth) -> OtherRun:
    """``path``: a folder with detections.json, or what `read_detections` takes.

    Raises ValueError for another one, and for detections in other pictures.
    """
    file = path / DETECTIONS
    if not file.is_file():
        if path.is_dir() and not any(path.glob("comp4_det_*.txt")):
            raise ValueError(
                f"{path}: no run to compare with: there is no {DETECTIONS}, which a test of a "
                "checkpoint leaves; test that first, or name a file of detections"
            )
        return OtherRun(name=path.name, detections=read_detections(path, ground_truth))
    known = {category["id"] for category in ground_truth["categories"]}
    # Those of tools/detect.py say by names what they belong to.
    named = matched_by_name(_list(file), ground_truth, where=str(file))
    # A detector may know more classes than the data set has; they have no AP.
    entries = [entry for entry in named if entry.get("category_id") in known]
    detection_arrays(entries, object_arrays(ground_truth), where=str(file))
    return OtherRun(name=path.name, detections=entries, AP=_own_ap(path / METRICS))


def _list(file: Path) -> list[dict[str, Any]]:
    try:
        content = json.loads(file.read_bytes())
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{file}: not a JSON file ({error}); test the checkpoint again") from None
    if not isinstance(content, list) or not all(isinstance(entry, dict) for entry in content):
        raise ValueError(f"{file}: not a list of detections; test the checkpoint again")
    return content


def _own_ap(metrics: Path) -> float | None:
    """What the run says of itself, if it does."""
    try:
        value = json.loads(metrics.read_bytes())["coco"]["AP"]
    except (OSError, ValueError, RecursionError, KeyError, TypeError):
        return None
    return value if isinstance(value, float) else None
