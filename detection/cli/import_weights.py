"""Imports weights: python tools/import_weights.py source=R-50.pkl output=r50.pt

source may be an ImageNet ResNet in one of the layouts of docs/weights.md (MSRA, torchvision, timm,
detectron2, MoCo, DINO ...); a Faster R-CNN C4 of detectron2 or mmdetection; or a checkpoint of
ours.  Which of them is found out from its contents; nothing in the file is run.  Where it holds
several networks, the log says which is taken, and entry= chooses another.

output is a checkpoint: of a detector for test_net.py checkpoint=, detect.py and train_net.py init=;
of a backbone for train_net.py weights=.  It carries the pixel format and the stride.  With
to=detectron2 a detector of ours becomes a .pth under detectron2's names.
"""

from __future__ import annotations

import logging
from typing import Any

import torch
from omegaconf import DictConfig, ListConfig

from detection.atomic_write import atomic_write
from detection.cli.compose import compose_config
from detection.cli.objects import as_plain
from detection.cli.output_file import output_file
from detection.weights.by_name import weights_file
from detection.weights.export import as_detectron2
from detection.weights.import_weights import import_weights
from detection.weights.presets import classifier_preset, detector_preset

log = logging.getLogger(__name__)


def main(config: DictConfig) -> None:
    source = weights_file(config.source)
    output = output_file(config, [source])
    checkpoint = import_weights(
        source,
        detector=detector_preset,
        classifier=classifier_preset,
        pixels=None if config.pixels is None else _pixels(config.pixels),
        stride_in_1x1=None if config.stride_in_1x1 is None else bool(config.stride_in_1x1),
        class_names=None if config.class_names is None else list(config.class_names),
        anchor_sizes=_listed(config.anchor_sizes),
        aspect_ratios=_listed(config.aspect_ratios),
        entry=None if config.entry is None else str(config.entry),
    )
    if config.to == "detectron2":
        content = as_detectron2(checkpoint, source=source)
        with atomic_write(output) as partial:
            torch.save(content, partial)
        log.info("%d tensors under detectron2's names -> %s", len(content["model"]), output)
        return
    checkpoint.build_model()  # raises if its weights do not fit
    checkpoint.without_training().save(output)
    log.info("%s -> %s", source, output)


def _listed(given: ListConfig | None) -> list[float] | None:
    return None if given is None else list(given)


def _pixels(name: str) -> dict[str, Any]:
    """configs/model/pixels/<name>.yaml"""
    return as_plain(compose_config("train", [f"model/pixels={name}"]).model.pixels)
