"""``init=`` decides what of the model the command line leaves open.

The weights of a detector fit its own network, anchors and pixels alone.  What training costs, the
layers that are fixed and the regions that are sampled, is no part of that.
"""

from __future__ import annotations

import logging
from collections.abc import Collection
from typing import Any

from omegaconf import DictConfig, OmegaConf

from detection.cli.given import leave_alone
from detection.user_path import user_path

log = logging.getLogger("configuration")

_DETECTOR = "detection.model.faster_rcnn.FasterRCNN"
_NEEDED = (
    "backbone",
    "pixels",
    "rpn.anchors",
    "rpn.hidden_channels",
    "roi_head.pooled_size",
    "roi_head.pooling",
    "roi_head.box_weights",
    "context",
)
_OPEN = ("backbone.frozen_stages",)


def follow_detector(composed: DictConfig, given: Collection[str]) -> None:
    """Makes the model of ``composed`` that of the checkpoint of ``init=``, if that is a file.

    ``given``: the keys and groups that the user has chosen; these are left alone.
    Imports torch.  What is wrong with the file is left to the training to say.
    """
    path = OmegaConf.select(composed, "init", throw_on_missing=False)
    target = OmegaConf.select(composed, "model._target_", throw_on_missing=False)
    if not isinstance(path, str) or target != _DETECTOR or "model" in given:
        return
    file = user_path(path)
    if not file.is_file():
        return
    from detection.build import packages_of
    from detection.checkpoint import Checkpoint
    from detection.cli.objects import as_plain

    try:
        own = Checkpoint.load(file).model_config
    except (ValueError, OSError):
        return
    if packages_of(own):
        return
    now = as_plain(composed.model)
    followed = {}
    for key in _NEEDED:
        followed.update(_followed(key, _at(now, key), _at(own, key), given))
    changed = {key: value for key, value in followed.items() if value != _at(now, key)}
    for key, value in changed.items():
        OmegaConf.update(composed, f"model.{key}", value, merge=False, force_add=True)
    leave_alone(composed, [f"model.{key}" for key in followed])
    if changed:
        log.info(
            "init=%s sets %s, as it was trained", path, ", ".join(f"model.{k}" for k in changed)
        )


def _followed(key: str, now: Any, own: Any, given: Collection[str]) -> dict[str, Any]:
    """Key -> value of what is the checkpoint's in this part of the model."""
    name = f"model.{key}"
    if own is None or name in given or name.replace(".", "/") in given:
        return {}
    if not isinstance(own, dict) or not isinstance(now, dict):
        return {key: own}
    inside = any(one.startswith(f"{name}.") for one in given)
    if now.get("_target_") != own.get("_target_"):
        return {} if inside else {key: own}
    parts = {f"{key}.{part}": value for part, value in own.items()}
    return {
        part: value
        for part, value in parts.items()
        if f"model.{part}" not in given and part not in _OPEN
    }


def _at(tree: Any, key: str) -> Any:
    for part in key.split("."):
        tree = tree.get(part) if isinstance(tree, dict) else None
    return tree
