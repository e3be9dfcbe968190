"""Mirror images: pixels and boxes go there and come back."""

from __future__ import annotations

from collections.abc import Callable

import torch

from detection import boxes as box_ops
from detection.inference.flip import mirror, upright_classifier
from detection.structures import ImageBatch, RegionPredictions


def test_each_image_is_mirrored_within_its_own_size(
    image_batch: Callable[..., ImageBatch],
) -> None:
    images = image_batch((4, 6), (3, 5))
    flipped = mirror(images)
    assert flipped.sizes == images.sizes
    assert torch.equal(flipped.pixels[0, 1, 0], images.pixels[0, 1, 5])
    assert torch.equal(flipped.pixels[1, 2, 4], images.pixels[1, 2, 0])
    assert not flipped.pixels[1, 3].any()  # padding
    assert not flipped.pixels[1, :, 5].any()
    assert torch.equal(mirror(flipped).pixels, images.pixels)


def test_boxes_go_to_the_mirror_image_and_come_back() -> None:
    asked = []

    def classify(boxes: list[torch.Tensor]) -> list[RegionPredictions]:
        asked.extend(boxes)
        return [RegionPredictions(torch.ones(len(b), 3), b[:, None].repeat(1, 2, 1)) for b in boxes]

    boxes = [torch.tensor([[10.0, 5, 30, 20]]), torch.tensor([[0.0, 0, 8, 8]])]
    found = upright_classifier(classify, [(50, 100), (40, 60)])(boxes)
    assert asked[0].tolist() == [[70, 5, 90, 20]]  # 100 - 30, 100 - 10
    assert asked[1].tolist() == [[52, 0, 60, 8]]
    for image, asked_of in zip(found, boxes, strict=True):
        assert torch.equal(image.boxes, asked_of[:, None].repeat(1, 2, 1))
    assert torch.equal(box_ops.flip(asked[0], 100), boxes[0])
