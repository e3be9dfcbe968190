"""Trains a detector: python tools/train_net.py data.root=/path/to/data weights=resnet.safetensors

One half of the detector alone (the four steps of alternating training: tools/train_alternating.py):
part=rpn, or part=fast_rcnn proposals=train.safetensors val_proposals=val.safetensors

Leaves in output_dir: best.pt, last.pt, log.jsonl, metrics.json, loss.png, tensorboard/, config.yaml
Several processes: torchrun --nproc-per-node=2 tools/train_net.py ...
"""

from __future__ import annotations

import functools
import logging
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from detection.checkpoint import HALVES, Checkpoint, build, load_weights
from detection.cli.launch import as_plain, check_classes, device_type, previous_run
from detection.data.dataset import DetectionDataset
from detection.data.formats.open import open_folder
from detection.data.loader import BatchPlan, TrainingImages, training_loader
from detection.data.proposals_file import ProposalsFile
from detection.data.transforms import Augmentation, Resize
from detection.engine.distributed import Processes, processes
from detection.engine.evaluate import Scores, detect_dataset, measure
from detection.engine.log import TrainingLog
from detection.engine.metrics_file import write_metrics
from detection.engine.precise_bn import average_statistics
from detection.engine.propose import measure_proposals
from detection.engine.runtime import Runtime, set_up_runtime
from detection.engine.train import train
from detection.evaluation.table import recall_line
from detection.inference.detector import Detector
from detection.model.alternating import network_to_train
from detection.model.faster_rcnn import FasterRCNN
from detection.model.frozen_bn import use_winograd
from detection.structures import Metrics
from detection.weights.initialise import check_backbone_input, initialise_backbone
from detection.weights.input_format import InputFormat, check_input_format

log = logging.getLogger("train")

SIBLINGS = ("roi_head.logits.", "roi_head.deltas.")  # the layers that depend on the classes
# The numbers of a validation that the log and TensorBoard follow.
FOLLOWED = ("AP", "AP50", "AP75", "APs", "APm", "APl", "AR100")


def main(config: DictConfig) -> None:
    began = time.perf_counter()
    with processes(device_type(config)) as own:
        if not own.is_first:
            logging.getLogger().setLevel(logging.WARNING)
        runtime = set_up_runtime(**config.runtime, local_rank=own.local_rank)
        run(config, runtime, own, began)


def run(config: DictConfig, runtime: Runtime, own: Processes, began: float) -> None:
    """One training by one of the processes; ``began``: when it did, for the report."""
    folder = Path(config.output_dir)
    train_set, val_set = _open_data(config.data)
    torch.manual_seed(config.seed)
    model_config = as_plain(config.model) | {"num_classes": len(train_set.class_names)}
    model = instantiate(OmegaConf.create(model_config), _convert_="all")
    assert isinstance(model, FasterRCNN)
    learning_rate = instantiate(config.schedule.learning_rate, _convert_="all")
    log.info("%s", learning_rate)
    rules = instantiate(config.schedule.rules)
    proposals, val_proposals = _open_proposals(config, train_set, val_set)
    part = network_to_train(
        model,
        train_only=None if config.part == "joint" else config.part,
        shared_fixed=config.shared_fixed,
    )

    previous = previous_run(folder, Checkpoint, resume=config.resume)
    if previous:
        check_classes(previous, train_set.class_names, folder=folder)
        load_weights(model, previous.weights, source=str(folder / "last.pt"))
        trained = previous.trained
    else:
        before = _initialise(model, config, train_set)
        if config.part == "joint":
            trained = HALVES
        elif config.shared_fixed:
            trained = tuple(half for half in HALVES if half in before or half == config.part)
        else:  # the layers that the other half was trained on change under it
            trained = (config.part,)
    model.to(runtime.device)
    use_winograd(model, runtime.winograd)
    optimizer = instantiate(config.schedule.optimizer, _convert_="all")(model)
    start, best = 0, -1.0
    if previous:
        start, best = previous.training["iteration"], previous.training["best"]
        optimizer.load_state_dict(previous.training["optimizer"])
        log.info("resumed at iteration %d of %d", start, rules.iterations)
    log.info(
        "%s on %s in %s, %d processes, %d parameters that learn",
        type(model.backbone).__name__,
        runtime.device,
        runtime.precision,
        own.world_size,
        sum(p.numel() for p in model.parameters() if p.requires_grad),
    )

    validation = _Validation(config, model, model_config, val_set, val_proposals, runtime)
    writer = _Writer(folder, validation, train_set, optimizer, trained, best)
    plan = BatchPlan(
        landscape=[example.size[1] >= example.size[0] for example in train_set.examples],
        batch_size=config.schedule.batch_size,
        iterations=rules.iterations,
        seed=config.seed,
        start=start,
        rank=own.rank,
        world_size=own.world_size,
    )
    images = TrainingImages(
        train_set,
        augmentation=Augmentation(
            resize=Resize(
                shorter_sides=list(config.data.shorter_sides), longest=config.data.longest
            ),
            flip_probability=config.data.flip_probability,
        ),
        ignore_crowd=config.data.ignore_crowd,
        ignore_difficult=config.data.ignore_difficult,
        seed=config.seed,
        proposals=proposals,
    )
    settle = functools.partial(_settle, config, model, images, runtime, own)
    training_log = TrainingLog(folder, start=start) if own.is_first else None
    if own.is_first:
        OmegaConf.save(config, folder / "config.yaml", resolve=True)
    try:
        train(
            model=part,
            batches=training_loader(
                images,
                plan,
                workers=runtime.workers,
                pin_memory=runtime.device.type == "cuda",
            ),
            optimizer=optimizer,
            learning_rate=learning_rate,
            rules=rules,
            start=start,
            seed=config.seed,
            device=runtime.device,
            precision=runtime.precision,
            own=own,
            log=training_log,
            evaluate=validation,
            save=writer,
            unmeasured=previous is not None and not previous.training.get("measured", True),
            settle=settle if config.schedule.precise_bn else None,
        )
    finally:
        if training_log:
            training_log.close()
    if own.is_first:
        validation.report(folder, seconds=time.perf_counter() - began)


