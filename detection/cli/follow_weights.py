"""``weights=`` decides the depth, pixels and stride that the command line leaves open.

Weights fit one network alone, so nothing is guessed: of published ones it is known, and most files
say it.  What is said on the command line stays; the check of the weights says then what they need.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig, OmegaConf

from detection.cli.given import leave_alone
from detection.user_path import user_path
from detection.weights.published import PUBLISHED, Kind, Published

if TYPE_CHECKING:  # both import torch
    from detection.weights.backbone_file import BackboneFile
    from detection.weights.input_format import InputFormat

log = logging.getLogger("configuration")

_RESNET = "detection.model.resnet.ResNet"
_BOTTLENECKS = 50  # layers from which a ResNet has blocks of three convolutions (table 1)


def following_overrides(composed: DictConfig, given: Collection[str]) -> list[str]:
    """The overrides by which ``composed`` fits the published weights that it names, if any.

    ``given``: the keys and groups that the user has chosen; these are left alone.  The log says in
    one line what is set.
    """
    detector = _published(OmegaConf.select(composed, "init", throw_on_missing=False), "detector")
    if detector is not None and OmegaConf.select(composed, "model.rpn") is not None:
        return _of_detector(composed, detector, given)
    row = _published(OmegaConf.select(composed, "weights", throw_on_missing=False), "backbone")
    if row is None or OmegaConf.select(composed, "model.backbone._target_") != _RESNET:
        return []
    depth = _of_depth(composed.model, given, row.depth)
    found = _words(depth)
    if _pixels_differ(composed.model.pixels, row) and not _says_pixels(given):
        found.append(f"model/pixels={row.pixels}")
    found += _words(_of_stride(composed.model, given, row.stride_in_1x1, depth))
    if found:
        log.info("weights=%s sets %s", row.name, " ".join(found))
    return [*found, *_depth_as_it_is(row, depth, given)]


def _of_detector(composed: DictConfig, row: Published, given: Collection[str]) -> list[str]:
    """What a detector of detectron2's zoo needs; schedule=auto knows all of it but the depth."""
    if any(key.split("/")[0].split(".")[0] in ("model", "experiment") for key in given):
        return []
    depth = _of_depth(composed.model, given, row.depth)
    has_recipe = OmegaConf.select(composed, "schedule.recipe") is not None
    found = [*([] if has_recipe else ["model=modern_c4"]), *_words(depth)]
    if found:
        log.info("init=%s sets %s", row.name, " ".join(found))
    return [*found, *_depth_as_it_is(row, depth, given)]


def _depth_as_it_is(row: Published, found: Mapping[str, Any], given: Collection[str]) -> list[str]:
    """Said even where it is right: the recipe of schedule=auto would choose another."""
    return [] if found or "model.backbone.depth" in given else [f"model.backbone.depth={row.depth}"]


def follow_file(composed: DictConfig, given: Collection[str]) -> None:
    """Makes the model of ``composed`` fit the file of ``weights=``, if it says what it needs.

    ``given``: the keys and groups that the user has chosen; these are left alone.
    Imports torch.  What is wrong with the file is left to the training to say.
    """
    path = OmegaConf.select(composed, "weights", throw_on_missing=False)
    target = OmegaConf.select(composed, "model.backbone._target_", throw_on_missing=False)
    if not isinstance(path, str) or target != _RESNET or not user_path(path).is_file():
        return
    from detection.blank_weights import BlankWeights
    from detection.build import build
    from detection.cli.objects import as_plain
    from detection.weights.backbone_file import read_backbone

    try:
        with BlankWeights():  # its names alone are needed
            backbone = build(as_plain(composed.model.backbone))
        entry = OmegaConf.select(composed, "weights_entry")
        file = read_backbone(user_path(path), backbone, entry=entry, glance=True)
    except (ValueError, OSError):
        return
    found = _of_file(composed.model, file, given)
    for key, value in found.items():
        OmegaConf.update(composed, f"model.{key}", value, merge=False)
    known = ["backbone.depth"] if file.depth is not None else []
    leave_alone(composed, [f"model.{key}" for key in (*found, *known)])
    if found:
        log.info("%s: sets %s", path, " ".join(_words(found)))


def _of_file(model: DictConfig, file: BackboneFile, given: Collection[str]) -> dict[str, Any]:
    """Key -> value of the model that the file needs, where it differs and is not given."""
    found = _of_depth(model, given, file.depth)
    needed = file.input
    if needed is None:
        return found
    if not _says_pixels(given) and "std" in model.pixels and _other_input(model.pixels, needed):
        found |= {f"pixels.{name}": getattr(needed, name) for name in ("order", "mean", "std")}
    return found | _of_stride(model, given, needed.stride_in_1x1, found)


def _of_depth(model: DictConfig, given: Collection[str], depth: int | None) -> dict[str, Any]:
    """What weights of this depth need of the model; None: it is not known."""
    fits = depth in (None, model.backbone.depth) or "model.backbone.depth" in given
    return {} if fits else {"backbone.depth": depth}


def _of_stride(
    model: DictConfig, given: Collection[str], in_1x1: bool | None, found: Mapping[str, Any]
) -> dict[str, Any]:
    """As :func:`_of_depth`, of stride_in_1x1; ``found``: what the weights need besides."""
    said = {"model.backbone.stride_in_1x1", "model.backbone.bin_step"} & {*given}
    if found.get("backbone.depth", model.backbone.depth) < _BOTTLENECKS:
        in_1x1 = False  # its blocks have no 1x1 convolution but the shortcut's
    if said or in_1x1 in (None, model.backbone.stride_in_1x1):
        return {}
    pools = "roi_head" in model  # what pools no regions needs all that conv5 reads
    return {"backbone.stride_in_1x1": in_1x1, "backbone.bin_step": 2 if in_1x1 and pools else 1}


def _says_pixels(given: Collection[str]) -> bool:
    return any(key == "model/pixels" or key.startswith("model.pixels") for key in given)


def _other_input(pixels: DictConfig, needed: InputFormat) -> bool:
    """Whether the difference would matter; means of MSRA's several files differ by a level."""
    shift = max(abs(a - b) for a, b in zip(pixels.mean, needed.mean, strict=True))
    scale = max(max(a / b, b / a) for a, b in zip(pixels.std, needed.std, strict=True))
    return bool(pixels.order != needed.order or shift > 10 or scale > 1.5)


def _words(found: Mapping[str, Any]) -> list[str]:
    """As on the command line."""
    return [f"model.{key}={_shown(value)}" for key, value in found.items()]


def _shown(value: Any) -> str:
    if isinstance(value, list):
        return f"[{','.join(f'{number:g}' for number in value)}]"
    return str(value).lower() if isinstance(value, bool) else str(value)


def _published(given: object, kind: Kind) -> Published | None:
    if not isinstance(given, str) or Path(given).is_file():
        return None
    row = PUBLISHED.get(given)
    return row if row is not None and row.kind == kind else None


def _pixels_differ(pixels: DictConfig, row: Published) -> bool:
    """MSRA's own means and detectron2's differ by less than a grey level: either will do."""
    return (pixels.get("order") == "RGB") != (row.pixels == "torchvision")
