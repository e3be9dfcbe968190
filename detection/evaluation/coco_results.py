"""COCO results files (https://cocodataset.org/#format-results).

A JSON list of the detections that :mod:`detection.evaluation.coco_arrays` template.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from detection.atomic_write import write_text
from detection.evaluation.coco_arrays import (
    Detection,
    GroundTruth,
    detection_arrays,
    object_arrays,
)
from detection.evaluation.matching_names import matched_by_name


def read_coco_results(path: Path, ground_truth: GroundTruth) -> list[dict[str, Any]]:
    """The records of a COCO results file, further keys included, matched by `matched_by_name`.

    Raises ValueError, naming the file and the entry, for what is not JSON or not a list, a missing
    key, an unknown image or category, an impossible box and a score that is not a finite number.
    """
    try:
        detections = json.loads(path.read_bytes())  # in UTF-8 or UTF-16
    except (ValueError, RecursionError) as error:  # no JSON, no text, or nested too deeply
        raise ValueError(f"{path}: not a JSON file ({error}); write the file again") from error
    if not isinstance(detections, list):
        raise ValueError(
            f"{path}: a COCO results file is a list of detections, this is a "
            f"{type(detections).__name__}; give the results, not the annotations"
        )
    objects = object_arrays(ground_truth)
    detections = matched_by_name(detections, ground_truth, where=str(path))
    detection_arrays(detections, objects, where=str(path))
    return detections


def write_coco_results(detections: Sequence[Detection], path: Path) -> None:
    """The inverse of `read_coco_results`.  Raises ValueError for a NaN, which JSON cannot say."""
    records = [dict(detection) for detection in detections]
    write_text(path, json.dumps(records, allow_nan=False))