def _settle(
    config: DictConfig,
    model: FasterRCNN,
    images: TrainingImages,
    runtime: Runtime,
    own: Processes,
) -> None:
    """BN statistics over mini-batches drawn otherwise than those of the training."""
    plan = BatchPlan(
        landscape=[e.size[1] >= e.size[0] for e in images.dataset.examples],
        batch_size=config.schedule.batch_size,
        iterations=config.schedule.precise_bn,
        seed=config.seed + 1,
        rank=own.rank,
        world_size=own.world_size,
    )
    average_statistics(
        model,
        training_loader(images, plan, workers=runtime.workers, pin_memory=False),
        device=runtime.device,
        precision=runtime.precision,
        show=own.is_first,
    )


def _open_data(config: DictConfig) -> tuple[DetectionDataset, DetectionDataset]:
    """The training and the validation set, both with the training set's labels."""
    train_set, val_set = (
        open_folder(
            root=Path(config.root),
            split=split,
            classes=config.classes,
            invalid_boxes=config.invalid_boxes,
        )
        for split in (config.train_split, config.val_split)
    )
    for dataset in (train_set, val_set):
        if not dataset.annotated:
            raise ValueError(f"{dataset.source} is not annotated: choose another split")
    val_set = val_set.with_class_names(train_set.class_names)
    if not config.train_on_empty:
        train_set = train_set.without_empty()
    for dataset in (train_set, val_set):
        log.info("%s", dataset.report())
    return train_set, val_set


def _open_proposals(
    config: DictConfig, train_set: DetectionDataset, val_set: DetectionDataset
) -> tuple[ProposalsFile | None, ProposalsFile | None]:
    """Those that Fast R-CNN is trained and validated on, where it is trained alone."""
    if config.part != "fast_rcnn":
        if config.proposals or config.val_proposals:
            raise ValueError(f"proposals= are for part=fast_rcnn; part={config.part} makes its own")
        return None, None
    if not config.proposals:
        raise ValueError(
            "part=fast_rcnn learns on proposals of data.train_split: give "
            "proposals=<.safetensors>, which tools/propose.py writes"
        )
    train = ProposalsFile(Path(config.proposals), train_set)
    if config.val_proposals:
        return train, ProposalsFile(Path(config.val_proposals), val_set)
    if not config.shared_fixed:
        raise ValueError(
            "part=fast_rcnn changes the features that the RPN works on: give "
            "val_proposals=<.safetensors> of data.val_split, or fix the shared layers with "
            "shared_fixed=true"
        )
    return train, None


