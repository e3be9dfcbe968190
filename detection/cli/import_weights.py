"""Imports weights: python tools/import_weights.py source=R-50.pkl output=r50.pt

source may be an ImageNet ResNet of MSRA (.pkl), torchvision (.pth, .safetensors), detectron2 (.pkl)
or MoCo (.pth.tar, or its converted .pkl); a Faster R-CNN C4 of detectron2 (.pkl, .pth); or a
checkpoint of ours.  Which of them is found out from its contents; nothing in the file is run.

output is a checkpoint: of a detector for test_net.py checkpoint=, detect.py and train_net.py init=;
of a backbone for train_net.py weights=.  It carries the pixel format and the stride.  With
to=detectron2 a detector of ours becomes a .pth under detectron2's names.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig
from torch import Tensor
from torchvision.models import ResNet50_Weights
from torchvision.models.detection import FasterRCNN_ResNet50_FPN_Weights

from detection.atomic_write import atomic_write
from detection.build import build
from detection.checkpoint import (
    NETWORKS,
    Checkpoint,
    ClassifierCheckpoint,
    check_weights,
    is_checkpoint,
    is_classifier,
    load_plain,
)
from detection.classification.classifier import Classifier
from detection.cli.compose import compose_config
from detection.cli.objects import as_plain
from detection.data.formats.voc import VOC_CLASSES
from detection.data.transforms import Resize
from detection.model.faster_rcnn import FasterRCNN
from detection.model.resnet import BLOCKS, ResNet
from detection.weights.detectron2 import detectron2_name, from_detectron2, to_detectron2
from detection.weights.source import (
    InputFormat,
    Source,
    classifier_weights,
    input_format,
    open_source,
    parameter_name,
)

log = logging.getLogger("import_weights")


def main(config: DictConfig) -> None:
    path, output = Path(config.source), Path(config.output)
    if path.resolve() == output.resolve():
        raise ValueError(f"output={output} is the source itself; choose another file")
    if config.to not in ("ours", "detectron2"):
        raise ValueError(f"to must be ours or detectron2, got {config.to!r}")
    checkpoint = _own(path) if is_checkpoint(path) else _imported(config, path)
    if config.to == "detectron2":
        if isinstance(checkpoint, Checkpoint):
            checkpoint.check_trained(NETWORKS, source=path)
        _export(checkpoint, output)
        return
    checkpoint.build_model()
    checkpoint.without_training().save(output)
    log.info("%s -> %s", path, output)


def _own(path: Path) -> Checkpoint | ClassifierCheckpoint:
    return (ClassifierCheckpoint if is_classifier(load_plain(path)) else Checkpoint).load(path)


def _imported(config: DictConfig, path: Path) -> Checkpoint | ClassifierCheckpoint:
    source = open_source(path)
    log.info("%s: %s, %d tensors", path, source.kind, len(source.weights))
    if source.kind == "detectron2 detector":
        return _detector(config, source)
    return _classifier(config, source)


# ---- A backbone ------------------------------------------------------------------------------


def _classifier(config: DictConfig, source: Source) -> ClassifierCheckpoint:
    """With BN fixed, as a detector takes it; ``fc`` stays if it is there."""
    weights, left_out = classifier_weights(source)
    given = _given_format(config, lambda: input_format(source, weights))
    num_classes = len(weights["fc.weight"]) if "fc.weight" in weights else None
    model_config: dict[str, Any] = {
        "_target_": f"{Classifier.__module__}.{Classifier.__name__}",
        "pixels": _pixels(given),
        "backbone": {
            "_target_": f"{ResNet.__module__}.{ResNet.__name__}",
            "depth": _depth(source.path, weights),
            "stride_in_1x1": given.stride_in_1x1,
            "norm": "frozen",
            "frozen_stages": [],
            "bin_step": 1,
        },
        "num_classes": num_classes,
    }
    _check(model_config, weights, source)
    _report(left_out, given)
    names = ResNet50_Weights.IMAGENET1K_V1.meta["categories"] if num_classes == 1000 else []
    return ClassifierCheckpoint(
        weights=weights,
        model_config=model_config,
        class_names=list(names),
        views=as_plain(compose_config("classifier", ["data.root=none"]).data.views),
    )


# ---- A detector ------------------------------------------------------------------------------


def _detector(config: DictConfig, source: Source) -> Checkpoint:
    """The ``modern_c4`` preset with what the file decides: depth, BN, classes, RPN's width."""
    preset = compose_config("train", ["experiment=modern_c4", "data.root=none"])
    anchors = preset.model.rpn.anchors
    try:
        weights, left_out = from_detectron2(
            source.weights, sizes=len(anchors.sizes), ratios=len(anchors.aspect_ratios)
        )
    except ValueError as error:
        raise ValueError(f"{source.path}: {error}") from None
    for name in ("roi_head.logits.weight", "rpn.conv.weight"):
        if name not in weights:
            raise ValueError(f"{source.path}: {detectron2_name(name)} is missing")
    trained = "backbone.conv1.bn.num_batches_tracked" in weights
    extra = any(name.startswith("backbone.conv5_bn.") for name in weights)
    if not trained and any(name.endswith("num_batches_tracked") for name in weights):
        raise ValueError(f"{source.path}: some layers count batches and the first one does not")
    given = _given_format(config, lambda: _detector_format(source, preset))
    model_config = as_plain(preset.model)
    model_config["num_classes"] = len(weights["roi_head.logits.weight"]) - 1
    model_config["pixels"] = _pixels(given)
    model_config["rpn"]["hidden_channels"] = len(weights["rpn.conv.weight"])
    model_config["backbone"] |= {
        "depth": _depth(source.path, weights),
        "stride_in_1x1": given.stride_in_1x1,
        "bin_step": 2 if given.stride_in_1x1 else 1,
        "norm": "trained_extra" if extra else "trained" if trained else "frozen",
        "frozen_stages": [] if trained else ["conv1", "conv2"],
    }
    _check_anchors(source, model_config)
    _check(model_config, weights, source)
    _report(source.left_out + left_out, given)
    names, ids = _classes(config, model_config["num_classes"])
    return Checkpoint(
        weights=weights,
        model_config=model_config,
        resize={
            "_target_": f"{Resize.__module__}.{Resize.__name__}",
            "shorter_sides": [preset.data.test_shorter_side],
            "longest": preset.data.longest,
        },
        inference=as_plain(preset.inference),
        class_names=names,
        category_ids=ids,
    )


