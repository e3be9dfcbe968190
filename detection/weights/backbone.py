"""Initialises a detector's backbone from ImageNet weights on disk."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from detection.checkpoint import backbone_of_classifier, is_classifier, load_plain, load_weights
from detection.weights.torchvision import from_torchvision

log = logging.getLogger(__name__)


def read_weights(path: Path) -> dict[str, Tensor]:
    """A state dict out of a .safetensors or .pth/.pt file; nothing in the file is executed.

    Of a classifier's checkpoint it is the backbone's part.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file of weights")
    if path.suffix == ".safetensors":
        try:
            return load_file(path)
        except SafetensorError as error:
            raise ValueError(f"{path}: not a readable file of weights: {error}") from None
    weights = backbone_of_classifier(load_plain(path))
    if not isinstance(weights, dict) or not all(isinstance(v, Tensor) for v in weights.values()):
        raise ValueError(
            f"{path}: weights= takes a state dict, names -> tensors, of an ImageNet network; "
            "a detector of this package goes into init="
        )
    return weights


def warn_of_other_pixels(path: Path, pixels: Mapping[str, Any]) -> None:
    """Says so if ``path`` is a classifier of ours that was trained on pixels of another format.

    ``pixels``: the detector's, as in the configuration.
    """
    if path.suffix == ".safetensors" or not path.is_file():
        return
    content = load_plain(path)
    if not is_classifier(content):
        return
    given = content["model_config"].get("pixels", {})
    if given.keys() == pixels.keys() and given != pixels:
        log.warning(
            "%s was trained on pixels in the format %s, the detector's are in %s: set "
            "model.pixels to the former",
            path,
            _shown(given),
            _shown(pixels),
        )


def _shown(pixels: Mapping[str, Any]) -> str:
    return " ".join(f"{key}={value}" for key, value in pixels.items() if key != "_target_")


def initialise_backbone(backbone: nn.Module, path: Path) -> None:
    """Loads ``path`` into ``backbone``: our own names, or torchvision's.

    Every parameter must be there, but for VGG-16's fc6 and fc7: files of its convolutions alone
    are common, and the fc layers then keep their random initialisation (said in the log).
    """
    weights = {name: value.float() for name, value in read_weights(path).items()}
    left_out: list[str] = []
    if not weights.keys() <= backbone.state_dict().keys():
        try:
            weights, left_out = from_torchvision(weights)
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from None
    fresh = [
        name
        for name in backbone.state_dict()
        if name.startswith(("fc6.", "fc7.")) and name not in weights
    ]
    for name in fresh:
        weights[name] = backbone.state_dict()[name]
    load_weights(backbone, weights, source=str(path))
    log.info(
        "%s: %d tensors into the backbone%s%s",
        path,
        len(weights) - len(fresh),
        f"; left out: {', '.join(left_out)}" if left_out else "",
        f"; random: {', '.join(fresh)}" if fresh else "",
    )
