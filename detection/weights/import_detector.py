"""A file with a Faster R-CNN C4 of detectron2 or mmdetection -> the checkpoint of a detector."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import torch
from torch import Tensor
from torchvision.models.detection import FasterRCNN_ResNet50_FPN_Weights

from detection.build import build
from detection.checkpoint import Checkpoint
from detection.data.formats.voc import VOC_CLASSES
from detection.weights.architecture import check_architecture, resnet_depth
from detection.weights.detectron2 import from_detectron2
from detection.weights.import_backbone import input_format
from detection.weights.import_log import log_import
from detection.weights.input_format import GivenInput, InputFormat, of_pixel_buffers
from detection.weights.mmdetection import from_mmdetection
from detection.weights.parameter_names import parameter_name
from detection.weights.source import Source

_ASKED = (
    "give those that it was trained on with anchor_sizes=[...] and aspect_ratios=[...] "
    "(detectron2: MODEL.ANCHOR_GENERATOR.SIZES and ASPECT_RATIOS)"
)
# DetectorPreset's fields as a checkpoint calls them.
_SAID = {"model": "model_config", "resize": "resize", "inference": "inference"}


@dataclass(frozen=True, kw_only=True)
class DetectorPreset:
    """The configurations of a checkpoint, with the defaults of detectron2's C4 detectors.

    ``model``: the file replaces its depth, BN, classes, pixels, stride and the RPN's channels.
    ``resize``, ``inference``: copied into the checkpoint.
    """

    model: dict[str, Any]
    resize: dict[str, Any]
    inference: dict[str, Any]


def import_detector(
    source: Source,
    *,
    preset: DetectorPreset,
    given: GivenInput,
    class_names: Sequence[str] | None,
    said: Mapping[str, Any] | None = None,
) -> Checkpoint:
    """The detector with its classes, pixels and stride.

    ``said``: what :mod:`detection.weights.exported` has left in the file.
    ``class_names``: in the file's order; None if the file says them, or they are COCO's or VOC's.
    Raises ValueError, naming the file and the parameter, if the file is no such detector.
    """
    if said is not None:
        preset = DetectorPreset(**{f.name: said[_SAID[f.name]] for f in fields(DetectorPreset)})
    weights, left_out = _weights(source, preset)
    if said is None:
        found = given.completed(lambda: _input_format(source, preset, weights))
        model_config = _model_config(source, preset, weights, found)
    else:
        found = given.completed(lambda: InputFormat.of_model(preset.model, weights))
        model_config = _with_input(preset.model, found)
    _check_anchors(source, model_config)
    check_architecture(model_config, weights, source=source)
    log_import(found, left_out=source.left_out + left_out)
    if said is not None and class_names is None:
        names, ids = said["class_names"], said["category_ids"]
    else:
        names, ids = _classes(source, model_config["num_classes"], class_names)
    return Checkpoint(
        weights=weights,
        model_config=model_config,
        resize=preset.resize,
        inference=preset.inference,
        class_names=names,
        category_ids=ids,
    )


def _weights(source: Source, preset: DetectorPreset) -> tuple[dict[str, Tensor], list[str]]:
    """(weights under our names, the names left out)."""
    anchors = preset.model["rpn"]["anchors"]
    try:
        if source.kind == "mmdetection detector":
            weights, left_out = from_mmdetection(source.weights)
        else:
            weights, left_out = from_detectron2(
                source.weights, sizes=len(anchors["sizes"]), ratios=len(anchors["aspect_ratios"])
            )
    except ValueError as error:
        raise ValueError(f"{source.path}: {error}") from None
    config, objectness = preset.model["rpn"]["anchors"], weights.get("rpn.objectness.weight")
    number = len(config["sizes"]) * len(config["aspect_ratios"])
    if objectness is not None and len(objectness) != number:
        raise ValueError(f"{source.path}: {len(objectness)} anchors, not {number}: {_ASKED}")
    for name in ("roi_head.logits.weight", "rpn.conv.weight"):
        if name not in weights:
            shown = source.prefix + parameter_name(source.kind, name)
            raise ValueError(f"{source.path}: {shown} is missing")
    return class_specific(weights), left_out


def class_specific(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Boxes that are regressed for all classes alike are regressed so for each of them."""
    classes = len(weights["roi_head.logits.weight"]) - 1
    for name in ("roi_head.deltas.weight", "roi_head.deltas.bias"):
        if name in weights and len(weights[name]) == 4 < 4 * classes:
            weights[name] = torch.cat([weights[name]] * classes)
    return weights


