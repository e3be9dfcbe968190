"""The whole paper in small: pre-train, fix the BN statistics, train the detector, test, detect.

python tools/demo.py            (or: make demo)

Calls the other tools one after the other.  Leaves in output_dir: summary.html, metrics.json,
classifier/, bn_statistics/ and detector/ as the tools leave them, photos/, detected/, and data/ and
objects/, the generated data sets.
"""

from __future__ import annotations

import json
import logging
import shutil
import sys
import time
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from omegaconf import DictConfig

from detection.classification.object_crops import write_object_crops
from detection.cli import bn_statistics, detect, train_classifier, train_net
from detection.cli.launch import compose_config
from detection.data.dataset import DetectionDataset
from detection.data.formats.open import open_folder
from detection.engine.metrics_file import write_metrics
from detection.shapes.dataset import generate
from detection.visualization.contact_sheet import contact_sheet
from detection.visualization.summary import Summary, write_summary

log = logging.getLogger("demo")


def main(config: DictConfig) -> None:
    began = time.perf_counter()
    folder = Path(config.output_dir)
    # The data set stays: it is the same again, and takes a while to draw.
    for name in ("objects", "classifier", "bn_statistics", "detector", "photos", "detected"):
        shutil.rmtree(folder / name, ignore_errors=True)

    _step(1, "generating the data set `shapes`")
    data = folder / "data"
    generate(
        root=data,
        splits=dict(config.shapes.splits),
        seed=config.seed,
        image_side=config.shapes.image_side,
    )
    train_set, val_set = (
        open_folder(root=data, split=split, classes=None, invalid_boxes="error")
        for split in ("train", "val")
    )

    _step(2, "pre-training a classifier on the objects, cut out; then its exact BN statistics")
    crops = _write_crops(config, folder / "objects", train_set, val_set)
    train_classifier.main(_classifier_config(config, folder, crops))
    bn_statistics.main(_bn_statistics_config(config, folder, crops))
    classified = json.loads((folder / "bn_statistics" / "metrics.json").read_text())
    top1 = 1 - classified["error"]
    log.info("top-1 accuracy on the objects of val: %.1f %%", 100 * top1)

    _step(3, "training the detector on it")
    train_net.main(_train_config(config, folder))
    trained = json.loads((folder / "detector" / "metrics.json").read_text())

    _step(4, "detecting in a folder of pictures")
    _copy_photos(val_set, folder / "photos", config.photos)
    detect.main(_detect_config(config, folder))
    sheet = contact_sheet(_drawn(folder), columns=4, width=1600)
    cv2.imwrite(str(folder / "detections.jpg"), sheet)

    seconds = time.perf_counter() - began
    write_metrics(
        folder / "metrics.json",
        coco=trained["coco"],
        voc=trained["voc"],
        pretraining_top1=top1,
        seconds=round(seconds, 1),
    )
    _report(folder, trained, top1, seconds)


def _step(number: int, what: str) -> None:
    log.info("\n[%d/4] %s", number, what)


def _classifier_config(config: DictConfig, folder: Path, crops: int) -> DictConfig:
    rule = config.pretraining
    return compose_config(
        "classifier",
        [
            *rule.classifier,
            f"data.root={folder / 'objects'}",
            f"output_dir={folder / 'classifier'}",
            f"seed={config.seed}",
            f"schedule.batch_size={rule.batch_size}",
            f"schedule.rules.iterations={rule.epochs * max(crops // rule.batch_size, 1)}",
            *_runtime(config),
        ],
    )


def _bn_statistics_config(config: DictConfig, folder: Path, crops: int) -> DictConfig:
    return compose_config(
        "bn_statistics",
        [
            f"checkpoint={folder / 'classifier' / 'last.pt'}",
            f"data.root={folder / 'objects'}",
            "data.val_split=val",
            "data.in_memory=true",
            # Every layer costs a pass over them.
            f"data.images={crops // config.pretraining.per_object}",
            f"output_dir={folder / 'bn_statistics'}",
            *_runtime(config),
        ],
    )


