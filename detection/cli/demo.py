"""The whole paper in small: pre-train, fix the BN statistics, train the detector, test, detect.

python tools/demo.py            (or: make demo)

Calls the other tools one after the other.  Leaves in output_dir: metrics.json, detections.jpg,
classifier/, bn_statistics/ and detector/ as the tools leave them, the last one with report.html,
photos/, detected/, and data/ and objects/, the generated data sets.  overwrite=true replaces them,
but the data set of data/, which is the same again.  A folder with files of yours in photos/ or
objects/ is refused.
"""

from __future__ import annotations

import logging
import shutil
import time
from pathlib import Path

from omegaconf import DictConfig

from detection.classification.object_crops import write_object_crops
from detection.cli import bn_statistics, detect, train_classifier, train_net
from detection.cli.compose import check_overrides, compose_config
from detection.cli.demo_report import read_metrics, write_report
from detection.data.dataset import DetectionDataset
from detection.data.formats.open import open_dataset
from detection.engine.folder_lock import read_marker
from detection.engine.output_folder import OutputFolder
from detection.shapes.dataset import generate

log = logging.getLogger("demo")

DIGITS = 6 * "[0-9]"  # the generated files are numbered


def main(config: DictConfig) -> None:
    check_overrides("pretraining.classifier", "classifier", config.pretraining.classifier)
    check_overrides("detector", "train", config.detector)
    output = OutputFolder(
        path=Path(config.output_dir),
        command="demo",
        files=("metrics.json", "detections.jpg"),
        patterns=[
            *(f"{folder}/val_{DIGITS}.jpg" for folder in ("photos", "detected/drawn")),
            f"objects/*/*/{DIGITS}.png",
        ],
        runs=("classifier", "bn_statistics", "detector", "detected"),
        own_folders=("photos", "objects"),
        can_resume=False,
    )
    before = read_marker(output.path) or {}
    with output.taken(overwrite=config.overwrite):
        if before.get("command") == output.command:
            _remove_staging(output.path)
        _run(config, output.path)


def _run(config: DictConfig, folder: Path) -> None:
    began = time.perf_counter()
    _say(1, "generating the data set `shapes`")
    data = generate(
        root=folder / "data",
        splits=dict(config.shapes.splits),
        seed=config.seed,
        image_side=config.shapes.image_side,
    )
    train_set, val_set = (
        open_dataset(root=data, split=split, classes=None, invalid_boxes="error")
        for split in ("train", "val")
    )

    _say(2, "pre-training a classifier on the objects, cut out; then its exact BN statistics")
    crops = _write_crops(config, folder / "objects", {"train": train_set, "val": val_set})
    rule = config.pretraining
    train_classifier.main(
        _composed(config, "classifier", folder / "classifier", [
            f"data.crop.side={rule.crop_side}",
            *rule.classifier,
            f"data.root={folder / 'objects'}",
            f"seed={config.seed}",
            f"schedule.batch_size={rule.batch_size}",
            f"schedule.rules.iterations={rule.epochs * max(crops // rule.batch_size, 1)}",
        ])
    )  # fmt: skip
    bn_statistics.main(
        _composed(config, "bn_statistics", folder / "bn_statistics", [
            f"checkpoint={folder / 'classifier' / 'last.pt'}",
            f"data.root={folder / 'objects'}",
            "data.val_split=val",
            "data.in_memory=true",
            f"data.images={min(rule.statistics_images, crops)}",
        ])
    )  # fmt: skip
    top1 = 1 - read_metrics(folder / "bn_statistics")["error"]
    log.info("top-1 accuracy on the objects of val: %.1f %%", 100 * top1)

    _say(3, "training the detector on it")
    train_net.main(
        _composed(config, "train", folder / "detector", [
            *config.detector,
            f"data.root={data}",
            f"weights={folder / 'bn_statistics' / 'classifier.pt'}",
            f"seed={config.seed}",
        ])
    )  # fmt: skip

    _say(4, "detecting in a folder of pictures")
    (folder / "photos").mkdir(parents=True, exist_ok=True)
    for example in val_set.examples[: config.photos]:
        shutil.copy(example.path, folder / "photos")
    detect.main(
        _composed(config, "detect", folder / "detected", [
            f"checkpoint={folder / 'detector' / 'best.pt'}",
            f"images={folder / 'photos'}",
        ])
    )  # fmt: skip
    seconds = time.perf_counter() - began
    write_report(folder, val_set, photos=config.photos, top1=top1, seconds=seconds)


def _remove_staging(folder: Path) -> None:
    """What a demo that was killed while it generated its data set left of it."""
    for staging in folder.glob(".data-????????"):
        if [path.name for path in staging.iterdir()] == ["data"]:
            shutil.rmtree(staging)


def _say(number: int, what: str) -> None:
    log.info("\n[%d/4] %s", number, what)


def _composed(config: DictConfig, command: str, output: Path, overrides: list[str]) -> DictConfig:
    """The configuration of another command, under the runtime of this one."""
    runtime = [f"runtime.{key}={value}" for key, value in config.runtime.items()]
    return compose_config(command, [*overrides, f"output_dir={output}", *runtime])


def _write_crops(config: DictConfig, folder: Path, splits: dict[str, DetectionDataset]) -> int:
    """Leaves folder/train and folder/val; returns how many crops there are to train on."""
    rule = config.pretraining
    low, high = rule.context
    counts = {
        split: write_object_crops(
            dataset,
            folder / split,
            side=rule.crop_side,
            context=(low, high),
            per_object=rule.per_object,
            ground_per_object=rule.ground_per_object,
            seed=config.seed,
        )
        for split, dataset in splits.items()
    }
    return counts["train"]
