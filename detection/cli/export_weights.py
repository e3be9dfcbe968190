"""Exports weights to others: python tools/export_weights.py checkpoint=best.pt output=x.pth to=...

checkpoint is one of ours, of a detector or of a classifier, or the name of published weights.

to=detectron2   a detector as detectron2's C4, for its MODEL.WEIGHTS
to=torchvision  the ResNet under torchvision's names, with fc if it has one, as .pth or .safetensors
to=safetensors  the whole checkpoint without pickle: whatever takes a .pt of ours takes it, too
"""

from __future__ import annotations

import logging
from pathlib import Path

from omegaconf import DictConfig

from detection import torch_file
from detection.atomic_write import atomic_write
from detection.checkpoint import (
    Checkpoint,
    ClassifierCheckpoint,
    is_checkpoint,
    is_classifier,
    load_plain,
)
from detection.safetensors_file import SUFFIX, write_tensors
from detection.weights.by_name import weights_file
from detection.weights.export import as_detectron2, as_torchvision
from detection.weights.input_format import InputFormat

log = logging.getLogger(__name__)

LAYOUTS = ("detectron2", "torchvision", "safetensors")


def main(config: DictConfig) -> None:
    if config.to not in LAYOUTS:
        raise ValueError(
            f"to must be {', '.join(LAYOUTS[:-1])} or {LAYOUTS[-1]}, not {config.to!r}"
        )
    source, output = weights_file(config.checkpoint), Path(config.output)
    if source.resolve() == output.resolve():
        raise ValueError(f"output={output} is the checkpoint itself; choose another file")
    if config.to == "safetensors" and output.suffix != SUFFIX:
        raise ValueError(f"output={output}: with to=safetensors its name ends in {SUFFIX}")
    if config.to == "detectron2" and output.suffix == SUFFIX:
        raise ValueError(f"output={output}: detectron2 reads .pth files")
    checkpoint = _load(source)
    if config.to == "safetensors":
        checkpoint.without_training().save(output)
        log.info("%d tensors -> %s", len(checkpoint.weights), output)
    elif config.to == "detectron2":
        content = as_detectron2(checkpoint, source=source)
        with atomic_write(output) as partial:
            torch_file.save(content, partial)
        log.info("%d tensors under detectron2's names -> %s", len(content["model"]), output)
    else:
        _to_torchvision(checkpoint, source, output)


def _load(source: Path) -> Checkpoint | ClassifierCheckpoint:
    kind: type[Checkpoint] | type[ClassifierCheckpoint] = Checkpoint
    if is_checkpoint(source) and is_classifier(load_plain(source)):
        kind = ClassifierCheckpoint
    return kind.load(source)


def _to_torchvision(
    checkpoint: Checkpoint | ClassifierCheckpoint, source: Path, output: Path
) -> None:
    weights, left_out = as_torchvision(checkpoint, source=source)
    found = InputFormat.of_model(checkpoint.model_config, checkpoint.weights)
    with atomic_write(output) as partial:
        if output.suffix == SUFFIX:
            write_tensors(weights, partial, metadata=found.description())
        else:
            torch_file.save(weights, partial)
    log.info("%d tensors under torchvision's names -> %s", len(weights), output)
    log.info("left out: %s", ", ".join(left_out) or "nothing")
    log.info("its input: %s, mean %s, std %s", found.order, found.mean, found.std)
    if found.stride_in_1x1:
        log.warning(
            "it strides in the 1x1 convolutions: in torchvision's own ResNet, which strides in "
            "the 3x3, it is another function"
        )
