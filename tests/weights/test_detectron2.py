"""A detectron2 C4 detector, imported, computes what detectron2's definition says.

The reference below is written from that definition with plain torch and torchvision's operators: a
function of the state dict under detectron2's names that shares no code with the package.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.ops import batched_nms, nms, roi_align

from detection.build import build
from detection.cli.compose import compose_config
from detection.cli.objects import as_plain
from detection.model.faster_rcnn import FasterRCNN
from detection.structures import ImageBatch, Target
from detection.weights.detectron2 import (
    backbone_from_detectron2,
    from_detectron2,
    to_detectron2,
)

Weights = dict[str, Tensor]

CLASSES = 3
SIZES, RATIOS = (32, 64, 128, 256, 512), (0.5, 1.0, 2.0)
ANCHORS = {"sizes": 5, "ratios": 3}
MEAN = torch.tensor([103.53, 116.28, 123.675])


# ---- Random weights under detectron2's names ---------------------------------------------------


def random_weights(*, norm_counts: bool = False, extra_norm: bool = False) -> Weights:
    weights: Weights = {}

    def conv(name: str, inputs: int, outputs: int, kernel: int, gain: float = 1.0) -> None:
        std = gain * math.sqrt(2 / (inputs * kernel**2))
        weights[f"{name}.weight"] = torch.randn(outputs, inputs, kernel, kernel) * std
        norm(f"{name}.norm", outputs)

    def norm(name: str, channels: int) -> None:
        weights[f"{name}.weight"] = torch.rand(channels) + 0.5
        weights[f"{name}.bias"] = torch.randn(channels) * 0.2
        weights[f"{name}.running_mean"] = torch.randn(channels) * 0.2
        weights[f"{name}.running_var"] = torch.rand(channels) + 0.5
        if norm_counts:
            weights[f"{name}.num_batches_tracked"] = torch.tensor(7)

    def layer(name: str, inputs: int, outputs: int, kernel: int, std: float) -> None:
        shape = (outputs, inputs, kernel, kernel) if kernel else (outputs, inputs)
        weights[f"{name}.weight"] = torch.randn(shape) * std
        weights[f"{name}.bias"] = torch.randn(outputs) * 0.1

    conv("backbone.stem.conv1", 3, 64, 7, gain=1 / 60)  # pixels of deviation 60
    inputs = 64
    for stage, (blocks, width) in enumerate(((3, 64), (4, 128), (6, 256), (3, 512)), start=2):
        part = "roi_heads" if stage == 5 else "backbone"
        for i in range(blocks):
            name = f"{part}.res{stage}.{i}"
            if i == 0:
                conv(f"{name}.shortcut", inputs, 4 * width, 1, gain=0.7)
            conv(f"{name}.conv1", inputs, width, 1)
            conv(f"{name}.conv2", width, width, 3)
            conv(f"{name}.conv3", width, 4 * width, 1, gain=0.3)
            inputs = 4 * width
    if extra_norm:
        norm("roi_heads.res5.norm", 2048)
    rpn, predictor = "proposal_generator.rpn_head", "roi_heads.box_predictor"
    layer(f"{rpn}.conv", 1024, 1024, 3, 0.01)
    layer(f"{rpn}.objectness_logits", 1024, 15, 1, 0.02)
    layer(f"{rpn}.anchor_deltas", 1024, 60, 1, 0.003)
    layer(f"{predictor}.cls_score", 2048, CLASSES + 1, 0, 0.02)
    layer(f"{predictor}.bbox_pred", 2048, 4 * CLASSES, 0, 0.02)
    return weights


# ---- The definition ----------------------------------------------------------------------------


def conv_norm(weights: Weights, name: str, x: Tensor, stride: int = 1) -> Tensor:
    weight = weights[f"{name}.weight"]
    return norm(weights, f"{name}.norm", F.conv2d(x, weight, None, stride, weight.shape[-1] // 2))


def norm(weights: Weights, name: str, x: Tensor) -> Tensor:
    entries = ("running_mean", "running_var", "weight", "bias")
    return F.batch_norm(x, *(weights[f"{name}.{entry}"] for entry in entries), eps=1e-5)


def stage(weights: Weights, name: str, x: Tensor, stride: int, *, stride_in_1x1: bool) -> Tensor:
    i = 0
    while f"{name}.{i}.conv1.weight" in weights:
        block, step = f"{name}.{i}", stride if i == 0 else 1
        first, second = (step, 1) if stride_in_1x1 else (1, step)
        y = F.relu(conv_norm(weights, f"{block}.conv1", x, first))
        y = F.relu(conv_norm(weights, f"{block}.conv2", y, second))
        y = conv_norm(weights, f"{block}.conv3", y)
        if i == 0:
            x = conv_norm(weights, f"{block}.shortcut", x, step)
        x = F.relu(x + y)
        i += 1
    return x


def features(weights: Weights, images: list[Tensor], *, stride_in_1x1: bool) -> Tensor:
    """``images``: uint8 [H, W, 3], BGR."""
    height, width = max(i.shape[0] for i in images), max(i.shape[1] for i in images)
    batch = torch.zeros(len(images), 3, height, width)
    for place, image in zip(batch, images, strict=True):
        place[:, : image.shape[0], : image.shape[1]] = (image - MEAN).permute(2, 0, 1)
    x = F.relu(conv_norm(weights, "backbone.stem.conv1", batch, 2))
    x = F.max_pool2d(x, 3, 2, 1)
    for number, stride in ((2, 1), (3, 2), (4, 2)):
        x = stage(weights, f"backbone.res{number}", x, stride, stride_in_1x1=stride_in_1x1)
    return x


def anchors(height: int, width: int) -> Tensor:
    boxes = []
    for row in range(height):
        for column in range(width):
            for size in SIZES:
                for ratio in RATIOS:
                    w = math.sqrt(size * size / ratio)
                    h = ratio * w
                    x, y = column * 16, row * 16
                    boxes.append([x - w / 2, y - h / 2, x + w / 2, y + h / 2])
    return torch.tensor(boxes)


def rpn(weights: Weights, x: Tensor) -> tuple[Tensor, Tensor]:
    """Logits [N, B] and deltas [N, B, 4], in detectron2's order of anchors."""
    head = "proposal_generator.rpn_head"
    t = F.relu(F.conv2d(x, weights[f"{head}.conv.weight"], weights[f"{head}.conv.bias"], 1, 1))

    def predict(name: str, per_anchor: int) -> Tensor:
        y = F.conv2d(t, weights[f"{head}.{name}.weight"], weights[f"{head}.{name}.bias"])
        y = y.view(len(y), -1, per_anchor, *y.shape[-2:])  # [N, A, 1 or 4, h, w]
        return y.permute(0, 3, 4, 1, 2).flatten(1, 3)

    return predict("objectness_logits", 1)[..., 0], predict("anchor_deltas", 4)


