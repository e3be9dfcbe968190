"""Configuration -> the training run of a localisation network."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import torch
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from detection.checkpoint import is_classifier, load_plain
from detection.cli.crop_batches import crop_batches
from detection.cli.located_data import located_training_data
from detection.cli.objects import as_plain, make
from detection.cli.resumed_settings import check_settings
from detection.cli.training_log import training_log
from detection.engine.distributed import Processes
from detection.engine.runtime import Runtime
from detection.engine.training_run import TrainingRun
from detection.localization.checkpoint import LocalizerCheckpoint
from detection.localization.crops import LocatedCrops
from detection.localization.localizer import Localizer
from detection.localization.validation import LocalizationValidation
from detection.model.pixels import PerPixelMean
from detection.user_path import user_path
from detection.weights.backbone_file import read_backbone
from detection.weights.by_name import weights_file
from detection.weights.initialise import (
    check_backbone_input,
    check_random_start,
    initialise_backbone,
)

log = logging.getLogger("train")

RANDOM = "random"


def localizer_run(config: DictConfig, runtime: Runtime, processes: Processes) -> TrainingRun:
    """The training of a localisation network that configs/localizer.yaml says."""
    data = config.data
    measures_the_same = check_settings(Path(config.output_dir), config)
    train_set, val_set = located_training_data(data)
    for dataset in (train_set, val_set):
        log.info("%s", dataset.report())
    torch.manual_seed(config.seed)
    model_config = as_plain(config.model) | {"num_classes": len(train_set.class_names)}
    model = make(model_config)
    assert isinstance(model, Localizer)
    weights = None if config.weights in (None, RANDOM) else user_path(config.weights)

    def initialise() -> dict[str, Any]:
        if weights is not None:
            _load_backbone(model, weights, config.weights_entry)
            return {}
        if isinstance(model.pixels, PerPixelMean):
            raise ValueError(
                "model/pixels=per_pixel_mean takes the mean image of a classifier: give weights=, "
                "or choose model/pixels=msra"
            )
        if config.weights != RANDOM:
            check_random_start(model.backbone)  # type: ignore[arg-type]
        log.warning("no weights= given: training starts from random weights")
        return {"from_random": True}

    crops = LocatedCrops(
        train_set, crop=make(data.crop), min_visible=data.min_visible, seed=config.seed
    )

    return TrainingRun(
        folder=Path(config.output_dir),
        resume=config.resume,
        template=LocalizerCheckpoint(
            weights={},
            model_config=model_config,
            views=as_plain(data.views),
            choice=as_plain(config.choice),
            class_names=list(train_set.class_names),
        ),
        model=model,
        network=model,
        initialise=initialise,
        optimizer=instantiate(config.schedule.optimizer, _convert_="all"),
        learning_rate=make(config.schedule.learning_rate),
        rules=make(config.schedule.rules),
        batches=crop_batches(crops, config, runtime, processes),
        validation=LocalizationValidation(
            model, val_set, make(data.views), make(config.choice), data.test_batch_size, runtime
        ),
        runtime=runtime,
        processes=processes,
        seed=config.seed,
        settings=OmegaConf.to_yaml(config),
        training_log=training_log(config),
        overwrite=config.overwrite,
        command="train_localizer",
        measures_the_same=measures_the_same,
        reads=[weights] if weights else [],
    )


def _load_backbone(model: Localizer, weights: Path, entry: str | None) -> None:
    path = weights_file(weights, kind="backbone")
    backbone: Any = model.backbone
    file = read_backbone(path, backbone, entry=entry)
    if isinstance(model.pixels, PerPixelMean):
        _take_mean(model.pixels, path)
    else:
        check_backbone_input(file, pixels=model.pixels, backbone=backbone)  # type: ignore[arg-type]
    initialise_backbone(backbone, file)


def _take_mean(pixels: PerPixelMean, path: Path) -> None:
    """The mean image that the classifier in ``path`` was trained with."""
    content = load_plain(path)
    mean = content["weights"].get("pixels.mean") if is_classifier(content) else None
    if mean is None or mean.shape != pixels.mean.shape:
        has = "has none" if mean is None else f"has one of {mean.shape[1]}x{mean.shape[0]}"
        raise ValueError(
            f"{path}: {has}, and model/pixels=per_pixel_mean takes the classifier's mean image of "
            f"{len(pixels.mean)}x{len(pixels.mean)}: choose model/pixels=msra, or torchvision"
        )
    pixels.mean.copy_(mean)
