"""Evaluates a detector, or saved detections, with COCO's and VOC's metrics.

python tools/test_net.py data.root=/path/to/dataset checkpoint=outputs/train/best.pt
python tools/test_net.py data.root=/path/to/dataset detections=detections.json

Leaves in output_dir: report.html (compare=[a,b]: beside other tests), metrics.json,
detections.json, worst.jpg and worst/ (the pictures with the most mistakes), and comp4/, the files
of the VOC server.
A test set without annotations is detected in, not measured.  submission=voc or coco packs what the
challenge's server takes, of saved detections too (of a VOC test set the classes are VOC's, unless
data.classes names others).  proposal_recall=true measures the RPN by itself, too; proposals_file=
measures Fast R-CNN on the proposals that tools/propose.py wrote.
"""

from __future__ import annotations

import logging
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from detection.checkpoint import NETWORKS
from detection.cli.afterwards import report_of_test
from detection.cli.data_sets import open_split, with_pictures
from detection.cli.given import texts
from detection.cli.objects import detector as make_detector
from detection.cli.report_page import report_test
from detection.cli.training_data import to_divide
from detection.data.dataset import DetectionDataset
from detection.data.proposals_file import ProposalsFile
from detection.data.report import report
from detection.data.split_file import SPLIT_FILE
from detection.engine.evaluate import detect_dataset, measure
from detection.engine.look_back import look_back
from detection.engine.metrics_file import write_metrics
from detection.engine.output_folder import OutputFolder
from detection.engine.propose import measure_proposals
from detection.engine.report_file import REPORT, read_runs
from detection.engine.runtime import Runtime, set_up_runtime
from detection.engine.worst_pictures import PATTERNS
from detection.evaluation.coco_results import write_coco_results
from detection.evaluation.detections_file import read_detections
from detection.evaluation.proposal_recall import ImageProposals, recall_of_taken
from detection.evaluation.submission import check_submission, image_set, write_submission
from detection.evaluation.table import recall_line
from detection.evaluation.voc_comp4 import write_voc_detections
from detection.inference.detector import Detector
from detection.report.comparison import OtherRun
from detection.report.other_runs import DETECTIONS
from detection.user_path import user_path

log = logging.getLogger("test")


def main(config: DictConfig) -> None:
    began = time.perf_counter()
    dataset = open_test_set(config)
    submits = config.submission is not None
    if not dataset.annotated and (
        config.proposal_recall or config.compare or (config.checkpoint is None and not submits)
    ):
        raise ValueError(
            f"{dataset.source} is not annotated: there is nothing to measure with; submission= "
            "packs saved detections for a challenge's server"
        )
    others = read_runs(_compared(config), dataset.to_coco())
    runtime = detector = None
    if config.checkpoint is not None:
        runtime = set_up_runtime(**config.runtime)
        networks = ["fast_rcnn"] if config.proposals_file else NETWORKS
        detector = make_detector(config, runtime, networks=networks)
        if config.proposal_recall and len(detector.models) > 1:
            raise ValueError("proposal_recall=true measures one model's RPN, not an ensemble's")
        dataset = dataset.with_class_names(detector.class_names)
    _check_submission(config, dataset)
    with _output_folder(config).taken(overwrite=config.overwrite):
        _run(config, dataset, detector, runtime, others, began)


def _output_folder(config: DictConfig) -> OutputFolder:
    given = (config.checkpoint, config.detections, config.proposals_file)
    named = [name for value in given if value for name in texts(value)]
    paths = [*(Path(name) for name in named), *_compared(config)]
    paths += [path / DETECTIONS for path in _compared(config)]
    inside = [file for path in paths if path.is_dir() for file in path.glob("comp4_det_*.txt")]
    return OutputFolder(
        path=Path(config.output_dir),
        command="test_net",
        files=("metrics.json", DETECTIONS, "results.tar.gz", REPORT),
        patterns=("comp4/comp4_det_*.txt", "detections_*_results.zip", *PATTERNS),
        reads=[*paths, *inside],
        can_resume=False,
    )


def _compared(config: DictConfig) -> list[Path]:
    """The runs to compare with."""
    return [user_path(name) for name in texts(config.compare)]