def _train_config(config: DictConfig, folder: Path) -> DictConfig:
    return compose_config(
        "train",
        [
            *config.detector,
            f"data.root={folder / 'data'}",
            f"weights={folder / 'bn_statistics' / 'classifier.pt'}",
            f"output_dir={folder / 'detector'}",
            f"seed={config.seed}",
            *_runtime(config),
        ],
    )


def _detect_config(config: DictConfig, folder: Path) -> DictConfig:
    return compose_config(
        "detect",
        [
            f"checkpoint={folder / 'detector' / 'best.pt'}",
            f"images={folder / 'photos'}",
            f"output_dir={folder / 'detected'}",
            *_runtime(config),
        ],
    )


def _runtime(config: DictConfig) -> list[str]:
    return [f"runtime.{key}={value}" for key, value in config.runtime.items()]


def _write_crops(
    config: DictConfig, folder: Path, train_set: DetectionDataset, val_set: DetectionDataset
) -> int:
    """Leaves folder/train and folder/val; returns how many crops there are to train on."""
    rule = config.pretraining
    low, high = rule.context
    train, _ = (
        write_object_crops(
            dataset,
            folder / split,
            side=rule.crop_side,
            context=(low, high),
            per_object=rule.per_object,
            seed=config.seed,
        )
        for split, dataset in (("train", train_set), ("val", val_set))
    )
    return train


def _copy_photos(dataset: DetectionDataset, folder: Path, count: int) -> None:
    folder.mkdir(parents=True)
    for example in dataset.examples[:count]:
        shutil.copy(example.path, folder)


def _drawn(folder: Path) -> list[NDArray[np.uint8]]:
    paths = sorted((folder / "detected" / "drawn").iterdir())
    return [np.asarray(cv2.imread(str(path)), dtype=np.uint8) for path in paths]


def _report(folder: Path, trained: dict, top1: float, seconds: float) -> None:
    coco, voc = trained["coco"], trained["voc"]
    page = folder / "summary.html"
    write_summary(
        page,
        Summary(
            title="Faster R-CNN on ResNet-18 C4: the demo",
            facts={
                "Pre-trained classifier, top-1 on the objects": f"{100 * top1:.1f} %",
                "COCO AP": f"{100 * coco['AP']:.1f} %",
                "COCO AP50": f"{100 * coco['AP50']:.1f} %",
                "VOC mAP, 11-point": f"{100 * voc['mAP_11point']:.1f} %",
                "VOC mAP, area": f"{100 * voc['mAP_area']:.1f} %",
                "Test time per image": f"{trained['seconds_per_image']:.3f} s",
                "Time for everything": f"{seconds / 60:.1f} min",
            },
            per_class={
                name: {
                    "objects": str(values["num_objects"]),
                    "AP": f"{100 * values['AP']:.1f}",
                    "AP50": f"{100 * values['AP50']:.1f}",
                    "11-point": f"{100 * voc['per_class'][name]['AP_11point']:.1f}",
                    "area": f"{100 * voc['per_class'][name]['AP_area']:.1f}",
                }
                for name, values in coco["per_class"].items()
            },
            pictures={
                "Detections in pictures that were not trained on": "detections.jpg",
                "Training": "detector/loss.png",
            },
        ),
    )
    log.info(
        "\nAP50 %.1f %%, AP %.1f %% on pictures that were not trained on, after %.1f minutes.\n"
        "Look at:  %s\n          %s\n"
        "Next, on your own COCO- or VOC-format folder:\n"
        "  %s tools/train_net.py data.root=/path/to/dataset weights=/path/to/resnet50.safetensors "
        "model.backbone.depth=50",
        100 * coco["AP50"],
        100 * coco["AP"],
        seconds / 60,
        page,
        folder / "detections.jpg",
        Path(sys.executable).relative_to(Path.cwd())
        if Path(sys.executable).is_relative_to(Path.cwd())
        else "python",
    )
