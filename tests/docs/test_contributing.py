"""The classes of CONTRIBUTING.md are what they are said to be."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from detection.model.faster_rcnn import FasterRCNN
from detection.structures import ImageBatch, RegionPredictions


def test_the_backbone_carries_a_detector(
    mypackage: dict[str, Any],
    detector: Callable[..., FasterRCNN],
    image_batch: Callable[..., ImageBatch],
) -> None:
    model = detector(backbone=mypackage["MyBackbone"](width=8)).eval()
    with torch.inference_mode():
        features, proposals = model.propose(image_batch((64, 96)))
        (found,) = model.classify(features, [proposals[0].boxes], [(64, 96)])
    assert features.shape == (1, 8, 4, 6)
    assert found.probabilities.shape == (len(proposals[0].boxes), 4)


def test_the_format_is_recognised_and_read(mypackage: dict[str, Any], tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        cv2.imwrite(str(tmp_path / name), np.zeros((20, 30, 3), dtype=np.uint8))
    lines = ["a.png,dog,0,0,10,20", "b.png,cat,5,5,10,10", "a.png,cat,1,2,3,4"]
    (tmp_path / "train.csv").write_text("\n".join(lines))
    own = mypackage["MyFormat"]()
    assert own.splits(tmp_path) == ["train"]
    assert own.has_split(tmp_path, "train")
    assert not own.has_split(tmp_path, "val")
    dataset = own.read(root=tmp_path, split="train", check_images=True, invalid_boxes="error")
    assert dataset.class_names == ("cat", "dog")
    first, second = dataset.examples
    assert first.path.name == "a.png"
    assert first.size == (20, 30)
    assert first.labels.tolist() == [2, 1]
    assert second.annotated.tolist() == [[5, 5, 5, 5]]
    assert dataset.to_coco()["annotations"][0]["category_id"] == 2


def test_soft_nms_fades_what_overlaps(mypackage: dict[str, Any]) -> None:
    own = mypackage["SoftNMS"](sigma=0.5, score_threshold=0.05, per_image=10)
    boxes = torch.tensor([[0.0, 0, 10, 10], [0, 0, 10, 5], [50, 50, 60, 60]])
    scores = torch.tensor([0.8, 0.6, 0.5])
    found = own(RegionPredictions(torch.stack((1 - scores, scores), dim=1), boxes[:, None]))
    # The second box overlaps the first one by 50 / 100: 0.6 exp(-0.25 / 0.5) = 0.364.
    torch.testing.assert_close(found.scores, torch.tensor([0.8, 0.5, 0.3639]), atol=1e-4, rtol=0)
    assert found.boxes[1].tolist() == [50, 50, 60, 60]
    nothing = own(RegionPredictions(torch.tensor([[1.0, 0.0]]), boxes[:1, None]))
    assert len(nothing) == 0


def test_the_heads_logits_are_scaled_cosines(mypackage: dict[str, Any]) -> None:
    own = mypackage["MyHead"](in_channels=2, num_classes=1, scale=20.0)
    with torch.no_grad():
        own.logits.weight.copy_(torch.tensor([[1.0, 0.0], [3.0, 4.0]]))
    logits, deltas = own(torch.tensor([[2.0, 0.0]]))
    # (1, 0) with (1, 0): 1; with (0.6, 0.8): 0.6.
    torch.testing.assert_close(logits, torch.tensor([[20.0, 12.0]]))
    assert deltas.shape == (1, 1, 4)