def _detector_format(source: Source, preset: DictConfig) -> InputFormat:
    """What the file says, else the preset's; both as detectron2 has them by default."""
    pixels = preset.model.pixels
    mean = source.weights.get("pixel_mean", torch.tensor(list(pixels.mean))).flatten().tolist()
    std = source.weights.get("pixel_std", torch.tensor(list(pixels.std))).flatten().tolist()
    mean, std = ([round(float(value), 4) for value in values] for values in (mean, std))
    # ImageNet is redder than it is blue: the mean tells the order.
    blue_first = mean[0] <= mean[2]
    normalised = min(std) > 2
    return InputFormat(
        order="BGR" if blue_first else "RGB", mean=mean, std=std, stride_in_1x1=not normalised
    )


def _check_anchors(source: Source, model_config: dict[str, Any]) -> None:
    """Older files carry their anchors: they must be those of the preset, in detectron2's order."""
    given = source.weights.get("proposal_generator.anchor_generator.cell_anchors.0")
    if given is None:
        return
    config = model_config["rpn"]["anchors"]
    anchors = build(config)
    shape = (len(config["aspect_ratios"]), len(config["sizes"]), 4)
    expected = anchors.at_origin.reshape(shape).transpose(0, 1).reshape(-1, 4)
    if given.shape != expected.shape or not torch.allclose(given, expected, atol=0.01):
        raise ValueError(
            f"{source.path}: its anchors are {given.tolist()[:2]} ..., the preset's "
            f"{expected.tolist()[:2]} ...: only detectron2's C4 anchors are imported"
        )