def apply_deltas(deltas: Tensor, boxes: Tensor, scale: tuple[float, ...]) -> Tensor:
    result = torch.empty_like(deltas)
    for row, (delta, box) in enumerate(zip(deltas.tolist(), boxes.tolist(), strict=True)):
        dx, dy, dw, dh = (d / s for d, s in zip(delta, scale, strict=True))
        limit = math.log(1000 / 16)
        w, h = box[2] - box[0], box[3] - box[1]
        x, y = box[0] + w / 2 + dx * w, box[1] + h / 2 + dy * h
        w, h = w * math.exp(min(dw, limit)), h * math.exp(min(dh, limit))
        result[row] = torch.tensor([x - w / 2, y - h / 2, x + w / 2, y + h / 2])
    return result


def get_deltas(source: Tensor, target: Tensor, scale: tuple[float, ...]) -> Tensor:
    size, new = source[:, 2:] - source[:, :2], target[:, 2:] - target[:, :2]
    shift = (target[:, :2] + new / 2 - source[:, :2] - size / 2) / size
    return torch.cat((shift, (new / size).log()), dim=1) * torch.tensor(scale)


def clip(boxes: Tensor, size: tuple[int, int]) -> Tensor:
    limit = torch.tensor([size[1], size[0], size[1], size[0]])
    return torch.minimum(boxes.clamp(min=0), limit)


