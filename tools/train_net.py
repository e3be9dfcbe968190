"""Trains a detector: python tools/train_net.py data.root=/path/to/data weights=resnet.safetensors

Leaves in output_dir: best.pt, last.pt, log.jsonl, metrics.json, loss.png, tensorboard/, config.yaml
Several processes: torchrun --nproc-per-node=2 tools/train_net.py ...
"""

from __future__ import annotations

import logging
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import torch
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from detection.checkpoint import Checkpoint, build, load_weights
from detection.data.dataset import DetectionDataset
from detection.data.folder import open_folder
from detection.data.loader import BatchPlan, TrainingImages, training_loader
from detection.data.transforms import Augmentation, Resize
from detection.engine.distributed import Processes, processes
from detection.engine.evaluate import Scores, detect_dataset, measure
from detection.engine.log import TrainingLog
from detection.engine.metrics_file import write_metrics
from detection.engine.optim import sgd
from detection.engine.runtime import Runtime, set_up_runtime
from detection.engine.train import Metrics, train
from detection.inference.detector import Detector
from detection.model.faster_rcnn import FasterRCNN
from detection.model.frozen_bn import use_winograd
from detection.weights.backbone import initialise_backbone
from tools.launch import as_plain, launch

log = logging.getLogger("train")

# The numbers of a validation that the log and TensorBoard follow.
FOLLOWED = ("AP", "AP50", "AP75", "APs", "APm", "APl", "AR100")


def main(config: DictConfig) -> None:
    began = time.perf_counter()
    with processes(_device_type(config)) as own:
        if not own.is_first:
            logging.getLogger().setLevel(logging.WARNING)
        runtime = set_up_runtime(**config.runtime, local_rank=own.local_rank)
        _run(config, runtime, own, began)


def _run(config: DictConfig, runtime: Runtime, own: Processes, began: float) -> None:
    folder = Path(config.output_dir)
    train_set, val_set = _open_data(config.data)
    torch.manual_seed(config.seed)
    model_config = as_plain(config.model) | {"num_classes": len(train_set.class_names)}
    model = instantiate(OmegaConf.create(model_config), _convert_="all")
    assert isinstance(model, FasterRCNN)
    learning_rate = instantiate(config.schedule.learning_rate, _convert_="all")
    log.info("%s", learning_rate)
    rules = instantiate(config.schedule.rules)

    previous = _previous_run(folder, resume=config.resume)
    if previous:
        load_weights(model, previous.weights, source=str(folder / "last.pt"))
    else:
        _initialise(model, config, train_set)
    model.to(runtime.device)
    use_winograd(model, runtime.winograd)
    optimizer = sgd(model, **config.schedule.optimizer)
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

    validation = _Validation(config, model, model_config, val_set, runtime)
    writer = _Writer(folder, validation, train_set, optimizer, best)
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
    )
    training_log = TrainingLog(folder, start=start) if own.is_first else None
    if own.is_first:
        OmegaConf.save(config, folder / "config.yaml", resolve=True)
    try:
        train(
            model=model,
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
        )
    finally:
        if training_log:
            training_log.close()
    if own.is_first:
        validation.report(folder, seconds=time.perf_counter() - began)


def _device_type(config: DictConfig) -> str:
    automatic = "cuda" if torch.cuda.is_available() else "cpu"
    return automatic if config.runtime.device == "auto" else config.runtime.device.split(":")[0]


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
    val_set = val_set.with_class_names(train_set.class_names)
    for dataset in (train_set, val_set):
        log.info("%s", dataset.report())
    return train_set, val_set


def _previous_run(folder: Path, *, resume: bool) -> Checkpoint | None:
    last = folder / "last.pt"
    if resume:
        return Checkpoint.load(last)
    if last.exists():
        raise ValueError(
            f"{last} exists: go on from it with resume=true, or choose another output_dir"
        )
    return None


