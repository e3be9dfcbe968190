"""What earlier versions wrote into their files, translated into the names of this one."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

# Classes that have moved: the name in the file -> the name now.
MOVED = {
    "detection.inference.detector.PostProcessing": (
        "detection.inference.post_processing.PostProcessing"
    ),
    "detection.data.crops.CentreCrop": "detection.classification.crops.CentreCrop",
    "detection.data.crops.TenCrop": "detection.classification.crops.TenCrop",
    "detection.data.crops.MultiScale": "detection.classification.crops.FullyConvolutionalViews",
    "detection.model.rpn.AnchorSampling": "detection.model.targets.AnchorSampling",
    "detection.model.rpn.ProposalSelection": "detection.model.proposals.ProposalSelection",
    "detection.model.roi_head.RegionSampling": "detection.model.targets.RegionSampling",
}

# Arguments that a constructor did not have then, with the value that it behaved by; by new names.
ADDED_ARGUMENTS: dict[str, dict[str, Any]] = {
    "detection.inference.post_processing.PostProcessing": {"voting_iou": None},
    "detection.inference.refine.Refinement": {"minimum_score": 0.0},
    "detection.model.targets.AnchorSampling": {"divide_by": "sampled"},
    "detection.model.targets.RegionSampling": {"divide_by": "image"},
    "detection.model.faster_rcnn.FasterRCNN": {"context": False},
    "detection.model.roi_head.RoIHead": {"pooling": "roi_pool"},
}

# Values that are called otherwise now: class -> argument -> old value -> new value; by new names.
RENAMED_VALUES = {
    "detection.model.targets.AnchorSampling": {"divide_by": {"drawn": "sampled"}},
}

# Arguments that a constructor has no more; by new names.
REMOVED_ARGUMENTS = {"detection.model.faster_rcnn.FasterRCNN": {"regions_at_once"}}

# Keys that a run's configuration did not have, with the value that it behaved by.
ADDED_KEYS: dict[str, Any] = {
    "data.repeat_threshold": 0,
    "data.size_step": 0,
    "data.crop_probability": 0,
    "data.crop_least": 0.5,
    "data.colour": 0,
}

# Keys of a configuration, in a node each, that are in another node now.
MOVED_KEYS = {"model.regions_at_once": "runtime.regions_at_once"}


def current_arguments(target: str, arguments: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """A class name and its arguments out of a file of any version -> those of this version."""
    target = MOVED.get(target, target)
    current = ADDED_ARGUMENTS.get(target, {}) | dict(arguments)
    for name in REMOVED_ARGUMENTS.get(target, ()):
        current.pop(name, None)
    for name, values in RENAMED_VALUES.get(target, {}).items():
        current[name] = values.get(current[name], current[name])
    return target, current


def current_settings(settings: Mapping[str, Any]) -> dict[str, Any]:
    """A run's configuration by any version, plain -> with the keys of this one.

    What is said of a new key stays; so does what a class of the user's own is given.
    """
    current = copy.deepcopy(dict(settings))
    for old, new in MOVED_KEYS.items():
        (node, key), (new_node, new_key) = (one.rsplit(".", 1) for one in (old, new))
        if not isinstance(current.get(node), dict):
            continue
        target = current[node].get("_target_", "detection.")
        if key in current[node] and str(target).startswith("detection."):
            value = current[node].pop(key)
            if not current[node]:
                del current[node]
            if isinstance(current.setdefault(new_node, {}), dict):
                current[new_node].setdefault(new_key, value)
    return current


def current_content(content: Mapping[str, Any]) -> dict[str, Any]:
    """The entries of a checkpoint of any version -> those of this version.

    The first version had ``post_processing`` in the place of ``inference``.
    """
    current = dict(content)
    if "post_processing" in current and "inference" not in current:
        current["inference"] = {
            "_target_": "detection.inference.detector.Inference",
            "multi_scale": {
                "_target_": "detection.inference.multi_scale.MultiScale",
                "shorter_sides": [],
                "longest": 0,
                "region_side": 224,
                "maximum": "region_features",
            },
            "flip": False,
            "refinement": {
                "_target_": "detection.inference.refine.Refinement",
                "passes": 0,
                "regions": "best_class",
            },
            "post_processing": current.pop("post_processing"),
        }
    training = current.get("training")
    if isinstance(training, Mapping) and "lowest" in training:
        # A classifier's lowest error had a name of its own.
        current["training"] = {"best" if k == "lowest" else k: v for k, v in training.items()}
    return current
