"""Configuration -> the objects that every command needs: detectors, what a key names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import is_dataclass, replace
from typing import Any

from omegaconf import DictConfig, OmegaConf

from detection.build import build, packages_of
from detection.checkpoint import NETWORKS
from detection.data.transforms import Resize
from detection.engine.runtime import Runtime
from detection.inference.class_thresholds import class_thresholds
from detection.inference.detector import Detector
from detection.inference.steps import Inference


def as_plain(config: DictConfig) -> dict[str, Any]:
    """The resolved configuration as plain containers."""
    plain = OmegaConf.to_container(config, resolve=True, throw_on_missing=True)
    assert isinstance(plain, dict)
    return {str(key): value for key, value in plain.items()}


def make(config: DictConfig | Mapping[str, Any]) -> Any:
    """The object that a part of the user's own configuration stands for: all of it is trusted."""
    plain = as_plain(config) if isinstance(config, DictConfig) else config
    return build(plain, trust=sorted(packages_of(plain)), source="the configuration")


def detector(
    config: DictConfig, runtime: Runtime, *, networks: Sequence[str] = NETWORKS
) -> Detector:
    """The detector of ``config.checkpoint`` (several: an ensemble).

    ``networks``: those of its two that will be asked.
    It does what ``config.inference`` says, or else the checkpoint, changed where the other values
    of the configuration are not null.
    """
    several = OmegaConf.is_list(config.checkpoint)
    chosen = config.get("inference")
    given = Resize(shorter_sides=[config.shorter_side], longest=config.longest)
    detector = Detector.load(
        list(config.checkpoint) if several else config.checkpoint,
        device=runtime.device,
        precision=runtime.precision,
        winograd=runtime.winograd,
        regions_at_once=runtime.regions_at_once,
        inference=None if chosen is None else make(chosen),
        resize=None if None in (config.shorter_side, config.longest) else given,
        networks=networks,
        trust=list(config.trust),
    )
    detector.inference = as_given(config, detector.inference, detector.class_names)
    detector.resize = replace(detector.resize, **_given(config, "longest"))
    if config.shorter_side is not None:
        detector.resize = replace(detector.resize, shorter_sides=[config.shorter_side])
    if config.proposals is not None:
        for model in detector.models:
            rpn = model.rpn
            rpn.test_proposals = replace(rpn.test_proposals, after_nms=config.proposals)
    return detector


def as_given(config: DictConfig, inference: Inference, class_names: Sequence[str]) -> Inference:
    """``inference``, changed where the configuration's values of post-processing are not null."""
    post_processing = inference.post_processing
    changes = _given(config, "score_threshold", "nms_iou", "per_image")
    if isinstance(by_class := changes.get("score_threshold"), DictConfig):
        changes["score_threshold"] = class_thresholds(
            as_plain(by_class),
            class_names,
            others=getattr(post_processing, "score_threshold", 0.0),
            key="score_threshold",
        )
    if not changes:
        return inference
    if not (is_dataclass(post_processing) and all(hasattr(post_processing, n) for n in changes)):
        raise ValueError(
            f"{', '.join(changes)}: {type(post_processing).__name__}, the detector's "
            "inference.post_processing, has no such settings; leave them out"
        )
    return replace(inference, post_processing=replace(post_processing, **changes))


def _given(config: DictConfig, *names: str) -> dict[str, Any]:
    return {name: config[name] for name in names if config[name] is not None}
