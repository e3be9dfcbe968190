"""The detectors that are timed: any of the configured ones, with weights that make them detect.

An untrained network detects nothing, so there would be nothing to compare.  Here BN keeps the
scale of the signal through all layers, and the class logits vary as much as a trained head's.
"""

from __future__ import annotations

import copy
import logging
from collections.abc import Callable, Sequence

import torch
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from detection.benchmarks.peers import detectron2_c4
from detection.benchmarks.peers.detectron2_c4 import Detectron2C4
from detection.benchmarks.peers.torchvision_c4 import TorchvisionC4
from detection.benchmarks.pictures import pictures
from detection.benchmarks.stages import Stages
from detection.cli.compose import compose_config
from detection.cli.objects import as_plain
from detection.engine.choices import choices_of_process
from detection.inference.post_processing import PostProcessing
from detection.model.faster_rcnn import FasterRCNN
from detection.model.frozen_bn import FrozenBN, fold, use_winograd
from detection.model.roi_head import RoIHead
from detection.structures import Detections, ImageBatch

log = logging.getLogger(__name__)

Peer = TorchvisionC4 | Detectron2C4

# Standard deviation of the class logits: the surest of 20 classes then has a score of about 0.5.
LOGITS_STD = 2.0


def training_config(overrides: Sequence[str]) -> DictConfig:
    """The paper's training under ``overrides``, or that which these choose."""
    chosen = any(o.startswith(("experiment=", "schedule=")) for o in overrides)
    return compose_config("train", [*([] if chosen else ["schedule=paper2015"]), *overrides])


def build_model(config: DictConfig, *, classes: int, seed: int) -> FasterRCNN:
    """The model of a training configuration on the CPU, in evaluation mode."""
    torch.manual_seed(seed)
    model = instantiate(
        OmegaConf.create(as_plain(config.model) | {"num_classes": classes}), _convert_="all"
    )
    assert isinstance(model, FasterRCNN)
    model.eval()
    with torch.no_grad():
        for layer in model.modules():
            if isinstance(layer, FrozenBN):
                layer.weight.uniform_(0.45, 0.55)
                layer.bias.normal_(0, 0.1)
                layer.running_mean.normal_(0, 0.1)
                layer.running_var.uniform_(0.9, 1.1)
        spread_logits(model, pictures(1, 128, 160, seed))
    return model


def for_inference(model: FasterRCNN, device: torch.device, *, winograd: bool) -> FasterRCNN:
    """A copy on ``device`` as a detector that is loaded has it: BN folded, what is measured set."""
    network = copy.deepcopy(model).eval()
    if device.type == "cpu":
        measured = choices_of_process(device, torch.get_num_threads())
        network.regions_at_once = measured.regions_at_once
    use_winograd(network, winograd)
    fold(network)
    return network.to(device)


def peers(model: FasterRCNN, rule: PostProcessing) -> dict[str, Peer]:
    """The same network, with the same weights, in each other package that is installed."""
    if model.has_context:
        raise ValueError("no peer has global context: compare without model=paper2015_context")
    found: dict[str, Peer] = {"torchvision as C4": TorchvisionC4(model, rule)}
    if detectron2_c4.is_installed():
        found["detectron2"] = Detectron2C4(model, rule)
    else:
        log.info("detectron2 is not installed: it is left out of the comparison")
    return found


@torch.no_grad()
def spread_logits(model: FasterRCNN, images: ImageBatch) -> None:
    """Scales the classifier so that its logits have a standard deviation of ``LOGITS_STD``."""
    features, proposals = model.propose(images)
    boxes = [one.boxes[:16] for one in proposals]
    context = model.context(features, images.sizes)
    region_features = model.backbone.region_features(model.pool(features, boxes))
    logits, _ = model.sibling_layers(region_features, boxes, context)
    assert isinstance(model.roi_head, RoIHead)
    model.roi_head.logits.weight.mul_(LOGITS_STD / logits.std())


def our_stages(model: FasterRCNN) -> Stages:
    """The same stages as those of the peers."""
    return {
        "backbone": [(model, "features")],
        "RPN": [(model.rpn, "forward"), (model.rpn, "propose"), (model.rpn, "losses")],
        "pooling": [(model, "pool")],
        "conv5 head": [(model.backbone, "region_features"), (model.roi_head, "forward")],
    }


def inference(
    model: FasterRCNN, images: ImageBatch, post_processing: PostProcessing, dtype: str
) -> Callable[[], list[Detections]]:
    """A function that detects objects in ``images``, entirely on their device."""

    @torch.inference_mode()
    def run() -> list[Detections]:
        with autocast(images.pixels.device, dtype):
            features, proposals = model.propose(images)
            regions = [one.boxes for one in proposals]
            predictions = model.classify(features, regions, images.sizes)
        return [post_processing(prediction) for prediction in predictions]

    return run


def peer_inference(peer: Peer, images: ImageBatch, dtype: str) -> Callable[[], list[Detections]]:
    """The same as :func:`inference`, of a peer."""

    @torch.inference_mode()
    def run() -> list[Detections]:
        with autocast(images.pixels.device, dtype):
            return peer.detect(images)

    return run


def autocast(device: torch.device, dtype: str) -> torch.autocast:
    """``dtype``: float32 or bfloat16; ValueError for any other."""
    if dtype not in ("float32", "bfloat16"):
        raise ValueError(f"dtypes holds {dtype!r}; choose from float32, bfloat16")
    return torch.autocast(device.type, torch.bfloat16, enabled=dtype == "bfloat16")
