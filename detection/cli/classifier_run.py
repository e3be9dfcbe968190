"""Configuration -> the training run of a classifier."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import torch
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from detection.checkpoint import ClassifierCheckpoint
from detection.classification.classifier import Classifier
from detection.classification.images import LabelledImages, open_labelled
from detection.classification.loader import (
    TrainingCrops,
    ViewBatches,
    view_loader,
)
from detection.classification.validation import ErrorValidation
from detection.cli.crop_batches import crop_batches
from detection.cli.objects import as_plain, make
from detection.cli.resumed_settings import check_settings
from detection.cli.training_log import training_log
from detection.engine.distributed import Processes
from detection.engine.runtime import Runtime
from detection.engine.training_run import TrainingRun
from detection.model.pixels import PerPixelMean

log = logging.getLogger("train")


def classifier_run(config: DictConfig, runtime: Runtime, processes: Processes) -> TrainingRun:
    """The training of a classifier that configs/classifier.yaml says."""
    data = config.data
    measures_the_same = check_settings(Path(config.output_dir), config)
    train_set, val_set = _training_data(data)
    torch.manual_seed(config.seed)
    model_config = as_plain(config.model) | {"num_classes": len(train_set.class_names)}
    model = make(model_config)
    assert isinstance(model, Classifier)

    def initialise() -> dict[str, Any]:
        if isinstance(model.pixels, PerPixelMean):
            _fit_mean(model.pixels, data, train_set, runtime)
        return {}

    crops = TrainingCrops(train_set, crop=make(data.crop), seed=config.seed)

    return TrainingRun(
        folder=Path(config.output_dir),
        resume=config.resume,
        template=ClassifierCheckpoint(
            weights={},
            model_config=model_config,
            views=as_plain(data.views),
            class_names=list(train_set.class_names),
        ),
        model=model,
        network=model,
        initialise=initialise,
        optimizer=instantiate(config.schedule.optimizer, _convert_="all"),
        learning_rate=make(config.schedule.learning_rate),
        rules=make(config.schedule.rules),
        batches=crop_batches(crops, config, runtime, processes),
        validation=ErrorValidation(model, val_set, make(data.views), data.test_batch_size, runtime),
        runtime=runtime,
        processes=processes,
        seed=config.seed,
        settings=OmegaConf.to_yaml(config),
        training_log=training_log(config),
        overwrite=config.overwrite,
        command="train_classifier",
        measures_the_same=measures_the_same,
    )


def _training_data(data: DictConfig) -> tuple[LabelledImages, LabelledImages]:
    """The training and the validation set, both with the training set's classes."""

    def opened(split: str, images: int | None) -> LabelledImages:
        return open_labelled(
            root=Path(data.root), split=split, in_memory=data.in_memory, images=images
        )

    train_set = opened(data.train_split, data.train_images)
    if data.held_out is None:
        val_set = opened(data.val_split, data.val_images)
    else:
        train_set, val_set = train_set.divided(data.held_out)
    val_set = val_set.with_class_names(train_set.class_names)
    for dataset in (train_set, val_set):
        log.info("%s", dataset.report())
    return train_set, val_set


def _fit_mean(
    pixels: PerPixelMean, data: DictConfig, train_set: LabelledImages, runtime: Runtime
) -> None:
    """The mean image of the training set into ``pixels``."""
    seen = train_set.every(data.mean_over)
    log.info("the mean of %d training images", len(seen))
    loader = view_loader(
        seen, make(data.views), batch_size=data.test_batch_size, workers=runtime.workers
    )
    pixels.fit(ViewBatches(loader))
