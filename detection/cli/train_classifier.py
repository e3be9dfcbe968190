"""Trains a classifier: python tools/train_classifier.py data.root=/path/to/imagenet

CIFAR-10: python tools/train_classifier.py experiment=classification/cifar data.root=/path/to/it
Leaves in output_dir: best.pt, last.pt, log.jsonl, metrics.json, loss.png, tensorboard/, config.yaml
A detector starts from it: python tools/train_net.py weights=outputs/classifier/best.pt ...
Several processes: torchrun --nproc-per-node=2 tools/train_classifier.py ...
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from detection.checkpoint import ClassifierCheckpoint, build, load_weights
from detection.classification.classifier import Classifier
from detection.classification.evaluate import measure_error
from detection.classification.images import LabelledImages, open_labelled
from detection.classification.loader import TrainingCrops, ViewBatches, crop_loader, view_loader
from detection.cli.launch import as_plain, check_classes, device_type, previous_run
from detection.data.loader import BatchPlan
from detection.engine.distributed import Processes, processes
from detection.engine.log import TrainingLog
from detection.engine.metrics_file import write_metrics
from detection.engine.runtime import Runtime, set_up_runtime
from detection.engine.schedules import Schedule
from detection.engine.train import train
from detection.model.pixels import PerPixelMean
from detection.structures import Metrics

log = logging.getLogger("classifier")


def main(config: DictConfig) -> None:
    began = time.perf_counter()
    with processes(device_type(config)) as own:
        if not own.is_first:
            logging.getLogger().setLevel(logging.WARNING)
        runtime = set_up_runtime(**config.runtime, local_rank=own.local_rank)
        # All mini-batches are of one size here: searching the best algorithm is worth it.
        torch.backends.cudnn.benchmark = not config.runtime.deterministic
        _run(config, runtime, own, began)


def _run(config: DictConfig, runtime: Runtime, own: Processes, began: float) -> None:
    folder = Path(config.output_dir)
    previous = previous_run(folder, ClassifierCheckpoint, resume=config.resume)
    train_set, val_set = _open_data(config.data)
    torch.manual_seed(config.seed)
    model_config = as_plain(config.model) | {"num_classes": len(train_set.class_names)}
    model = instantiate(OmegaConf.create(model_config), _convert_="all")
    assert isinstance(model, Classifier)
    learning_rate = instantiate(config.schedule.learning_rate, _convert_="all")
    assert isinstance(learning_rate, Schedule)
    log.info("%s", learning_rate)
    rules = instantiate(config.schedule.rules)
    if previous:
        check_classes(previous, train_set.class_names, folder=folder)
        load_weights(model, previous.weights, source=str(folder / "last.pt"))
    elif isinstance(model.pixels, PerPixelMean):
        _fit_mean(model.pixels, config.data, train_set, runtime)
    model.to(runtime.device)
    optimizer = instantiate(config.schedule.optimizer, _convert_="all")(model)
    start, lowest = 0, float("inf")
    if previous:
        start, lowest = previous.training["iteration"], previous.training["lowest"]
        optimizer.load_state_dict(previous.training["optimizer"])
        learning_rate.restore(previous.training["schedule"])
        log.info("resumed at iteration %d of %d", start, rules.iterations)
    log.info(
        "%s on %s in %s, %d processes, %d parameters",
        type(model.backbone).__name__,
        runtime.device,
        runtime.precision,
        own.world_size,
        sum(p.numel() for p in model.parameters()),
    )

    validation = _Validation(config, model, val_set, runtime)
    writer = _Writer(folder, config, model_config, model, train_set, optimizer, learning_rate)
    writer.lowest = lowest
    plan = BatchPlan(
        landscape=[True] * len(train_set),
        batch_size=config.schedule.batch_size,
        iterations=rules.iterations,
        seed=config.seed,
        start=start,
        rank=own.rank,
        world_size=own.world_size,
    )
    crops = TrainingCrops(
        train_set, crop=instantiate(config.data.crop, _convert_="all"), seed=config.seed
    )
    training_log = TrainingLog(folder, start=start) if own.is_first else None
    if own.is_first:
        OmegaConf.save(config, folder / "config.yaml", resolve=True)
    try:
        train(
            model=model,
            batches=crop_loader(
                crops,
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
        )
    finally:
        if training_log:
            training_log.close()
    if own.is_first and validation.last:
        seconds = time.perf_counter() - began
        write_metrics(
            folder / "metrics.json",
            **validation.last,
            lowest_error=writer.lowest,
            seconds=round(seconds, 1),
        )
        log.info(
            "error %.2f %% (lowest %.2f %%) after %.1f minutes; classifier: %s",
            100 * (validation.last["error"] or 0),
            100 * writer.lowest,
            seconds / 60,
            folder / "best.pt",
        )


def _open_data(config: DictConfig) -> tuple[LabelledImages, LabelledImages]:
    """The training and the validation set, both with the training set's classes."""
    train_set, val_set = (
        open_labelled(
            root=Path(config.root), split=split, in_memory=config.in_memory, images=images
        )
        for split, images in (
            (config.train_split, config.train_images),
            (config.val_split, config.val_images),
        )
    )
    val_set = val_set.with_class_names(train_set.class_names)
    for dataset in (train_set, val_set):
        log.info("%s", dataset.report())
    return train_set, val_set


def _fit_mean(
    pixels: PerPixelMean, config: DictConfig, train_set: LabelledImages, runtime: Runtime
) -> None:
    seen = train_set.every(config.mean_over)
    log.info("the mean of %d training images", len(seen))
    views = instantiate(config.views, _convert_="all")
    pixels.fit(
        ViewBatches(
            view_loader(seen, views, batch_size=config.test_batch_size, workers=runtime.workers)
        )
    )


@dataclass
class _Validation:
    """Measures the error on the validation set; keeps the last result for the report."""

    config: DictConfig
    model: Classifier
    dataset: LabelledImages
    runtime: Runtime
    last: Metrics | None = None

    def __call__(self) -> Metrics:
        self.last = measure_error(
            self.model,
            self.dataset,
            build(as_plain(self.config.data.views)),
            batch_size=self.config.data.test_batch_size,
            workers=self.runtime.workers,
            device=self.runtime.device,
            precision=self.runtime.precision,
        )
        return self.last


@dataclass
class _Writer:
    """last.pt for resuming; best.pt, without the optimizer, whenever the error is the lowest."""

    folder: Path
    config: DictConfig
    model_config: dict[str, Any]
    model: Classifier
    train_set: LabelledImages
    optimizer: torch.optim.Optimizer
    learning_rate: Schedule
    lowest: float = float("inf")

    def __call__(self, iteration: int, metrics: Metrics | None) -> None:
        error = metrics["error"] if metrics else None
        if error is not None and error < self.lowest:
            self.lowest = error
            self._save("best.pt", {"iteration": iteration, "lowest": self.lowest})
        training = {
            "iteration": iteration,
            "measured": metrics is not None,
            "lowest": self.lowest,
            "optimizer": self.optimizer.state_dict(),
            "schedule": self.learning_rate.state(),
        }
        self._save("last.pt", training)

    def _save(self, name: str, training: dict[str, Any]) -> None:
        ClassifierCheckpoint(
            weights=self.model.state_dict(),
            model_config=self.model_config,
            views=as_plain(self.config.data.views),
            class_names=list(self.train_set.class_names),
            training=training,
        ).save(self.folder / name)
