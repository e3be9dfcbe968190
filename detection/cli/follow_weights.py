"""``weights=`` by name decides the depth, pixels and stride that the command line leaves open.

Published weights fit one network alone, so nothing is guessed.  What is said on the command line
stays; the check of the weights says then what they need.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from detection.weights.published import PUBLISHED, Published

log = logging.getLogger("configuration")

_RESNET = "detection.model.resnet.ResNet"


def following_overrides(composed: DictConfig, overrides: Sequence[str]) -> list[str]:
    """The overrides by which ``composed`` fits the published weights that it names, if any.

    ``overrides``: what the user says; keys that are there are left alone.  The log says in one line
    what is set.
    """
    row = _published(OmegaConf.select(composed, "weights", throw_on_missing=False))
    if row is None or OmegaConf.select(composed, "model.backbone._target_") != _RESNET:
        return []
    given = {override.lstrip("+~").partition("=")[0] for override in overrides}
    model, found = composed.model, list[str]()
    if model.backbone.depth != row.depth and "model.backbone.depth" not in given:
        found.append(f"model.backbone.depth={row.depth}")
    pixels_given = any(key == "model/pixels" or key.startswith("model.pixels") for key in given)
    if _pixels_differ(model.pixels, row) and not pixels_given:
        found.append(f"model/pixels={row.pixels}")
    stride_given = {"model.backbone.stride_in_1x1", "model.backbone.bin_step"} & given
    if model.backbone.stride_in_1x1 != row.stride_in_1x1 and not stride_given:
        step = 2 if row.stride_in_1x1 else 1
        found.append(f"model.backbone.stride_in_1x1={str(row.stride_in_1x1).lower()}")
        found.append(f"model.backbone.bin_step={step}")
    if found:
        log.info("weights=%s sets %s", row.name, " ".join(found))
    return found


def _published(given: object) -> Published | None:
    if not isinstance(given, str) or Path(given).is_file():
        return None
    row = PUBLISHED.get(given)
    return row if row is not None and row.kind == "backbone" else None


def _pixels_differ(pixels: DictConfig, row: Published) -> bool:
    """MSRA's own means and detectron2's differ by less than a grey level: either will do."""
    return (pixels.get("order") == "RGB") != (row.pixels == "torchvision")
