"""The whole paper in small: pre-train, fix the BN statistics, train the detector, test, detect.

python tools/demo.py            (or: make demo)

Leaves in output_dir: summary.html, metrics.json, detector/ (as tools/train_net.py leaves it),
photos/ with the detections drawn, and data/, the generated data set.
"""

from __future__ import annotations

import json
import logging
import shutil
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import cv2
import numpy as np
import torch
from hydra.utils import instantiate
from numpy.typing import NDArray
from omegaconf import DictConfig, OmegaConf

from detection.classification.bn_statistics import freeze_statistics
from detection.classification.classifier import Classifier
from detection.classification.pretrain import accuracy, pretrain
from detection.data.dataset import DetectionDataset
from detection.data.folder import open_folder
from detection.data.object_crops import object_crops
from detection.data.shapes import generate
from detection.engine.metrics_file import write_metrics
from detection.engine.summary import Summary, write_summary
from detection.inference.draw import contact_sheet
from tools import detect, train_net
from tools.launch import compose_config, launch

log = logging.getLogger("demo")


def main(config: DictConfig) -> None:
    began = time.perf_counter()
    folder = Path(config.output_dir)
    # The data set stays: it is the same again, and takes a while to draw.
    for name in ("detector", "photos", "detected"):
        shutil.rmtree(folder / name, ignore_errors=True)

    _step(1, "generating the data set `shapes`")
    data = folder / "data"
    generate(
        root=data,
        splits=dict(config.shapes.splits),
        seed=config.seed,
        image_side=config.shapes.image_side,
    )
    train_config = _train_config(config, data)
    train_set, val_set = (
        open_folder(root=data, split=split, classes=None, invalid_boxes="error")
        for split in ("train", "val")
    )

    _step(2, "pre-training a classifier on the objects, cut out; then its exact BN statistics")
    weights = folder / "detector" / "backbone.pt"
    top1 = _pretrained_backbone(config, train_config, train_set, val_set, weights)
    log.info("top-1 accuracy on the objects of val: %.1f %%", 100 * top1)

    _step(3, "training the detector on it")
    train_config.weights = str(weights)
    train_net.main(train_config)
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


def _train_config(config: DictConfig, data: Path) -> DictConfig:
    return compose_config(
        "train",
        [
            *config.detector,
            f"data.root={data}",
            f"output_dir={Path(config.output_dir) / 'detector'}",
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


def _pretrained_backbone(
    config: DictConfig,
    train_config: DictConfig,
    train_set: DetectionDataset,
    val_set: DetectionDataset,
    weights: Path,
) -> float:
    """Leaves the backbone's weights at ``weights``; returns the accuracy on ``val_set``."""
    rule = config.pretraining
    images, classes = _crops(config, train_set)
    classifier = _classifier(train_config, len(train_set.class_names), config.seed)
    pretrain(
        classifier,
        images,
        classes,
        epochs=rule.epochs,
        batch_size=rule.batch_size,
        learning_rate=rule.learning_rate,
        warmup_iterations=rule.warmup_iterations,
        weight_decay=rule.weight_decay,
        seed=config.seed,
    )
    # One crop of each object: every layer costs a pass over them.
    freeze_statistics(classifier, _batches(images[:: rule.per_object], 256))
    weights.parent.mkdir(parents=True, exist_ok=True)
    torch.save(classifier.backbone_weights(), weights)
    return accuracy(classifier, *_crops(config, val_set), batch_size=256)


def _crops(
    config: DictConfig, dataset: DetectionDataset
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    rule = config.pretraining
    low, high = rule.context
    return object_crops(
        dataset,
        side=rule.crop_side,
        context=(low, high),
        per_object=rule.per_object,
        seed=config.seed,
    )


def _classifier(train_config: DictConfig, num_classes: int, seed: int) -> Classifier:
    """The detector's backbone and pixels, with BN that learns."""
    torch.manual_seed(seed)
    backbone = OmegaConf.merge(
        train_config.model.backbone, {"norm": "trained", "frozen_stages": [], "bin_step": 1}
    )
    return Classifier(
        pixels=instantiate(train_config.model.pixels, _convert_="all"),
        backbone=instantiate(backbone, _convert_="all"),
        num_classes=num_classes,
    )


def _batches(images: NDArray[np.uint8], size: int) -> list[torch.Tensor]:
    return [torch.from_numpy(images[i : i + size]) for i in range(0, len(images), size)]


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


if __name__ == "__main__":
    launch(main, config="demo")