def proposals(
    logits: Tensor, deltas: Tensor, grid: Tensor, size: tuple[int, int], before: int, after: int
) -> Tensor:
    """Of one image."""
    best = logits.argsort(descending=True)[:before]
    boxes = clip(apply_deltas(deltas[best], grid[best], (1, 1, 1, 1)), size)
    kept = (boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])
    boxes, scores = boxes[kept], logits[best][kept]
    return boxes[nms(boxes, scores, 0.7)[:after]]


def predict(
    weights: Weights, x: Tensor, boxes: list[Tensor], *, stride_in_1x1: bool
) -> tuple[Tensor, Tensor]:
    """Class logits [R, C + 1], background last, and deltas [R, C, 4]."""
    pooled = roi_align(x, boxes, 14, 1 / 16, sampling_ratio=0, aligned=True)
    y = stage(weights, "roi_heads.res5", pooled, 2, stride_in_1x1=stride_in_1x1)
    if "roi_heads.res5.norm.weight" in weights:
        y = norm(weights, "roi_heads.res5.norm", y)
    y = y.mean(dim=[2, 3])
    head = "roi_heads.box_predictor"
    logits, deltas = (
        F.linear(y, weights[f"{head}.{name}.weight"], weights[f"{head}.{name}.bias"])
        for name in ("cls_score", "bbox_pred")
    )
    return logits, deltas.view(len(y), -1, 4)


def detections(
    logits: Tensor, deltas: Tensor, boxes: Tensor, size: tuple[int, int]
) -> tuple[Tensor, Tensor, Tensor]:
    """Boxes, scores and classes (0 ... C - 1) of one image."""
    scores = logits.softmax(dim=1)[:, :-1]
    repeated = boxes[:, None].expand(-1, CLASSES, -1).reshape(-1, 4)
    moved = clip(apply_deltas(deltas.reshape(-1, 4), repeated, (10, 10, 5, 5)), size)
    flat = scores.flatten()
    classes = torch.arange(CLASSES).repeat(len(boxes))
    passed = flat > 0.05
    moved, flat, classes = moved[passed], flat[passed], classes[passed]
    kept = batched_nms(moved, flat, classes, 0.5)[:100]
    return moved[kept], flat[kept], classes[kept]


def overlaps(a: Tensor, b: Tensor) -> Tensor:
    """[len(a), len(b)]"""
    result = torch.zeros(len(a), len(b))
    for j, (x1, y1, x2, y2) in enumerate(b):
        w = torch.minimum(a[:, 2], x2) - torch.maximum(a[:, 0], x1)
        h = torch.minimum(a[:, 3], y2) - torch.maximum(a[:, 1], y1)
        common = w.clamp(min=0) * h.clamp(min=0)
        area = (a[:, 2] - a[:, 0]) * (a[:, 3] - a[:, 1]) + (x2 - x1) * (y2 - y1) - common
        result[:, j] = common / area
    return result


# ---- Ours --------------------------------------------------------------------------------------

# Everything is sampled, so that the losses depend on no random number.
ALL = 100_000


def preset(*overrides: str) -> FasterRCNN:
    config = compose_config("train", ["experiment=modern_c4", "data.root=x", *overrides])
    return build(as_plain(config.model) | {"num_classes": CLASSES})


@pytest.fixture(scope="module")
def weights() -> Weights:
    torch.manual_seed(1)
    return random_weights()


@pytest.fixture(scope="module")
def model(weights: Weights) -> FasterRCNN:
    ours = preset(
        f"model.rpn.sampling.per_image={ALL}",
        f"model.roi_head.sampling.per_image={ALL}",
        "model.rpn.training_proposals.after_nms=12",
        "model.rpn.test_proposals.after_nms=25",
    )
    renamed, left_out = from_detectron2(weights, **ANCHORS)
    assert left_out == []
    ours.load_state_dict(renamed)
    return ours.eval()


