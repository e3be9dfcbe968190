"""Detections on disk, in either of two formats: COCO results and VOC's comp4 files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from detection.evaluation.coco_arrays import GroundTruth
from detection.evaluation.coco_results import read_coco_results
from detection.evaluation.voc_comp4 import read_voc_detections


def read_detections(
    path: Path, ground_truth: GroundTruth, *, repair: bool = False
) -> list[dict[str, Any]]:
    """Detections of either format: ``path`` is a COCO results file or a folder of comp4 files.

    ``repair``: whether malformed lines of comp4 files are left out, which is logged.
    Returns the records of :mod:`detection.evaluation.coco_arrays`.  Raises ValueError as
    `read_coco_results` and `read_voc_detections`, and if ``path`` does not exist.
    """
    if path.is_dir():
        return read_voc_detections(path, ground_truth, repair=repair)
    if path.is_file():
        return read_coco_results(path, ground_truth)
    raise ValueError(
        f"{path}: detections must be an existing COCO results file (.json) or a folder of VOC "
        "comp4_det_<image set>_<class>.txt files; check the path"
    )