def _initialise(
    model: FasterRCNN, config: DictConfig, dataset: DetectionDataset
) -> tuple[str, ...]:
    """Returns which of the detector's halves have been trained before."""
    if config.weights and config.init:
        raise ValueError("weights= (a backbone) and init= (a detector) exclude each other")
    if config.weights:
        check_backbone_input(
            Path(config.weights),
            pixels=model.pixels,
            backbone=model.backbone,  # type: ignore[arg-type]
        )
        initialise_backbone(model.backbone, Path(config.weights))  # type: ignore[arg-type]
    elif config.init:
        given = Checkpoint.load(Path(config.init))
        weights = given.weights
        if config.init_new_classes:
            own = model.state_dict()
            weights = {
                name: own[name] if name.startswith(SIBLINGS) else value
                for name, value in weights.items()
            }
        elif tuple(given.class_names) != dataset.class_names:
            raise ValueError(
                f"{config.init} knows the classes {', '.join(given.class_names)}; the data set has "
                f"{', '.join(dataset.class_names)}: to learn these on the other's layers, set "
                "init_new_classes=true"
            )
        load_weights(model, weights, source=config.init)
        check_input_format(
            InputFormat.of_model(given.model_config, given.weights),
            pixels=model.pixels,
            backbone=model.backbone,
            source=config.init,
        )
        new = ("fast_rcnn",) if config.init_new_classes else ()
        return tuple(half for half in given.trained if half not in new)
    else:
        log.warning("no weights= given: training starts from random weights")
    return ()


@dataclass
class _Validation:
    """Measures the model on the validation set; keeps the last result for the report."""

    config: DictConfig
    model: FasterRCNN
    model_config: dict[str, Any]
    dataset: DetectionDataset
    proposals: ProposalsFile | None
    runtime: Runtime
    scores: Scores | None = None
    recall: Metrics | None = None
    seconds: float = 0.0

    def __post_init__(self) -> None:
        data = self.config.data
        self.resize = {
            "_target_": f"{Resize.__module__}.{Resize.__name__}",
            "shorter_sides": [data.test_shorter_side],
            "longest": data.longest,
        }
        self.inference = as_plain(self.config.inference)
        self.ground_truth = self.dataset.to_coco()

    def __call__(self) -> Metrics:
        began = time.perf_counter()
        detector = Detector(
            models=[self.model],
            class_names=self.dataset.class_names,
            category_ids=self.dataset.category_ids,
            resize=build(self.resize),
            inference=build(self.inference),
            device=self.runtime.device,
            precision=self.runtime.precision,
        )
        metrics = self._recall(detector) if self.config.part == "rpn" else self._ap(detector)
        self.seconds = time.perf_counter() - began
        return metrics | {"seconds_per_image": round(self.seconds / len(self.dataset), 4)}

    def _recall(self, detector: Detector) -> Metrics:
        self.recall = measure_proposals(
            detector,
            self.dataset,
            batch_size=self.config.validation.batch_size,
            workers=self.runtime.workers,
        )
        return self.recall

    def _ap(self, detector: Detector) -> Metrics:
        detections = detect_dataset(
            detector,
            self.dataset,
            batch_size=self.config.validation.batch_size,
            workers=self.runtime.workers,
            proposals=self.proposals,
        )
        self.scores = measure(self.ground_truth, detections, backend=self.config.validation.backend)
        return {name: getattr(self.scores.coco, name) for name in FOLLOWED}

    def report(self, folder: Path, *, seconds: float) -> None:
        """Prints the table of the last validation and leaves metrics.json."""
        if self.scores is not None:
            log.info("\n%s", self.scores.table())
            entries = {"coco": self.scores.coco.as_dict(), "voc": self.scores.voc.as_dict()}
        elif self.recall is not None:
            log.info("\n%s", recall_line(self.recall))
            entries = {"proposals": self.recall}
        else:  # resumed after the last iteration
            return
        write_metrics(
            folder / "metrics.json",
            **entries,
            seconds=round(seconds, 1),
            seconds_per_image=round(self.seconds / len(self.dataset), 4),
        )
        log.info("detector: %s   metrics: %s", folder / "best.pt", folder / "metrics.json")


@dataclass
class _Writer:
    """last.pt for resuming; best.pt, without the optimizer, whenever AP is the highest so far.

    Of an RPN that is trained alone, AR300.
    """

    folder: Path
    validation: _Validation
    train_set: DetectionDataset
    optimizer: torch.optim.Optimizer
    trained: tuple[str, ...]
    best: float

    def __call__(self, iteration: int, metrics: Metrics | None) -> None:
        reached = -1.0
        if metrics is not None:
            reached = metrics["AR300" if self.validation.config.part == "rpn" else "AP"] or 0.0
        if reached > self.best:
            self.best = reached
            self._save("best.pt", {"iteration": iteration, "best": self.best})
        training = {
            "iteration": iteration,
            "measured": metrics is not None,
            "best": self.best,
            "optimizer": self.optimizer.state_dict(),
        }
        self._save("last.pt", training)

    def _save(self, name: str, training: dict[str, Any]) -> None:
        Checkpoint(
            weights=self.validation.model.state_dict(),
            model_config=self.validation.model_config,
            resize=self.validation.resize,
            inference=self.validation.inference,
            class_names=list(self.train_set.class_names),
            category_ids=list(self.train_set.category_ids),
            training=training | {"trained": list(self.trained)},
        ).save(self.folder / name)
