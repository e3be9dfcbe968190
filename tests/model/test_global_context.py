"""Global context: the whole image as one more region (He et al. 2015, appendix B)."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from detection.model.faster_rcnn import FasterRCNN
from detection.structures import ImageBatch, Target

MakeDetector = Callable[..., FasterRCNN]
MakeTarget = Callable[..., Target]
MakeBatch = Callable[..., ImageBatch]


@torch.no_grad()
def test_global_context_is_the_whole_images_feature_beside_each_regions(
    detector: MakeDetector, image_batch: MakeBatch
) -> None:
    model = detector(tiny=True, context=True).eval()
    images = image_batch((64, 96), (80, 64))
    features = model.features(images)
    boxes = [torch.tensor([[4.0, 4, 60, 60], [0, 0, 20, 30]]), torch.tensor([[8.0, 0, 50, 70]])]
    found = model.classify(features, boxes, images.sizes)
    for i, (height, width) in enumerate(images.sizes):

        def feature(box: Tensor, i: int = i) -> Tensor:
            pooled = model.pool(features[i : i + 1], [box[None]])
            return model.backbone.region_features(pooled)[0]

        whole = feature(torch.tensor([0.0, 0, width, height]))
        for number, box in enumerate(boxes[i]):
            both = torch.cat((feature(box), whole))
            logits = model.roi_head.logits(both)
            torch.testing.assert_close(found[i].probabilities[number], logits.softmax(0))
    # It is context that speaks: another image's gives other probabilities.
    swapped = model.context(features, images.sizes).flip(0)  # type: ignore[union-attr]
    own = model.backbone.region_features(model.pool(features, boxes))
    other = model.classify_region_features(own, boxes, images.sizes, swapped)
    assert not torch.allclose(other[0].probabilities, found[0].probabilities)


def test_a_detector_without_context_has_none(
    detector: MakeDetector, image_batch: MakeBatch
) -> None:
    model, images = detector(tiny=True).eval(), image_batch((64, 64))
    assert model.context(model.features(images), images.sizes) is None
    assert model.roi_head.logits.in_features == 6


def test_global_context_is_trained_end_to_end(
    detector: MakeDetector, target: MakeTarget, image_batch: MakeBatch
) -> None:
    model = detector(tiny=True, context=True).train()
    assert model.roi_head.logits.in_features == 12
    # With the regions' own half silenced, all that reaches the backbone comes through the context.
    with torch.no_grad():
        model.roi_head.logits.weight[:, :6] = 0
        model.roi_head.deltas.weight[:, :6] = 0
    images, targets = image_batch((64, 64)), [target([[10, 10, 60, 50]], labels=[2])]
    losses = model(images, targets)
    (losses.head_class + losses.head_box).backward()
    gradient = model.backbone.per_region.weight.grad
    assert gradient is not None
    assert bool(gradient.any())
    assert bool(model.backbone.shared.weight.grad.any())
    # ... and the half of the two layers that reads the context learns.
    assert bool(model.roi_head.logits.weight.grad[:, 6:].any())
