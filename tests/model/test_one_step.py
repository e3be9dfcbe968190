"""One training step against the equations, written down once more in float64, box by box.

All anchors and all regions are learnt from, so nothing is drawn.  The reference knows the names of
the weights and nothing else of the code that it checks.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import Any

import pytest
import torch
import torch.nn.functional as F
import torchvision
from torch import Tensor

from detection.cli.compose import compose_config
from detection.cli.objects import as_plain, make
from detection.structures import ImageBatch, Target

Box = list[float]


@dataclass(frozen=True)
class Rules:
    """What paper2015 and modern_c4 see differently in a step."""

    mean: tuple[float, ...]
    sigma_rpn: float  # infinite: L1
    sigma_head: float
    rpn_divisor: float | None  # of an image's sums; None: the anchors that take part
    regions_of_batch: bool  # whether the regions of all images divide, or those of each
    # Unrounded anchors are kept in float32, and so are their widths.
    tolerance: float

    def anchor(self, x: int, y: int, ratio: float, size: int) -> Box:
        raise NotImplementedError


class Paper(Rules):
    def anchor(self, x: int, y: int, ratio: float, size: int) -> Box:
        # py-faster-rcnn rounds the sides of a 16-pixel box, then scales them.
        w = round(16 / ratio**0.5)
        h = round(w * ratio)
        return around(16 * x + 8, 16 * y + 8, w * size / 16, h * size / 16)


class Modern(Rules):
    def anchor(self, x: int, y: int, ratio: float, size: int) -> Box:
        box = around(0, 0, size / ratio**0.5, size * ratio**0.5)
        shift = torch.tensor([16.0 * x, 16.0 * y] * 2)
        return (torch.tensor(box) + shift).tolist()  # in float32, as they are kept


def around(x: float, y: float, width: float, height: float) -> Box:
    return [x - width / 2, y - height / 2, x + width / 2, y + height / 2]


PER_IMAGE = 100000
PAPER = Paper((102.9801, 115.9465, 122.7717), 3.0, 1.0, None, False, 1e-9)
MODERN = Modern((103.53, 116.28, 123.675), math.inf, math.inf, PER_IMAGE, True, 1e-6)
HEIGHT, WIDTH, CLASSES, BINS = 48, 72, 3, 4
SIZES, RATIOS, AFTER_NMS = (16, 32), (0.5, 1.0, 2.0), 5
WEIGHTS = (10.0, 10.0, 5.0, 5.0)
OBJECTS = [
    ([[4, 4, 36, 40], [24, 12, 68, 40]], [1, 3]),
    ([[10, 2, 30, 46]], [2]),
]


def block(x: Tensor, w: dict[str, Tensor], name: str, stride: int, bottleneck: bool) -> Tensor:
    def conv(x: Tensor, part: str, stride: int = 1, padding: int = 0) -> Tensor:
        return conv_bn(x, w, f"{name}.{part}", stride, padding)

    if bottleneck:
        y = conv(x, "conv_a", stride).relu()
        y = conv(conv(y, "conv_b", 1, 1).relu(), "conv_c")
    else:
        y = conv(conv(x, "conv_a", stride, 1).relu(), "conv_b", 1, 1)
    projected = f"{name}.shortcut.conv.weight" in w
    return (y + (conv(x, "shortcut", stride) if projected else x)).relu()


def conv_bn(x: Tensor, w: dict[str, Tensor], name: str, stride: int, padding: int) -> Tensor:
    bn = [w[f"{name}.bn.{part}"] for part in ("running_mean", "running_var", "weight", "bias")]
    y = F.conv2d(x, w[f"{name}.conv.weight"], stride=stride, padding=padding)
    return F.batch_norm(y, *bn, training=False, eps=1e-5)


def stage(x: Tensor, w: dict[str, Tensor], name: str, stride: int, bottleneck: bool) -> Tensor:
    number = 0
    while f"{name}.{number}.conv_a.conv.weight" in w:
        one = stride if number == 0 else 1
        x = block(x, w, f"{name}.{number}", one, bottleneck)
        number += 1
    return x


def iou(a: Box, b: Box) -> float:
    width = max(0.0, min(a[2], b[2]) - max(a[0], b[0]))
    height = max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
    common = width * height
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (a, b)]
    return common / (sum(areas) - common)


def deltas_to(box: Box, anchor: Box, weights: tuple[float, ...]) -> list[float]:
    width, height = anchor[2] - anchor[0], anchor[3] - anchor[1]
    dx = (box[0] + box[2] - anchor[0] - anchor[2]) / 2 / width
    dy = (box[1] + box[3] - anchor[1] - anchor[3]) / 2 / height
    dw = math.log((box[2] - box[0]) / width)
    dh = math.log((box[3] - box[1]) / height)
    return [d * weight for d, weight in zip((dx, dy, dw, dh), weights, strict=True)]


def moved(anchor: Box, deltas: list[float]) -> Box:
    width, height = anchor[2] - anchor[0], anchor[3] - anchor[1]
    x = (anchor[0] + anchor[2]) / 2 + deltas[0] * width
    y = (anchor[1] + anchor[3]) / 2 + deltas[1] * height
    half = width * math.exp(deltas[2]) / 2, height * math.exp(deltas[3]) / 2
    box = [x - half[0], y - half[1], x + half[0], y + half[1]]
    return [min(max(v, 0.0), limit) for v, limit in zip(box, (WIDTH, HEIGHT) * 2, strict=True)]


def smooth_l1(found: Tensor, wanted: list[float], sigma: float) -> Tensor:
    total = found.new_zeros(())
    for value, goal in zip(found, wanted, strict=True):
        x = (value - goal).abs()
        total = total + (
            0.5 * (sigma * x) ** 2 if x < 1 / sigma**2 else x - 0.5 / sigma**2
        )  # L1: inf
    return total


def all_anchors(height: int, width: int, rules: Rules) -> list[Box]:
    cells = itertools.product(range(height), range(width), RATIOS, SIZES)
    return [rules.anchor(x, y, ratio, size) for y, x, ratio, size in cells]


def rpn_losses(
    logits: Tensor, deltas: Tensor, anchors: list[Box], boxes: list[Box], rules: Rules
) -> list[Tensor]:
    best = [max(iou(anchor, box) for anchor in anchors) for box in boxes]
    cls, reg, count = logits.new_zeros(()), logits.new_zeros(()), 0
    for number, anchor in enumerate(anchors):
        overlaps = [iou(anchor, box) for box in boxes]
        top = max(overlaps)
        positive = top >= 0.7 or any(
            abs(o - b) < 1e-9 and b > 0 for o, b in zip(overlaps, best, strict=True)
        )
        if not positive and top >= 0.3:
            continue
        count += 1
        logit = logits[number]
        cls = cls + F.softplus(-logit if positive else logit)
        if positive:
            goal = deltas_to(boxes[overlaps.index(top)], anchor, (1, 1, 1, 1))
            reg = reg + smooth_l1(deltas[number], goal, rules.sigma_rpn)
    divisor = rules.rpn_divisor or count
    return [cls / divisor, reg / divisor]


def proposed(logits: Tensor, deltas: Tensor, anchors: list[Box]) -> list[Box]:
    order = sorted(range(len(anchors)), key=lambda i: -float(logits[i].detach()))
    kept: list[Box] = []
    for i in order:
        box = moved(anchors[i], deltas[i].tolist())
        if min(box[2] - box[0], box[3] - box[1]) < 1e-3:
            continue
        if all(iou(box, other) <= 0.7 for other in kept):
            kept.append(box)
    return kept[:AFTER_NMS]


def reference(
    w: dict[str, Tensor], images: Tensor, bottleneck: bool, pooling: str, rules: Rules
) -> dict[str, Tensor]:
    mean = torch.tensor(rules.mean).double()  # as float32 has them
    x = (images.double() - mean).permute(0, 3, 1, 2)
    back = {name.removeprefix("backbone."): t for name, t in w.items() if "backbone." in name}
    x = F.max_pool2d(conv_bn(x, back, "conv1", 2, 3).relu(), 3, 2, 1)
    for name, stride in (("conv2", 1), ("conv3", 2), ("conv4", 2)):
        x = stage(x, back, name, stride, bottleneck)
    hidden = F.conv2d(x, w["rpn.conv.weight"], w["rpn.conv.bias"], padding=1).relu()
    objectness, regressed = (
        F.conv2d(hidden, w[f"rpn.{name}.weight"], w[f"rpn.{name}.bias"])
        for name in ("objectness", "deltas")
    )
    anchors = all_anchors(*x.shape[-2:], rules)
    sums: dict[str, Any] = dict.fromkeys(("rpn_objectness", "rpn_box", "head_class", "head_box"), 0)
    all_regions = 0
    for i, (boxes, labels) in enumerate(OBJECTS):
        logits = objectness[i].permute(1, 2, 0).reshape(-1)
        deltas = regressed[i].permute(1, 2, 0).reshape(-1, 4)
        cls, reg = rpn_losses(logits, deltas, anchors, boxes, rules)
        sums["rpn_objectness"] += cls / len(OBJECTS)
        sums["rpn_box"] += reg / len(OBJECTS)
        regions = [*proposed(logits, deltas, anchors), *map(list, boxes)]
        all_regions += len(regions)
        share = 1.0 if rules.regions_of_batch else 1 / len(regions) / len(OBJECTS)
        rois = torch.tensor([[0.0, *box] for box in regions], dtype=torch.float64)
        if pooling == "roi_align":
            pooled = torchvision.ops.roi_align(x[i : i + 1], rois, BINS, 1 / 16, 0, True)
        else:  # Caffe's corners: the last pixel, not the edge behind it
            rois[:, 3:] -= 1
            pooled = torchvision.ops.roi_pool(x[i : i + 1], rois, BINS, 1 / 16)
        vectors = stage(pooled, back, "conv5", 2, bottleneck).mean(dim=(2, 3))
        scores = F.linear(vectors, w["roi_head.logits.weight"], w["roi_head.logits.bias"])
        moves = F.linear(vectors, w["roi_head.deltas.weight"], w["roi_head.deltas.bias"])
        for r, region in enumerate(regions):
            overlaps = [iou(region, box) for box in boxes]
            top = max(overlaps)
            index = overlaps.index(top)
            label = labels[index] if top >= 0.5 else 0
            sums["head_class"] += (scores[r].logsumexp(0) - scores[r][label]) * share
            if label:
                goal = deltas_to(boxes[index], region, WEIGHTS)
                own = moves[r].view(CLASSES, 4)[label - 1]
                sums["head_box"] += smooth_l1(own, goal, rules.sigma_head) * share
    if rules.regions_of_batch:
        sums |= {name: sums[name] / all_regions for name in ("head_class", "head_box")}
    return sums


@pytest.mark.slow
@pytest.mark.parametrize(
    ("model_name", "depth", "pooling"),
    [
        ("paper2015", 18, "roi_align"),
        ("paper2015", 50, "roi_pool"),
        ("modern_c4", 50, "roi_align"),
    ],
)
def test_losses_and_every_gradient(model_name: str, depth: int, pooling: str) -> None:
    rules = PAPER if model_name == "paper2015" else MODERN
    words = [
        "data.root=x", "schedule=paper2015", f"model={model_name}",
        f"model.backbone.depth={depth}",
        f"model.backbone.bin_step={2 if depth >= 50 else 1}",
        "model.backbone.frozen_stages=[]", f"model.roi_head.pooling={pooling}",
        f"model.roi_head.pooled_size={BINS}", "model.rpn.hidden_channels=16",
        f"model.rpn.anchors.sizes={list(SIZES)}", f"model.rpn.sampling.per_image={PER_IMAGE}",
        "model.rpn.sampling.cross_boundary=true", "model.roi_head.sampling.per_image=1000",
        f"model.rpn.training_proposals.after_nms={AFTER_NMS}",
        "model.rpn.training_proposals.before_nms=null",
        "model.roi_head.class_init_std=0.3", "model.roi_head.box_init_std=0.1",
        "model.rpn.init_std=0.004",
    ]  # fmt: skip
    config = compose_config("train", [word.replace(" ", "") for word in words])
    torch.manual_seed(1)
    model = make(as_plain(config.model) | {"num_classes": CLASSES}).double().train()
    for name, buffer in model.named_buffers():  # BN that does something
        if "running_mean" in name:
            buffer.normal_(std=0.05)
        elif name.endswith(("bn.weight", "running_var")):
            buffer.uniform_(0.7, 1.1)
    images = torch.randint(0, 256, (2, HEIGHT, WIDTH, 3), dtype=torch.uint8)
    targets = [
        Target(torch.tensor(boxes).double(), torch.tensor(labels), torch.zeros(len(labels)).bool())
        for boxes, labels in OBJECTS
    ]
    losses = model(ImageBatch(images, [(HEIGHT, WIDTH)] * 2), targets)
    losses.total().backward()

    copies = {
        name: t.detach().clone().requires_grad_(isinstance(t, torch.nn.Parameter))
        for name, t in model.state_dict(keep_vars=True).items()
    }
    expected = reference(copies, images, depth >= 50, pooling, rules)
    sum(expected.values()).backward()  # type: ignore[union-attr]
    for name, value in expected.items():
        assert float(value.detach()) > 0
        assert float(getattr(losses, name).detach()) == pytest.approx(
            float(value.detach()), rel=rules.tolerance
        ), name
    largest = max(float(p.grad.abs().max()) for p in model.parameters())
    for name, parameter in model.named_parameters():
        wanted = copies[name].grad
        assert wanted is not None, name
        assert wanted.abs().max() > 0, name
        difference = float((parameter.grad - wanted).abs().max())
        assert difference <= rules.tolerance * largest, name