@pytest.fixture(scope="module")
def images(image_batch: Callable[..., ImageBatch]) -> ImageBatch:
    """Smooth pictures: their features differ from place to place."""
    batch = image_batch((80, 112), (96, 64), seed=2)
    pixels = batch.pixels.permute(0, 3, 1, 2).float()
    smooth = F.avg_pool2d(pixels, 9, 1, 4, count_include_pad=False)
    smooth = ((smooth - 127) * 4 + 127).clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1)
    for image, (height, width) in zip(smooth, batch.sizes, strict=True):
        image[height:], image[:, width:] = 0, 0
    return ImageBatch(smooth.contiguous(), batch.sizes)


def as_list(images: ImageBatch) -> list[Tensor]:
    return [p[:h, :w].float() for p, (h, w) in zip(images.pixels, images.sizes, strict=True)]


def reorder(values: Tensor, positions: int) -> Tensor:
    """[B, ...]: from detectron2's order of anchors to ours, by its definition, one by one."""
    theirs = [(size, ratio) for size in SIZES for ratio in RATIOS]
    ours = [(size, ratio) for ratio in RATIOS for size in SIZES]
    index = [p * 15 + theirs.index(anchor) for p in range(positions) for anchor in ours]
    return values[index]


def close(ours: Tensor, theirs: Tensor) -> None:
    """Within 1e-4 of the largest value."""
    assert ours.shape == theirs.shape
    assert float((ours - theirs).abs().max()) <= 1e-4 * float(theirs.abs().max())


@pytest.mark.slow
@torch.no_grad()
def test_an_imported_detector_equals_the_definition(
    weights: Weights, model: FasterRCNN, images: ImageBatch
) -> None:
    x = features(weights, as_list(images), stride_in_1x1=True)
    close(model.features(images), x)
    height, width = x.shape[-2:]
    grid = anchors(height, width)
    close(model.anchors(x), reorder(grid, height * width))
    logits, deltas = rpn(weights, x)
    own_logits, own_deltas = model.rpn(model.features(images))
    for i in range(2):
        close(own_logits[i], reorder(logits[i], height * width))
        close(own_deltas[i], reorder(deltas[i], height * width))

    own_features, own_proposals = model.propose(images)
    boxes = [
        proposals(logits[i], deltas[i], grid, images.sizes[i], before=6000, after=25)
        for i in range(2)
    ]
    for own, theirs in zip(own_proposals, boxes, strict=True):
        assert len(theirs) > 10
        close(own.boxes, theirs)

    class_logits, class_deltas = predict(weights, x, boxes, stride_in_1x1=True)
    pooled = model.pool(own_features, [p.boxes for p in own_proposals])
    own_class_logits, own_class_deltas = model.roi_head(model.backbone.region_features(pooled))
    close(own_class_logits, class_logits.roll(1, dims=1))  # background first
    close(own_class_deltas, class_deltas)

    counts = [len(b) for b in boxes]
    config = compose_config("train", ["inference=modern_c4", "data.root=x"])
    keep = build(as_plain(config.inference.post_processing))
    predictions = model.classify(own_features, [p.boxes for p in own_proposals], images.sizes)
    for i, (own_logit, own_delta) in enumerate(
        zip(class_logits.split(counts), class_deltas.split(counts), strict=True)
    ):
        found = keep(predictions[i])
        theirs_boxes, theirs_scores, theirs_classes = detections(
            own_logit, own_delta, boxes[i], images.sizes[i]
        )
        assert len(theirs_boxes) > 10
        close(found.boxes, theirs_boxes)
        close(found.scores, theirs_scores)
        assert torch.equal(found.labels, theirs_classes + 1)


OBJECTS = [
    [[10.0, 12, 60, 70], [50, 5, 110, 60]],
    [[2.0, 3, 60, 90]],
]
LABELS = [[2, 3], [1]]


