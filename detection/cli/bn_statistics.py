"""Exact BN statistics: python tools/bn_statistics.py checkpoint=best.pt data.root=/path/to/imagenet

Leaves in output_dir: classifier.pt, the checkpoint with the mean and variance of every BN layer
over the training set, and metrics.json.  A detector starts from it, its BN layers fixed:
python tools/train_net.py weights=outputs/bn_statistics/classifier.pt ...
Several processes, each with its part of the images: torchrun --nproc-per-node=2 ...
"""

from __future__ import annotations

import logging
import time
from dataclasses import replace
from pathlib import Path

import torch
from omegaconf import DictConfig

from detection.build import build
from detection.checkpoint import ClassifierCheckpoint
from detection.classification.bn_statistics import freeze_statistics
from detection.classification.classifier import Classifier
from detection.classification.evaluate import measure_error
from detection.classification.images import LabelledImages, open_labelled
from detection.classification.loader import ViewBatches, view_loader
from detection.cli.processes import runtime_and_processes
from detection.engine.distributed import Processes
from detection.engine.metrics_file import write_metrics
from detection.engine.output_folder import OutputFolder
from detection.engine.runtime import Runtime
from detection.weights.by_name import weights_file

log = logging.getLogger("bn_statistics")


def main(config: DictConfig) -> None:
    began = time.perf_counter()
    output = OutputFolder(
        path=Path(config.output_dir),
        command="bn_statistics",
        files=("classifier.pt", "metrics.json"),
        reads=[Path(config.checkpoint)],
        can_resume=False,
    )
    with (
        runtime_and_processes(config) as (runtime, processes),
        output.taken(overwrite=config.overwrite, processes=processes),
    ):
        _run(config, runtime, processes, began)


def _run(config: DictConfig, runtime: Runtime, processes: Processes, began: float) -> None:
    folder = Path(config.output_dir)
    checkpoint = ClassifierCheckpoint.load(weights_file(config.checkpoint, kind="backbone"))
    classifier = checkpoint.build_model(trust=list(config.trust)).to(runtime.device)
    assert isinstance(classifier, Classifier)
    data = config.data
    train_set = _open(config, data.train_split, checkpoint, images=data.images)
    if len(train_set) < processes.world_size:
        raise ValueError(f"{train_set.report()}: fewer than the {processes.world_size} processes")
    metrics: dict[str, float | None] = {}
    measure = processes.is_first and data.val_split is not None
    if measure:
        val_set = _open(config, data.val_split, checkpoint, images=None)
        metrics["error_before"] = _error(classifier, val_set, checkpoint, config, runtime)

    views = build(checkpoint.views, trust=list(config.trust))
    loader = view_loader(
        train_set.shard(processes.rank, processes.world_size),
        views,
        batch_size=config.batch_size,
        workers=runtime.workers,
    )
    # Always in fp32: the statistics are to be exact.
    freeze_statistics(
        classifier,
        ViewBatches(loader),
        forward=lambda images: classifier.logits(images.to(runtime.device)),
        gather=processes.gather,
    )
    if not processes.is_first:
        return
    if measure:
        metrics["error"] = _error(classifier, val_set, checkpoint, config, runtime)
        log.info(
            "error %.2f %% with the running averages, %.2f %% with the exact statistics",
            100 * (metrics["error_before"] or 0),
            100 * (metrics["error"] or 0),
        )
    weights = {name: value.cpu() for name, value in classifier.state_dict().items()}
    path = folder / "classifier.pt"
    replace(checkpoint, weights=weights, training={}).save(path)
    seconds = round(time.perf_counter() - began, 1)
    write_metrics(folder / "metrics.json", **metrics, images=len(train_set), seconds=seconds)
    log.info("%s: the statistics of %s; for a detector: weights=%s", path, train_set.report(), path)


def _open(
    config: DictConfig, split: str, checkpoint: ClassifierCheckpoint, *, images: int | None
) -> LabelledImages:
    dataset = open_labelled(
        root=Path(config.data.root),
        split=split,
        in_memory=config.data.in_memory,
        images=images,
    )
    return dataset.with_class_names(checkpoint.class_names)


def _error(
    classifier: Classifier,
    dataset: LabelledImages,
    checkpoint: ClassifierCheckpoint,
    config: DictConfig,
    runtime: Runtime,
) -> float | None:
    return measure_error(
        [classifier],
        dataset,
        build(checkpoint.views, trust=list(config.trust)),
        batch_size=config.batch_size,
        workers=runtime.workers,
        device=torch.device(runtime.device),
        precision="fp32",
    )["error"]