def _classes(config: DictConfig, number: int) -> tuple[list[str], list[int]]:
    """The names and the category ids of a detector's classes."""
    coco = FasterRCNN_ResNet50_FPN_Weights.DEFAULT.meta["categories"]
    coco_ids = [i for i, name in enumerate(coco) if name not in ("__background__", "N/A")]
    if config.class_names is not None:
        names = [str(name) for name in config.class_names]
        if len(names) != number:
            raise ValueError(f"class_names has {len(names)} names, the file {number} classes")
        return names, list(range(1, number + 1))
    if number == len(coco_ids):
        return [coco[i] for i in coco_ids], coco_ids
    if number == len(VOC_CLASSES):
        return list(VOC_CLASSES), list(range(1, number + 1))
    raise ValueError(
        f"{config.source}: {number} classes, neither COCO's 80 nor VOC's 20: name them in their "
        "order with class_names=[first,second,...]"
    )


# ---- Both ------------------------------------------------------------------------------------


def _given_format(config: DictConfig, found: Callable[[], InputFormat]) -> InputFormat:
    """What the command line says of pixels and stride, and what the source says of the rest."""
    if config.pixels is not None and config.stride_in_1x1 is not None:
        file_format = None
    else:
        file_format = found()
    if config.pixels is None:
        pixels = {key: getattr(file_format, key) for key in ("order", "mean", "std")}
    else:
        chosen = compose_config("train", [f"model/pixels={config.pixels}"]).model.pixels
        pixels = {key: as_plain(chosen)[key] for key in ("order", "mean", "std")}
    stride = config.stride_in_1x1
    if stride is None:
        assert file_format is not None
        stride = file_format.stride_in_1x1
    return InputFormat(**pixels, stride_in_1x1=bool(stride))


def _pixels(given: InputFormat) -> dict[str, Any]:
    return {
        "_target_": "detection.model.pixels.PixelFormat",
        "order": given.order,
        "mean": list(given.mean),
        "std": list(given.std),
    }


def _depth(path: Path, weights: dict[str, Tensor]) -> int:
    """Of the ResNet whose numbers of blocks, and kind of blocks, the names show."""
    names = [name.removeprefix("backbone.").split(".") for name in weights]
    counts = tuple(
        1 + max((int(n[1]) for n in names if n[0] == f"conv{stage}"), default=-1)
        for stage in range(2, 6)
    )
    bottleneck = any("conv_c" in name for name in names)
    for depth, blocks in BLOCKS.items():
        if blocks == counts and (depth >= 50) == bottleneck:
            return depth
    raise ValueError(
        f"{path}: conv2_x to conv5_x have {counts} blocks, as no ResNet of the paper "
        f"({', '.join(map(str, BLOCKS))} layers) has: blocks are missing"
    )


def _check(model_config: dict[str, Any], weights: dict[str, Tensor], source: Source) -> None:
    """ValueError that names, as the file does, what is missing, unknown or misshapen."""
    with torch.device("meta"):  # the shapes are enough
        model = build(model_config)
    check_weights(
        model,
        weights,
        source=str(source.path),
        show=lambda ours: f"{parameter_name(source.kind, ours)} ({ours})",
    )


def _report(left_out: list[str], given: InputFormat) -> None:
    log.info(
        "pixels: %s, mean %s, std %s; stride 2 in the %s convolutions",
        given.order,
        given.mean,
        given.std,
        "1x1" if given.stride_in_1x1 else "3x3",
    )
    counters = sum(name.endswith("num_batches_tracked") for name in left_out)
    listed = [name for name in left_out if not name.endswith("num_batches_tracked")]
    if counters:
        listed.append(f"num_batches_tracked of {counters} layers")
    log.info("left out: %s", ", ".join(listed) or "nothing")


def _export(checkpoint: Checkpoint | ClassifierCheckpoint, output: Path) -> None:
    model = checkpoint.build_model()
    if not isinstance(model, FasterRCNN):
        raise ValueError("to=detectron2 exports detectors; this checkpoint holds a backbone")
    if model.has_context:
        raise ValueError("detectron2's C4 has no global context, and this detector does")
    anchors = checkpoint.model_config["rpn"]["anchors"]
    weights = to_detectron2(
        checkpoint.weights, sizes=len(anchors["sizes"]), ratios=len(anchors["aspect_ratios"])
    )
    with atomic_write(output) as partial:
        torch.save({"model": weights, "__author__": "detection"}, partial)
    log.info("%d tensors under detectron2's names -> %s", len(weights), output)
