"""The images of a mini-batch do not mix."""

from __future__ import annotations

from collections.abc import Callable

import torch

from detection.model.faster_rcnn import FasterRCNN
from detection.structures import ImageBatch

MakeDetector = Callable[..., FasterRCNN]
MakeBatch = Callable[..., ImageBatch]


@torch.no_grad()
def test_each_image_is_classified_on_its_own_features(
    detector: MakeDetector, image_batch: MakeBatch
) -> None:
    model = detector(tiny=True).eval()
    images = image_batch((64, 64), (64, 64))
    features = model.features(images)
    boxes = [torch.tensor([[4.0, 4, 60, 60]])] * 2
    together = model.classify(features, boxes, images.sizes)
    for i in range(2):
        (alone,) = model.classify(features[i : i + 1], [boxes[i]], [images.sizes[i]])
        torch.testing.assert_close(alone.probabilities, together[i].probabilities)
        torch.testing.assert_close(alone.boxes, together[i].boxes)
    assert not torch.equal(together[0].probabilities, together[1].probabilities)


@torch.no_grad()
def test_the_other_images_pixels_do_not_matter(
    detector: MakeDetector, image_batch: MakeBatch
) -> None:
    model = detector().eval()
    images = image_batch((64, 96), (96, 64))
    others = ImageBatch(images.pixels.clone(), images.sizes)
    others.pixels[1, :, :64] = 255 - others.pixels[1, :, :64]
    (a, a_other), (b, b_other) = (model.propose(batch)[1] for batch in (images, others))
    torch.testing.assert_close(a.boxes, b.boxes, atol=1e-3, rtol=1e-5)
    torch.testing.assert_close(a.logits, b.logits, atol=1e-5, rtol=1e-5)
    assert not torch.equal(a_other.logits, b_other.logits)


@torch.no_grad()
def test_padding_changes_nothing_beyond_the_reach_of_the_convolutions(
    detector: MakeDetector, image_batch: MakeBatch
) -> None:
    # The tiny backbone sees 16 x 16 pixels, the RPN's convolution one position more: of the
    # 64 x 64 image's 4 x 4 positions the outer ones at the right and the bottom see the padding.
    # (py-faster-rcnn and detectron2 are no different: zeros are what a convolution pads with, but
    # only in its own input; deeper layers see what the layers before made of them.)
    model = detector(tiny=True).eval()
    batch = image_batch((64, 64), (96, 128))
    alone = ImageBatch(batch.pixels[:1, :64, :64], batch.sizes[:1])
    logits, deltas = model.rpn(model.features(alone))
    padded_logits, padded_deltas = model.rpn(model.features(batch))
    k = model.rpn.anchors.per_position
    own = logits.reshape(4, 4, k)[:3, :3]
    padded = padded_logits[0].reshape(6, 8, k)[:3, :3]
    torch.testing.assert_close(own, padded)
    torch.testing.assert_close(
        deltas.reshape(4, 4, k, 4)[:3, :3], padded_deltas[0].reshape(6, 8, k, 4)[:3, :3]
    )


@torch.no_grad()
def test_proposals_and_boxes_stay_in_their_own_image(
    detector: MakeDetector, image_batch: MakeBatch
) -> None:
    model = detector(tiny=True, test_proposals=15).eval()
    model.rpn.deltas.weight.normal_(std=1.0)
    model.roi_head.deltas.weight.normal_(std=5.0)
    images = image_batch((64, 96), (96, 50))
    features, proposals = model.propose(images)
    predictions = model.classify(features, [p.boxes for p in proposals], images.sizes)
    for (height, width), found, predicted in zip(images.sizes, proposals, predictions, strict=True):
        assert 0 < len(found.boxes) <= 15
        for boxes in (found.boxes, predicted.boxes):
            assert float(boxes.min()) >= 0
            assert float(boxes[..., 2].max()) <= width
            assert float(boxes[..., 3].max()) <= height
