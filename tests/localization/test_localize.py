"""Boxes out of the views of images, by networks that know the answer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from detection.classification.crops import CentreCrop, FullyConvolutionalViews, TenCrop
from detection.evaluation.localization import is_wrong
from detection.localization.choice import BoxChoice
from detection.localization.evaluate import localize, truth_of
from detection.localization.localizer import Localizer
from detection.localization.located_images import LocatedImages

BEST = BoxChoice(candidates=3, voting_iou=None)
CPU: dict[str, Any] = {"batch_size": 3, "workers": 0, "device": torch.device("cpu")}


class Knowing(torch.nn.Module):
    """Finds the brightest 8 x 8 pixels of each view; class 0 gets the box, others its corner."""

    def predict(self, images: Tensor, classes: Tensor, *, most: int) -> tuple[Tensor, Tensor]:
        found = []
        for image in images[..., 0].float():
            rows, columns = (image > 200).nonzero().float().T
            found.append((columns.min(), rows.min(), columns.max() + 1, rows.max() + 1))
        boxes = torch.tensor(found)[:, None, None].repeat(1, classes.shape[1], 1, 1)
        boxes[classes != 0] = torch.tensor([0.0, 0.0, 1.0, 1.0])
        return boxes, torch.full(boxes.shape[:3], 0.5)


@pytest.fixture
def bright(located: LocatedImages, monkeypatch: pytest.MonkeyPatch) -> LocatedImages:
    """The same data set, whose pictures are black with their boxes white."""

    def read(self: LocatedImages, index: int) -> tuple[Any, Any]:
        example = self.examples[index]
        image = np.zeros((*example.size, 3), dtype=np.uint8)
        for x1, y1, x2, y2 in example.boxes.astype(int):
            image[y1:y2, x1:x2] = 255
        return image, example.boxes

    monkeypatch.setattr(LocatedImages, "read", read)
    return located


@pytest.mark.parametrize(
    "views",
    [
        CentreCrop(side=64, shorter_side=64),
        FullyConvolutionalViews(shorter_sides=[64, 80, 96]),
    ],
)
def test_boxes_come_back_to_the_image(bright: LocatedImages, views: Any) -> None:
    asked = np.zeros((len(bright), 2), dtype=np.int64)
    asked[:, 1] = 4
    found = localize([Knowing()], bright, asked, views, BEST, precision="fp32", **CPU)  # type: ignore[list-item]
    assert found.boxes.shape == (len(bright), 2, 4)
    if isinstance(views, FullyConvolutionalViews):
        for box, example in zip(found.boxes[:, 0], bright.examples, strict=True):
            assert np.abs(box - example.boxes[0]).max() < 2.5  # a pixel of a view is up to two
    truth = truth_of(bright)
    at_zero = truth.classes.copy()
    at_zero[:] = 0
    wrong = is_wrong(replace(truth, classes=at_zero), found.classes[:, :1], found.boxes[:, :1])
    assert wrong.sum() <= (0 if isinstance(views, FullyConvolutionalViews) else 2)


def test_a_network_gives_the_same_in_any_batch(
    located: LocatedImages, localizer: Callable[..., Localizer]
) -> None:
    network = localizer()
    views = TenCrop(side=64, shorter_side=72)
    asked = located.classes[:, None]
    results = [
        localize(
            [network], located, asked, views, BEST, precision="fp32", **(CPU | {"batch_size": n})
        )
        for n in (1, 4)
    ]
    assert np.allclose(results[0].boxes, results[1].boxes, atol=1e-3)
    assert np.allclose(results[0].scores, results[1].scores, atol=1e-5)


def test_the_best_box_wins_or_is_voted_on() -> None:
    boxes = torch.tensor([[0.0, 0, 10, 10], [0, 0, 10, 12], [50, 50, 60, 60]])
    scores = torch.tensor([0.6, 0.3, 0.5])
    box, score = BEST(boxes, scores)
    assert box.tolist() == [0, 0, 10, 10]
    assert score == pytest.approx(0.6)
    # The second overlaps it with 100 / 120: (0.6 * 10 + 0.3 * 12) / 0.9 = 10.67.
    box, score = BoxChoice(candidates=3, voting_iou=0.5)(boxes, scores)
    assert box.tolist() == pytest.approx([0, 0, 10, 32 / 3])
    assert score == pytest.approx(0.6)
