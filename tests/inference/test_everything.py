"""All steps of inference at once against a slow and obvious reference, number for number."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from detection import boxes as box_ops
from detection.data.transforms import Resize
from detection.inference.detector import Detector
from detection.model.faster_rcnn import FasterRCNN
from detection.structures import ImageBatch, RegionPredictions

BASE, REGION_SIDE = 80, 48


def batch(image: np.ndarray) -> ImageBatch:
    return ImageBatch(torch.from_numpy(image.copy())[None], [image.shape[:2]])


class Slow:
    """What an ensemble says of one image: a region, a scale, a view and a model after the other."""

    def __init__(
        self,
        models: list[FasterRCNN],
        image: np.ndarray,
        *,
        sides: tuple[int, ...],
        flip: bool,
        maximum: str,
    ) -> None:
        self.models = models
        self.maximum = maximum
        base = Resize(shorter_sides=[BASE], longest=200)(image, BASE)
        self.size: tuple[int, int] = base.shape[:2]
        self.proposals = torch.cat([m.propose(batch(base))[1][0].boxes for m in models])
        # One scale is the maximum of itself and itself.
        sides = sides or (BASE, BASE)
        scales = [Resize(shorter_sides=[side], longest=400)(image, side) for side in sides]
        self.views = {
            mirror: [scale[:, ::-1] if mirror else scale for scale in scales]
            for mirror in ([False, True] if flip else [False])
        }

    def mirrored(self, boxes: Tensor) -> Tensor:
        x1, y1, x2, y2 = boxes.unbind(-1)
        width = self.size[1]
        return torch.stack((width - x2, y1, width - x1, y2), dim=-1)

    def feature(self, model: FasterRCNN, scales: list[np.ndarray], box: Tensor) -> Tensor:
        sizes = [scale.shape[:2] for scale in scales]
        boxes = [box_ops.rescale(box, self.size, size) for size in sizes]
        fit = [s for s, scaled in enumerate(boxes[:-1]) if box_ops.area(scaled) <= REGION_SIDE**2]
        lower = max(fit, default=0)
        pooled = [
            model.pool(model.features(batch(scales[s])), [boxes[s][None]])
            for s in (lower, lower + 1)
        ]
        if self.maximum == "pooled":
            return model.backbone.region_features(torch.maximum(*pooled))[0]
        return torch.maximum(*(model.backbone.region_features(p)[0] for p in pooled))

    def one_view(self, model: FasterRCNN, mirror: bool, boxes: Tensor) -> tuple[Tensor, Tensor]:
        scales = self.views[mirror]
        boxes = self.mirrored(boxes) if mirror else boxes
        height, width = self.size
        whole = self.feature(model, scales, torch.tensor([0.0, 0, width, height]))
        probabilities, found = [], []
        for box in boxes:
            concatenated = torch.cat((self.feature(model, scales, box), whole))
            logits, deltas = model.roi_head(concatenated[None])
            said = model.roi_head.predictions(logits, deltas, box[None], self.size)
            probabilities.append(said.probabilities[0])
            found.append(self.mirrored(said.boxes[0]) if mirror else said.boxes[0])
        return torch.stack(probabilities), torch.stack(found)

    def classify(self, boxes: Tensor) -> tuple[Tensor, Tensor]:
        said = [self.one_view(*view, boxes) for view in itertools.product(self.models, self.views)]
        probabilities, found = zip(*said, strict=True)
        return sum(probabilities) / len(said), sum(found) / len(said)

    def __call__(self, passes: int) -> tuple[Tensor, Tensor]:
        said = [self.classify(self.proposals)]
        for _ in range(passes):
            probabilities, boxes = said[-1]
            best = [
                box[int(row[1:].argmax())] for row, box in zip(probabilities, boxes, strict=True)
            ]
            said.append(self.classify(torch.stack(best)))
        probabilities, boxes = zip(*said, strict=True)
        return torch.cat(probabilities), torch.cat(boxes)


@pytest.mark.slow
@torch.no_grad()
@pytest.mark.parametrize("maximum", ["region_features", "pooled"])
@pytest.mark.parametrize(
    ("num_models", "flip", "passes"), [(2, True, 2), (2, False, 1), (1, True, 1), (1, True, 0)]
)
@pytest.mark.parametrize("sides", [(64, 96, 144), ()])
def test_equals_the_slow_reference(
    make: Callable[..., Detector],
    tiny: Callable[..., FasterRCNN],
    noise: Callable[[int, int], np.ndarray],
    monkeypatch: pytest.MonkeyPatch,
    sides: tuple[int, ...],
    num_models: int,
    flip: bool,
    passes: int,
    maximum: Any,
) -> None:
    models = [tiny(context=True, test_proposals=6) for _ in range(num_models)]
    detector = make(
        *models, shorter_side=BASE, shorter_sides=sides, flip=flip, passes=passes, maximum=maximum
    )
    said: list[RegionPredictions] = []
    finish = detector.finish
    monkeypatch.setattr(
        detector, "finish", lambda found, *sizes: (said.append(found), finish(found, *sizes))[1]
    )
    images = [noise(96, 128), noise(96, 128)[::-1].copy()]
    detector.detect_arrays(images)
    for image, found in zip(images, said, strict=True):
        slow = Slow(models, image, sides=sides, flip=flip, maximum=maximum)
        probabilities, boxes = slow(passes)
        torch.testing.assert_close(found.probabilities, probabilities, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(found.boxes, boxes, rtol=1e-4, atol=1e-3)