def _model_config(
    source: Source, preset: DetectorPreset, weights: Mapping[str, Tensor], found: InputFormat
) -> dict[str, Any]:
    """The preset's configuration, with the values of the file."""
    # A trained BN counts its batches, a frozen one does not.
    trained = "backbone.conv1.bn.num_batches_tracked" in weights
    extra = any(name.startswith("backbone.conv5_bn.") for name in weights)
    if not trained and any(name.endswith("num_batches_tracked") for name in weights):
        raise ValueError(f"{source.path}: some layers count batches and the first one does not")
    config = copy.deepcopy(preset.model)
    config["num_classes"] = len(weights["roi_head.logits.weight"]) - 1
    config["pixels"] = found.pixel_config()
    config["rpn"]["hidden_channels"] = len(weights["rpn.conv.weight"])
    config["backbone"] |= {
        "depth": resnet_depth(weights, path=source.path),
        "stride_in_1x1": found.stride_in_1x1,
        "bin_step": 2 if found.stride_in_1x1 else 1,
        "norm": "trained_extra" if extra else "trained" if trained else "frozen",
        "frozen_stages": [] if trained else ["conv1", "conv2"],
    }
    return config


def with_anchors(
    preset: DetectorPreset, sizes: Sequence[float] | None, ratios: Sequence[float] | None
) -> DetectorPreset:
    """``preset`` with these anchors; None: its own."""
    given = {"sizes": sizes, "aspect_ratios": ratios}
    model = copy.deepcopy(preset.model)
    model["rpn"]["anchors"] |= {name: [*v] for name, v in given.items() if v is not None}
    return replace(preset, model=model)


def _with_input(model_config: Mapping[str, Any], found: InputFormat) -> dict[str, Any]:
    """The configuration with pixels and stride that are given in place of its own."""
    config = copy.deepcopy(dict(model_config))
    if found != InputFormat.of_model(config, {}):
        config["pixels"] = found.pixel_config()
        step = 2 if found.stride_in_1x1 else 1
        config["backbone"] |= {"stride_in_1x1": found.stride_in_1x1, "bin_step": step}
    return config


def _input_format(
    source: Source, preset: DetectorPreset, weights: dict[str, Tensor]
) -> InputFormat:
    """The pixels of the file, or else what its numbers say, or else those of the preset."""
    if source.kind == "mmdetection detector":
        return input_format(source, weights)
    pixels = preset.model["pixels"]
    buffers = {f"pixel_{name}": torch.tensor(pixels[name]) for name in ("mean", "std")}
    found = of_pixel_buffers(buffers | source.weights)
    assert found is not None
    return found


def _check_anchors(source: Source, model_config: Mapping[str, Any]) -> None:
    """Raises ValueError if the file holds other anchors than the preset; newer files hold none."""
    given = source.weights.get("proposal_generator.anchor_generator.cell_anchors.0")
    if given is None:
        return
    config = model_config["rpn"]["anchors"]
    anchors = build(config)
    shape = (len(config["aspect_ratios"]), len(config["sizes"]), 4)
    # In detectron2's order: the ratios of each size.
    expected = anchors.at_origin.reshape(shape).transpose(0, 1).reshape(-1, 4)
    if given.shape != expected.shape or not torch.allclose(given, expected, atol=0.01):
        raise ValueError(
            f"{source.path}: its anchors are {given.tolist()[:2]} ..., the preset's "
            f"{expected.tolist()[:2]} ...: {_ASKED}"
        )


def _classes(
    source: Source, number: int, class_names: Sequence[str] | None
) -> tuple[list[str], list[int]]:
    """The names and the category ids of the detector's classes."""
    coco = FasterRCNN_ResNet50_FPN_Weights.DEFAULT.meta["categories"]
    coco_ids = [i for i, name in enumerate(coco) if name not in ("__background__", "N/A")]
    if class_names is not None:
        names = [str(name) for name in class_names]
        if len(names) != number:
            raise ValueError(f"class_names has {len(names)} names, the file {number} classes")
        return names, list(range(1, number + 1))
    said = source.class_names
    if number == len(coco_ids) and said in (None, tuple(coco[i] for i in coco_ids)):
        return [coco[i] for i in coco_ids], coco_ids
    if said is not None and len(said) == number:
        return list(said), list(range(1, number + 1))
    if number == len(VOC_CLASSES):
        return list(VOC_CLASSES), list(range(1, number + 1))
    raise ValueError(
        f"{source.path}: {number} classes, neither COCO's 80 nor VOC's 20: name them in their "
        "order with class_names=[first,second,...]"
    )