def _initialise(model: FasterRCNN, config: DictConfig, dataset: DetectionDataset) -> None:
    if config.weights and config.init:
        raise ValueError("weights= (a backbone) and init= (a detector) exclude each other")
    if config.weights:
        initialise_backbone(model.backbone, Path(config.weights))  # type: ignore[arg-type]
    elif config.init:
        given = Checkpoint.load(Path(config.init))
        if tuple(given.class_names) != dataset.class_names:
            raise ValueError(
                f"{config.init} knows the classes {', '.join(given.class_names)}; the data set has "
                f"{', '.join(dataset.class_names)}"
            )
        load_weights(model, given.weights, source=config.init)
    else:
        log.warning("no weights= given: training starts from random weights")


@dataclass
class _Validation:
    """Measures the model on the validation set; keeps the last result for the report."""

    config: DictConfig
    model: FasterRCNN
    model_config: dict[str, Any]
    dataset: DetectionDataset
    runtime: Runtime
    scores: Scores | None = None
    seconds: float = 0.0

    def __post_init__(self) -> None:
        data = self.config.data
        self.resize = {
            "_target_": f"{Resize.__module__}.{Resize.__name__}",
            "shorter_sides": [data.test_shorter_side],
            "longest": data.longest,
        }
        self.post_processing = as_plain(self.config.inference.post_processing)
        self.ground_truth = self.dataset.to_coco()

    def __call__(self) -> Metrics:
        began = time.perf_counter()
        detector = Detector(
            model=self.model,
            class_names=self.dataset.class_names,
            category_ids=self.dataset.category_ids,
            resize=build(self.resize),
            post_processing=build(self.post_processing),
            device=self.runtime.device,
            precision=self.runtime.precision,
        )
        detections = detect_dataset(
            detector,
            self.dataset,
            batch_size=self.config.inference.batch_size,
            workers=self.runtime.workers,
        )
        self.seconds = time.perf_counter() - began
        self.scores = measure(self.ground_truth, detections, backend=self.config.inference.backend)
        return {name: getattr(self.scores.coco, name) for name in FOLLOWED} | {
            "seconds_per_image": round(self.seconds / len(self.dataset), 4)
        }

    def report(self, folder: Path, *, seconds: float) -> None:
        """Prints the table of the last validation and leaves metrics.json."""
        if self.scores is None:  # resumed after the last iteration
            return
        log.info("\n%s", self.scores.table())
        write_metrics(
            folder / "metrics.json",
            coco=self.scores.coco.as_dict(),
            voc=self.scores.voc.as_dict(),
            seconds=round(seconds, 1),
            seconds_per_image=round(self.seconds / len(self.dataset), 4),
        )
        log.info("detector: %s   metrics: %s", folder / "best.pt", folder / "metrics.json")


@dataclass
class _Writer:
    """last.pt for resuming; best.pt, without the optimizer, whenever AP is the highest so far."""

    folder: Path
    validation: _Validation
    train_set: DetectionDataset
    optimizer: torch.optim.Optimizer
    best: float

    def __call__(self, iteration: int, metrics: Metrics | None) -> None:
        improved = metrics is not None and (metrics["AP"] or 0.0) > self.best
        if improved and metrics is not None:
            self.best = metrics["AP"] or 0.0
            self._save("best.pt", {"iteration": iteration, "best": self.best})
        training = {
            "iteration": iteration,
            "best": self.best,
            "optimizer": self.optimizer.state_dict(),
        }
        self._save("last.pt", training)

    def _save(self, name: str, training: dict[str, Any]) -> None:
        Checkpoint(
            weights=self.validation.model.state_dict(),
            model_config=self.validation.model_config,
            resize=self.validation.resize,
            post_processing=self.validation.post_processing,
            class_names=list(self.train_set.class_names),
            category_ids=list(self.train_set.category_ids),
            training=training,
        ).save(self.folder / name)


if __name__ == "__main__":
    launch(main, config="train")
