"""The network: its losses, its boxes, what it refuses."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from detection.localization.localizer import Localizer
from detection.structures import ImageBatch, Target


def test_its_boxes_are_those_of_the_class_best_first(
    localizer: Callable[..., Localizer],
) -> None:
    network = localizer().eval()
    images = torch.randint(0, 256, (2, 64, 96, 3), dtype=torch.uint8)
    asked = torch.tensor([[0, 3], [6, 3]])
    with torch.inference_mode():
        boxes, scores = network.predict(images, asked, most=5)
        alone, _ = network.predict(images[1:], asked[1:, :1], most=5)
        every, _ = network.predict(images, asked, most=1000)
    assert boxes.shape == (2, 2, 5, 4)
    assert (scores.diff(dim=2) <= 0).all()
    assert torch.allclose(boxes[1, 0], alone[0, 0], atol=1e-4)
    assert every.shape[2] == 2 * 3 * 4  # positions and anchors
    assert boxes.amin() >= 0
    assert (boxes[..., 2] <= 96).all()
    assert (boxes[..., 3] <= 64).all()


@pytest.mark.slow
def test_it_learns_one_box_of_a_class(localizer: Callable[..., Localizer]) -> None:
    network = localizer(num_classes=2).train()
    images = torch.randint(0, 256, (2, 64, 64, 3), dtype=torch.uint8)
    boxes = torch.tensor([[[4.0, 8.0, 34.0, 40.0]], [[30.0, 20.0, 62.0, 50.0]]])
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-2)
    for step in range(60):
        targets = [
            Target(
                boxes=box,
                labels=torch.tensor([label]),
                ignored=torch.tensor([False]),
                seed=2 * step,  # other anchors in each step
            )
            for label, box in enumerate(boxes, start=1)
        ]
        optimizer.zero_grad()
        loss = network(ImageBatch(images, [(64, 64)] * 2), targets).total()
        loss.backward()
        optimizer.step()
    with torch.inference_mode():
        found, _ = network.predict(images, torch.tensor([[0], [1]]), most=1)
    assert (found[:, 0] - boxes).abs().amax() < 3


def test_what_does_not_fit_conv5_is_refused(localizer: Callable[..., Localizer]) -> None:
    with pytest.raises(ValueError, match=r"whose stride is 32: write model.head.anchors.stride=32"):
        localizer(stride=16)
    with pytest.raises(ValueError, match=r"model.backbone.bin_step=2 is for RoI pooling"):
        localizer(bin_step=2)
