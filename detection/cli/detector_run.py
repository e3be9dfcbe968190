"""Configuration -> the training run of a detector, or of one of its two networks."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import torch
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from detection.checkpoint import Checkpoint, trained_networks
from detection.cli.afterwards import report_of_training
from detection.cli.augmentation import augmentation
from detection.cli.objects import as_plain, make
from detection.cli.resumed_settings import check_settings
from detection.cli.training_data import TrainingData, open_training_data
from detection.cli.training_log import training_log
from detection.data.batch_plan import BatchPlan
from detection.data.dataset import DetectionDataset
from detection.data.loader import Batch, TrainingImages, training_loader
from detection.data.proposals_file import ProposalsFile
from detection.data.repeat_factors import repeat_factors
from detection.data.transforms import Resize
from detection.engine.distributed import Processes
from detection.engine.learnable import check_anchors, check_objects
from detection.engine.look_back import boxes_per_class
from detection.engine.precise_bn import average_statistics
from detection.engine.runtime import Runtime
from detection.engine.training_run import TrainingRun
from detection.engine.validation import DetectionValidation, ProposalValidation
from detection.engine.validation_pictures import ValidationPictures
from detection.inference.detector import Detector
from detection.model.alternating import network_to_train
from detection.model.faster_rcnn import FasterRCNN
from detection.model.frozen_bn import use_winograd
from detection.model.rpn import RPN
from detection.user_path import user_path
from detection.weights.initialise import InitialWeights, check_random_start

# In place of a file for weights=: none, although layers are fixed.
RANDOM = "random"


def detector_run(
    config: DictConfig,
    runtime: Runtime,
    processes: Processes,
    pictures: TrainingData | None = None,
) -> TrainingRun:
    """The training of a detector, or of one of its two networks, that configs/train.yaml says.

    ``pictures``: those that the configuration names, where they are open already.
    """
    measures_the_same = check_settings(Path(config.output_dir), config)
    pictures = pictures or open_training_data(config)
    train_set, val_set = pictures.train, pictures.val
    torch.manual_seed(config.seed)
    template = checkpoint_template(config, train_set.class_names, train_set.category_ids)
    model = make(template.model_config)
    assert isinstance(model, FasterRCNN)
    proposals, val_proposals = _proposals(config, train_set, val_set)
    network = network_to_train(
        model, train_only=config.train_only, shared_fixed=config.shared_fixed
    )
    use_winograd(model, runtime.winograd)
    model.regions_at_once = runtime.regions_at_once
    initial = first_weights(config)

    def initialise() -> dict[str, Any]:
        if initial.are_random and config.weights != RANDOM:
            check_random_start(model.backbone)  # type: ignore[arg-type]
        before = initial.load_into(model, train_set.class_names)
        trained = trained_networks(
            before, train_only=config.train_only, shared_fixed=config.shared_fixed
        )
        return {"trained": list(trained)} | ({"from_random": True} if initial.are_random else {})

    images = TrainingImages(
        train_set,
        augmentation=augmentation(config.data),
        ignore_crowd=config.data.ignore_crowd,
        ignore_difficult=config.data.ignore_difficult,
        seed=config.seed,
        proposals=proposals,
    )
    check_objects(images)
    if config.train_only != "fast_rcnn" and isinstance(model.rpn, RPN):
        check_anchors(images, model.rpn)
    batches = functools.partial(_batches, config, images, runtime, processes)
    update_bn_statistics = functools.partial(
        _update_bn_statistics, config, model, images, runtime, processes
    )
    validation = _validation(config, model, template, val_set, val_proposals, runtime)
    report = pictures_of = None
    if isinstance(validation, DetectionValidation):
        if config.validation.pictures:
            pictures_of = ValidationPictures(validation, config.validation.pictures)
        boxes = boxes_per_class(train_set)
        report = report_of_training(config, validation, boxes, str(runtime.device))
    given = (initial.backbone, config.init, config.proposals, config.val_proposals)
    return TrainingRun(
        folder=Path(config.output_dir),
        resume=config.resume,
        template=template,
        model=model,
        network=network,
        initialise=initialise,
        optimizer=instantiate(config.schedule.optimizer, _convert_="all"),
        learning_rate=make(config.schedule.learning_rate),
        rules=make(config.schedule.rules),
        batches=batches,
        validation=validation,
        report=report,
        runtime=runtime,
        processes=processes,
        seed=config.seed,
        settings=OmegaConf.to_yaml(config),
        files=pictures.files,
        training_log=training_log(config, pictures_of),
        update_bn_statistics=update_bn_statistics if config.schedule.precise_bn else None,
        overwrite=config.overwrite,
        command="train_net",
        measures_the_same=measures_the_same,
        reads=[Path(path) for path in given if path],
    )


def checkpoint_template(
    config: DictConfig, class_names: Sequence[str], category_ids: Sequence[int]
) -> Checkpoint:
    """A checkpoint of these classes without weights: what it says of the model and its input."""
    data = config.data
    return Checkpoint(
        weights={},
        model_config=as_plain(config.model) | {"num_classes": len(class_names)},
        resize={
            "_target_": f"{Resize.__module__}.{Resize.__name__}",
            "shorter_sides": [data.test_shorter_side],
            "longest": data.longest,
        },
        inference=as_plain(config.inference),
        class_names=list(class_names),
        category_ids=list(category_ids),
    )


def first_weights(config: DictConfig) -> InitialWeights:
    """What a new training starts from: the weights of a backbone or of a detector."""
    return InitialWeights(
        backbone=None if config.weights == RANDOM else _path(config.weights),
        entry=config.weights_entry,
        detector=_path(config.init),
        new_classes=config.init_new_classes,
    )


def _path(given: str | None) -> Path | None:
    return user_path(given) if given else None


def _proposals(
    config: DictConfig, train_set: DetectionDataset, val_set: DetectionDataset
) -> tuple[ProposalsFile | None, ProposalsFile | None]:
    """Those that Fast R-CNN is trained and validated on, where it is trained alone."""
    if config.train_only != "fast_rcnn":
        return None, None
    validated = config.val_proposals
    return (
        ProposalsFile(Path(config.proposals), train_set),
        ProposalsFile(Path(validated), val_set) if validated else None,
    )


def _validation(
    config: DictConfig,
    model: FasterRCNN,
    template: Checkpoint,
    dataset: DetectionDataset,
    proposals: ProposalsFile | None,
    runtime: Runtime,
) -> DetectionValidation | ProposalValidation:
    resize, inference = make(template.resize), make(template.inference)

    def detector() -> Detector:
        return Detector(
            models=[model],
            class_names=dataset.class_names,
            category_ids=dataset.category_ids,
            resize=resize,
            inference=inference,
            device=runtime.device,
            precision=runtime.precision,
        )

    batch_size = config.validation.batch_size
    if config.train_only == "rpn":
        return ProposalValidation(detector, dataset, batch_size, runtime.workers)
    return DetectionValidation(
        detector, dataset, proposals, batch_size, runtime.workers, config.validation.backend
    )


def _plan(
    config: DictConfig, images: TrainingImages, processes: Processes, **settings: int
) -> BatchPlan:
    threshold = config.data.repeat_threshold
    return BatchPlan(
        landscape=[example.size[1] >= example.size[0] for example in images.dataset.examples],
        shapes=images.shapes(),
        shorter_sides=list(config.data.shorter_sides) if config.data.size_step else None,
        repeats=repeat_factors(images.classes_shown(), threshold) if threshold else None,
        batch_size=config.schedule.batch_size,
        rank=processes.rank,
        world_size=processes.world_size,
        **settings,
    )


def _batches(
    config: DictConfig, images: TrainingImages, runtime: Runtime, processes: Processes, start: int
) -> Iterable[Batch]:
    """The mini-batches of the training from iteration ``start`` on."""
    iterations = config.schedule.rules.iterations
    plan = _plan(config, images, processes, iterations=iterations, seed=config.seed, start=start)
    pin_memory = runtime.device.type == "cuda"
    return training_loader(images, plan, workers=runtime.workers, pin_memory=pin_memory)


def _update_bn_statistics(
    config: DictConfig,
    model: FasterRCNN,
    images: TrainingImages,
    runtime: Runtime,
    processes: Processes,
) -> None:
    """BN statistics over mini-batches that are drawn with another seed than the training's."""
    iterations = config.schedule.precise_bn
    plan = _plan(config, images, processes, iterations=iterations, seed=config.seed + 1)
    average_statistics(
        model,
        training_loader(images, plan, workers=runtime.workers, pin_memory=False),
        device=runtime.device,
        precision=runtime.precision,
        show=processes.is_first,
    )
