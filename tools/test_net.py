"""Evaluates a detector, or saved detections, with COCO's and VOC's metrics.

python tools/test_net.py data.root=/path/to/dataset checkpoint=outputs/train/best.pt
python tools/test_net.py data.root=/path/to/dataset detections=detections.json

Leaves in output_dir: metrics.json, detections.json and comp4/, the files of the VOC server.
"""

from __future__ import annotations

import logging
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from omegaconf import DictConfig

from detection.data.dataset import DetectionDataset
from detection.data.folder import open_folder
from detection.engine.evaluate import detect_dataset, measure
from detection.engine.metrics_file import write_metrics
from detection.engine.runtime import set_up_runtime
from detection.evaluation.detections_file import (
    read_detections,
    write_coco_results,
    write_voc_detections,
)
from tools.launch import launch, load_detector

log = logging.getLogger("test")


def main(config: DictConfig) -> None:
    began = time.perf_counter()
    if (config.checkpoint is None) == (config.detections is None):
        raise ValueError("give either checkpoint=<.pt> or detections=<.json or comp4 folder>")
    dataset = open_dataset(config)
    timing: dict[str, Any] = {}
    if config.checkpoint is None:
        log.info("%s", dataset.report())
        detections = read_detections(Path(config.detections), dataset.to_coco())
    else:
        runtime = set_up_runtime(**config.runtime)
        detector = load_detector(config, runtime)
        dataset = dataset.with_class_names(detector.class_names)
        log.info("%s", dataset.report())
        start = time.perf_counter()
        detections = detect_dataset(
            detector, dataset, batch_size=config.batch_size, workers=runtime.workers
        )
        timing["seconds_per_image"] = round((time.perf_counter() - start) / len(dataset), 4)
    scores = measure(dataset.to_coco(), detections, backend=config.backend)

    log.info("\n%s", scores.table())
    folder = Path(config.output_dir)
    folder.mkdir(parents=True, exist_ok=True)
    if config.checkpoint is not None:
        write_coco_results(detections, folder / "detections.json")
        write_voc_detections(detections, dataset.to_coco(), folder / "comp4", config.split)
    write_metrics(
        folder / "metrics.json",
        coco=scores.coco.as_dict(),
        voc=scores.voc.as_dict(),
        seconds=round(time.perf_counter() - began, 1),
        **timing,
    )
    log.info("\nmetrics: %s", folder / "metrics.json")


def open_dataset(config: DictConfig) -> DetectionDataset:
    """What is measured on, under its own labels."""
    dataset = open_folder(
        root=Path(config.data.root),
        split=config.split,
        classes=config.data.classes,
        invalid_boxes=config.data.invalid_boxes,
        check_images=config.checkpoint is not None,
    )
    if config.max_images is None:
        return dataset
    return replace(dataset, examples=dataset.examples[: config.max_images])


if __name__ == "__main__":
    launch(main, config="test")