def _run(
    config: DictConfig,
    dataset: DetectionDataset,
    detector: Detector | None,
    runtime: Runtime | None,
    others: list[OtherRun],
    began: float,
) -> None:
    """Detects, unless the detections are there, and measures."""
    timing: dict[str, Any] = {}
    entries: dict[str, Any] = {}
    log.info("%s", report(dataset))
    if detector is None or runtime is None:
        repair = config.data.invalid_boxes == "repair"
        detections = read_detections(Path(config.detections), dataset.to_coco(), repair=repair)
    else:
        given = config.proposals_file
        proposals = ProposalsFile(Path(given), dataset) if given else None
        taken: dict[int, ImageProposals] = {}
        start = time.perf_counter()
        detections = detect_dataset(
            detector,
            dataset,
            batch_size=config.batch_size,
            workers=runtime.workers,
            proposals=proposals,
            taken=taken,
            between_batches=runtime.follow_neighbours,
        )
        timing["seconds_per_image"] = round((time.perf_counter() - start) / len(dataset), 4)
        if config.proposal_recall:
            entries["proposals"] = measure_proposals(
                detector, dataset, batch_size=config.batch_size, workers=runtime.workers
            )
            log.info("\n%s", recall_line(entries["proposals"]))
        elif taken and dataset.annotated:
            entries["proposals"] = recall_of_taken(dataset.to_coco(), taken)
    folder = Path(config.output_dir)
    _write_detections(config, dataset, detections, folder)
    scores = found = None
    next_steps: list[str] = []
    if dataset.annotated:
        if detector is None:
            dataset = with_pictures(dataset, config.data, config.split)
        scores = measure(dataset.to_coco(), detections, backend=config.backend)
        log.info("\n%s", scores.table())
        entries |= {"coco": scores.coco.as_dict(), "voc": scores.voc.as_dict()}
        found = look_back(dataset, detections, scores.coco, folder)
        if found is not None:
            entries["look_back"] = found.entries(folder)
            next_steps = report_of_test(config.checkpoint, found)
    else:
        log.info("%s is not annotated: nothing to measure", dataset.source)
    write_metrics(
        folder / "metrics.json",
        **entries,
        seconds=round(time.perf_counter() - began, 1),
        **timing,
    )
    log.info("\nmetrics: %s", folder / "metrics.json")
    if scores is not None and config.report:
        report_test(
            config,
            dataset,
            detections,
            scores,
            found,
            metrics=entries | timing,
            device=None if runtime is None else str(runtime.device),
            others=others,
            next_steps=next_steps,
        )


def open_test_set(config: DictConfig) -> DetectionDataset:
    """What is measured on, under its own labels."""
    check_images = config.checkpoint is not None
    _use_split_of_run(config)
    dataset = open_split(config.data, config.split, check_images=check_images)
    if config.max_images is None:
        return dataset
    return replace(dataset, examples=dataset.examples[: config.max_images])


def _use_split_of_run(config: DictConfig) -> None:
    """Where the training made the split, its validation pictures are those of its run."""
    data = config.data
    if not isinstance(config.checkpoint, str) or data.split_file or config.split != data.val_split:
        return
    beside = user_path(config.checkpoint).with_name(SPLIT_FILE)
    if beside.is_file() and to_divide(data) is not None:
        data.split_file = str(beside)
        log.info("%s: the pictures that validated in training", beside)


def _check_submission(config: DictConfig, dataset: DetectionDataset) -> None:
    if config.submission is not None:
        check_submission(
            config.submission,
            dataset.to_coco(),
            source=dataset.source,
            method=config.submission_name,
            max_images=config.max_images,
        )


def _write_detections(
    config: DictConfig, dataset: DetectionDataset, detections: list[dict[str, Any]], folder: Path
) -> None:
    if config.checkpoint is not None:
        write_coco_results(detections, folder / DETECTIONS)
    if config.submission is not None:
        path = write_submission(
            config.submission,
            detections,
            dataset.to_coco(),
            folder,
            split=config.split,
            source=dataset.source,
            method=config.submission_name,
        )
        log.info("submission: %s", path)
    if config.submission != "voc" and config.checkpoint is not None:
        try:
            write_voc_detections(
                detections, dataset.to_coco(), folder / "comp4", image_set(config.split)
            )
        except ValueError as error:  # names that VOC's files cannot hold
            log.warning("no comp4/: %s", error)