def definition_of_losses(weights: Weights, images: ImageBatch) -> list[float]:
    """RPN objectness and box, head class and box; everything sampled.

    The one difference from detectron2: it pads the images of a mini-batch to one size, here each
    goes through the network as it is.
    """
    objectness = rpn_box = 0.0
    class_logits, class_deltas, region_labels, region_targets = [], [], [], []
    for i, (image, size) in enumerate(zip(as_list(images), images.sizes, strict=True)):
        x = features(weights, [image], stride_in_1x1=True)
        grid = anchors(*x.shape[-2:])
        (logits,), (deltas,) = rpn(weights, x)
        objects, labels = torch.tensor(OBJECTS[i]), torch.tensor(LABELS[i]) - 1
        iou = overlaps(grid, objects)
        best, matched = iou.max(dim=1)
        positive = (best >= 0.7) | (iou == iou.max(dim=0).values).any(dim=1)
        negative = (best < 0.3) & ~positive
        assert bool(positive.any())
        sampled = positive | negative
        objectness += float(
            F.binary_cross_entropy_with_logits(
                logits[sampled], positive[sampled].float(), reduction="sum"
            )
        )
        wanted = get_deltas(grid[positive], objects[matched[positive]], (1, 1, 1, 1))
        rpn_box += float((deltas[positive] - wanted).abs().sum())
        boxes = proposals(logits, deltas, grid, size, before=12000, after=12)
        boxes = torch.cat((boxes, objects))  # PROPOSAL_APPEND_GT
        best, matched = overlaps(boxes, objects).max(dim=1)
        region_labels.append(torch.where(best >= 0.5, labels[matched], CLASSES))
        region_targets.append(get_deltas(boxes, objects[matched], (10, 10, 5, 5)))
        predicted = predict(weights, x, [boxes], stride_in_1x1=True)
        class_logits.append(predicted[0])
        class_deltas.append(predicted[1])
    label = torch.cat(region_labels)
    foreground = (label < CLASSES).nonzero()[:, 0]
    own = torch.cat(class_deltas)[foreground, label[foreground]]
    box = (own - torch.cat(region_targets)[foreground]).abs().sum() / len(label)
    normaliser = ALL * len(images)
    classes = F.cross_entropy(torch.cat(class_logits), label)
    return [objectness / normaliser, rpn_box / normaliser, float(classes), float(box)]


@pytest.mark.slow
@torch.no_grad()
def test_the_losses_equal_the_definition(
    weights: Weights, model: FasterRCNN, images: ImageBatch, target: Callable[..., Target]
) -> None:
    # A crowd does not exist for detectron2: it is taken out when the data is read.
    crowd = [[0.0, 0, 80, 80]]
    targets = [
        target(OBJECTS[0] + crowd, LABELS[0] + [1], [False, False, True]),
        target(OBJECTS[1], LABELS[1]),
    ]
    losses = model(images, targets)
    ours = [losses.rpn_objectness, losses.rpn_box, losses.head_class, losses.head_box]
    expected = definition_of_losses(weights, images)
    assert [float(loss) for loss in ours] == pytest.approx(expected, rel=1e-4)


@pytest.mark.slow
@torch.no_grad()
def test_mocos_variant_strides_in_the_3x3_and_has_a_bn_behind_conv5(images: ImageBatch) -> None:
    torch.manual_seed(2)
    weights = random_weights(norm_counts=True, extra_norm=True)
    ours = preset(
        "model.backbone.norm=trained_extra",
        "model.backbone.stride_in_1x1=false",
        "model.backbone.bin_step=1",
        "model.backbone.frozen_stages=[]",
    ).eval()
    renamed, _ = from_detectron2(weights, **ANCHORS)
    ours.load_state_dict(renamed)
    assert ours.backbone.conv5_bn.num_batches_tracked == 7
    x = features(weights, as_list(images), stride_in_1x1=False)
    close(ours.features(images), x)
    boxes = [torch.tensor([[4.0, 4, 70, 60]]), torch.tensor([[0.0, 0, 60, 90]])]
    logits, deltas = predict(weights, x, boxes, stride_in_1x1=False)
    own = ours.roi_head(ours.backbone.region_features(ours.pool(x, boxes)))
    close(own[0], logits.roll(1, dims=1))
    close(own[1], deltas)
    # There and back, bit for bit, under the same names.
    back = to_detectron2(ours.state_dict(), **ANCHORS)
    assert back.keys() == weights.keys()
    assert all(torch.equal(back[name], value) for name, value in weights.items())


