"""The detectors that are timed: any of the configured ones, with weights that make them detect.

Untrained networks find nothing, and then nothing could be compared.  Here BN keeps the signal's
size through all layers, and the class logits are spread as widely as a trained head's.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cv2
import torch
import torch.nn.functional as F
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from torch import Tensor

from benchmarks import detectron2_c4
from benchmarks.detectron2_c4 import Detectron2C4
from benchmarks.torchvision_c4 import TorchvisionC4
from detection import boxes as box_ops
from detection.cli.launch import as_plain, compose_config
from detection.inference.post_processing import PostProcessing
from detection.model.faster_rcnn import FasterRCNN
from detection.model.frozen_bn import FrozenBN
from detection.structures import Detections, ImageBatch, Target

Peer = TorchvisionC4 | Detectron2C4

# Standard deviation of the class logits: the surest of 20 classes then has a score of about 0.5.
LOGITS_STD = 2.0


def training_config(overrides: Sequence[str]) -> DictConfig:
    """configs/train.yaml under ``overrides``: the benchmark's models are those that are trained."""
    return compose_config("train", list(overrides))


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


def peers(model: FasterRCNN, rule: PostProcessing) -> dict[str, Peer]:
    """The same network as others build it, with the same weights: all that can be had here."""
    if model.has_context:
        raise ValueError("no peer has global context: compare without model=paper2015_context")
    found: dict[str, Peer] = {"torchvision as C4": TorchvisionC4(model, rule)}
    if detectron2_c4.is_installed():
        found["detectron2"] = Detectron2C4(model, rule)
    return found


@torch.no_grad()
def spread_logits(model: FasterRCNN, images: ImageBatch) -> None:
    """Scales the classifier so that its logits have a standard deviation of ``LOGITS_STD``."""
    features, proposals = model.propose(images)
    boxes = [one.boxes[:16] for one in proposals]
    context = model.context(features, images.sizes)
    region_features = model.backbone.region_features(model.pool(features, boxes))
    logits, _ = model._siblings(region_features, boxes, context)
    model.roi_head.logits.weight.mul_(LOGITS_STD / logits.std())


def pictures(number: int, height: int, width: int, seed: int) -> ImageBatch:
    """Smooth colours, different in each picture."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(number, 3, max(2, height // 32), max(2, width // 32), generator=generator)
    fine = F.interpolate(coarse, (height, width), mode="bicubic").clamp(0, 1)
    pixels = (255 * fine).byte().permute(0, 2, 3, 1).contiguous()
    return ImageBatch(pixels, [(height, width)] * number)


def write_pictures(folder: Path, number: int, height: int, width: int, seed: int) -> list[Path]:
    """:func:`pictures` as JPEG files in ``folder``."""
    paths = []
    for i, pixels in enumerate(pictures(number, height, width, seed).pixels):
        paths.append(folder / f"{i:04}.jpg")
        cv2.imwrite(str(paths[-1]), pixels.numpy())
    return paths


def objects(images: ImageBatch, *, per_image: int, classes: int, seed: int) -> list[Target]:
    """Boxes of an eighth to a half of each image's sides, of any class."""
    generator = torch.Generator().manual_seed(seed)
    targets = []
    for height, width in images.sizes:
        size = torch.tensor([width, height]) * (
            0.125 + 0.375 * torch.rand(per_image, 2, generator=generator)
        )
        corner = torch.rand(per_image, 2, generator=generator) * (
            torch.tensor([width, height]) - size
        )
        labels = torch.randint(1, classes + 1, (per_image,), generator=generator)
        targets.append(
            Target(
                boxes=torch.cat((corner, corner + size), dim=1),
                labels=labels,
                ignored=torch.zeros(per_image, dtype=torch.bool),
            )
        )
    return targets


def our_stages(model: FasterRCNN) -> dict[str, list[tuple[object, str]]]:
    return {
        "backbone": [(model, "features")],
        "RPN": [(model.rpn, "forward"), (model.rpn, "propose"), (model.rpn, "losses")],
        "pooling": [(model, "pool")],
        "conv5 head": [(model.backbone, "region_features"), (model.roi_head, "forward")],
    }


def inference(
    model: FasterRCNN, images: ImageBatch, post_processing: PostProcessing, dtype: str
) -> Callable[[], list[Detections]]:
    """A call that detects in ``images``, all of it on their device."""

    @torch.inference_mode()
    def run() -> list[Detections]:
        with autocast(images.pixels.device, dtype):
            features, proposals = model.propose(images)
            regions = [one.boxes for one in proposals]
            predictions = model.classify(features, regions, images.sizes)
        return [post_processing(prediction) for prediction in predictions]

    return run


def peer_inference(peer: Peer, images: ImageBatch, dtype: str) -> Callable[[], list[Detections]]:
    @torch.inference_mode()
    def run() -> list[Detections]:
        with autocast(images.pixels.device, dtype):
            return peer.detect(images)

    return run


def autocast(device: torch.device, dtype: str) -> Any:
    if dtype not in ("float32", "bfloat16"):
        raise ValueError(f"dtypes holds {dtype!r}; choose from float32, bfloat16")
    return torch.autocast(device.type, torch.bfloat16, enabled=dtype == "bfloat16")


def agreement(ours: Sequence[Detections], theirs: Sequence[Detections]) -> float:
    """The part of all detections, in [0, 1], that the other one has too: class, box and score.

    The same box: an IoU of 0.9 or more; the same score: within 0.02.
    """
    found = total = 0
    for a, b in zip(ours, theirs, strict=True):
        same = (
            (box_ops.iou(a.boxes, b.boxes) >= 0.9)
            & (a.labels[:, None] == b.labels[None])
            & ((a.scores[:, None] - b.scores[None]).abs() <= 0.02)
        )
        found += int(same.any(dim=1).sum()) + int(same.any(dim=0).sum())
        total += len(a) + len(b)
    return found / total if total else 1.0


def relative_difference(ours: Tensor, theirs: Tensor) -> float:
    """The greatest difference over the greatest number."""
    difference = (ours.double() - theirs.double()).abs().max()
    return float(difference / theirs.double().abs().max().clamp(min=1e-12))