@pytest.mark.slow
def test_ours_to_detectron2_and_back_is_bit_equal(model: FasterRCNN, weights: Weights) -> None:
    exported = to_detectron2(model.state_dict(), **ANCHORS)
    assert exported.keys() == weights.keys()
    assert all(torch.equal(exported[name], value) for name, value in weights.items())
    again, left_out = from_detectron2(exported, **ANCHORS)
    assert left_out == []
    for name, value in model.state_dict().items():
        assert torch.equal(again[name], value), name


def test_anchors_and_classes_change_places() -> None:
    # 2 sizes x 3 ratios: detectron2's (size, ratio) 00 01 02 10 11 12 become 00 10 01 11 02 12.
    given = {
        "proposal_generator.rpn_head.objectness_logits.bias": torch.tensor([0, 1, 2, 10, 11, 12]),
        "proposal_generator.rpn_head.anchor_deltas.bias": torch.tensor(
            [[4 * a + d for d in range(4)] for a in (0, 1, 2, 10, 11, 12)]
        ).flatten(),
        "roi_heads.box_predictor.cls_score.bias": torch.tensor([1, 2, 3, 0]),
    }
    ours, _ = from_detectron2(given, sizes=2, ratios=3)
    assert ours["rpn.objectness.bias"].tolist() == [0, 10, 1, 11, 2, 12]
    assert ours["rpn.deltas.bias"][::4].tolist() == [0, 40, 4, 44, 8, 48]
    assert ours["rpn.deltas.bias"][4:8].tolist() == [40, 41, 42, 43]
    assert ours["roi_head.logits.bias"].tolist() == [0, 1, 2, 3]


def test_what_is_left_out_is_listed() -> None:
    given = dict.fromkeys(
        [
            "pixel_mean",
            "proposal_generator.anchor_generator.cell_anchors.0",
            "roi_heads.mask_head.deconv.weight",
        ],
        torch.ones(1),
    )
    assert from_detectron2(given, **ANCHORS) == ({}, list(given))


@pytest.mark.parametrize(
    "name",
    [
        "backbone.fpn_lateral2.weight",
        "backbone.bottom_up.res2.0.conv1.weight",
        "backbone.res5.0.conv1.weight",  # of a DC5 backbone
        "roi_heads.res4.0.conv1.weight",
        "roi_heads.box_head.fc1.weight",
        "backbone.res2.0.conv2_offset.weight",
        "backbone.res2.0.conv2.bias",
        "backbone.res2.0.conv2.norm.gamma",
    ],
)
def test_a_name_of_another_model_is_an_error(name: str) -> None:
    with pytest.raises(ValueError, match=f"'{name}' is no parameter of detectron2's"):
        from_detectron2({name: torch.ones(1)}, **ANCHORS)


def test_another_number_of_anchors_is_an_error() -> None:
    name = "proposal_generator.rpn_head.objectness_logits.weight"
    with pytest.raises(ValueError, match=f"{name} is .* must be 15") as error:
        from_detectron2({name: torch.ones(12, 8, 1, 1)}, **ANCHORS)
    assert "anchor_sizes= and aspect_ratios= of import" in str(error.value)


def test_a_layer_that_detectron2_has_not_is_not_exported() -> None:
    with pytest.raises(ValueError, match=r"'backbone\.fc6\.weight' has no counterpart"):
        to_detectron2({"backbone.fc6.weight": torch.ones(1)}, **ANCHORS)


def test_a_backbones_classifier_is_kept_and_a_projection_left_out() -> None:
    one = torch.ones(1)
    given: dict[str, Any] = {
        "stem.conv1.norm.bias": one,
        "res5.2.conv3.weight": one,
        "stem.fc.weight": one,
        "stem.fc.2.weight": one,
    }
    weights, left_out = backbone_from_detectron2(given)
    assert list(weights) == [
        "backbone.conv1.bn.bias",
        "backbone.conv5.2.conv_c.conv.weight",
        "fc.weight",
    ]
    assert left_out == ["stem.fc.2.weight"]
