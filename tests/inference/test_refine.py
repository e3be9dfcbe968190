"""Box refinement by hand and against a loop over regions and classes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from detection.inference.refine import Refinement, best_boxes
from detection.inference.steps import RegionClassifier
from detection.model.faster_rcnn import FasterRCNN
from detection.structures import ImageBatch, RegionPredictions


def first() -> RegionPredictions:
    """Two regions, two classes; background first."""
    return RegionPredictions(
        # The second one is most probably background, its best object is of class 1.
        probabilities=torch.tensor([[0.1, 0.2, 0.7], [0.6, 0.3, 0.1]]),
        boxes=torch.tensor([[[0.0, 0, 1, 1], [10, 10, 20, 20]], [[30, 30, 50, 50], [0, 0, 2, 2]]]),
    )


class Halves:
    """A ``classify`` that notes what it is asked and puts every box of every class into it."""

    def __init__(self) -> None:
        self.asked: list[list[list[float]]] = []

    def __call__(self, boxes: list[Tensor]) -> list[RegionPredictions]:
        self.asked.append(boxes[0].tolist())
        count = len(boxes[0])
        rows = torch.arange(1, count + 1)[:, None] * torch.tensor([[0.01, 0.02, 0.03]])
        return [RegionPredictions(rows, (boxes[0] / 2)[:, None].repeat(1, 2, 1))]


def test_the_best_classes_box_is_pooled_again_and_joins() -> None:
    classify = Halves()
    (found,) = Refinement(passes=1, regions="best_class", minimum_score=0.0)([first()], classify)
    # Region 1 is of class 2, region 2 of class 1 whatever its background.
    assert classify.asked == [[[10, 10, 20, 20], [30, 30, 50, 50]]]
    # 2 old ones, unchanged, then 2 new ones.
    assert torch.equal(found.probabilities[:2], first().probabilities)
    assert torch.equal(found.boxes[:2], first().boxes)
    assert found.probabilities[2:].tolist() == [
        pytest.approx([0.01, 0.02, 0.03]),
        pytest.approx([0.02, 0.04, 0.06]),
    ]
    assert found.boxes[2:].tolist() == [[[5, 5, 10, 10]] * 2, [[15, 15, 25, 25]] * 2]


def test_a_second_pass_refines_what_the_first_found() -> None:
    classify = Halves()
    (found,) = Refinement(passes=2, regions="best_class", minimum_score=0.0)([first()], classify)
    assert classify.asked[1] == [[5, 5, 10, 10], [15, 15, 25, 25]]
    assert len(found.probabilities) == len(found.boxes) == 2 + 2 + 2


def test_only_probable_regions_are_pooled_again() -> None:
    # The best object of region 1 has 0.7, that of region 2 has 0.3, whatever its background.
    for minimum_score, asked in ((0.3, 2), (0.31, 1), (0.7, 1), (0.71, 0)):
        classify = Halves()
        rule = Refinement(passes=1, regions="best_class", minimum_score=minimum_score)
        (found,) = rule([first()], classify)
        assert classify.asked == [[[10, 10, 20, 20], [30, 30, 50, 50]][:asked]], minimum_score
        assert len(found.probabilities) == len(found.boxes) == 2 + asked
        assert torch.equal(found.probabilities[:2], first().probabilities)


def test_every_class_of_a_probable_region_is_pooled_again() -> None:
    classify = Halves()
    rule = Refinement(passes=1, regions="every_class", minimum_score=0.5)
    (found,) = rule([first()], classify)
    assert classify.asked == [[[0, 0, 1, 1], [10, 10, 20, 20]]]
    assert len(found.probabilities) == len(found.boxes) == 2 + 1


def test_no_pass_is_no_change_and_no_call() -> None:
    classify = Halves()
    given = [first()]
    assert Refinement(passes=0, regions="best_class", minimum_score=0.0)(given, classify) == given
    assert classify.asked == []


def test_every_class_pools_each_box_for_its_own_class() -> None:
    classify = Halves()
    (found,) = Refinement(passes=1, regions="every_class", minimum_score=0.0)([first()], classify)
    assert classify.asked == [[[0, 0, 1, 1], [10, 10, 20, 20], [30, 30, 50, 50], [0, 0, 2, 2]]]
    # Rows 1 ... 4 of the classifier: class 1 of row 1 and class 2 of row 2 for region 1;
    # background: the mean of the two.
    assert found.probabilities[2:].tolist() == [
        pytest.approx([0.015, 0.02, 0.06]),
        pytest.approx([0.035, 0.06, 0.12]),
    ]
    assert found.boxes[2:].tolist() == [
        [[0, 0, 0.5, 0.5], [5, 5, 10, 10]],
        [[15, 15, 25, 25], [0, 0, 1, 1]],
    ]


def slow_refinement(
    predictions: RegionPredictions,
    classify: RegionClassifier,
    passes: int,
    regions: str,
    minimum_score: float,
) -> RegionPredictions:
    probabilities, boxes = [predictions.probabilities], [predictions.boxes]
    for _ in range(passes):
        new_probabilities, new_boxes = [], []
        for scores, own in zip(probabilities[-1], boxes[-1], strict=True):
            if max(scores[1:]) < minimum_score:
                continue
            if regions == "best_class":
                (found,) = classify([own[int(scores[1:].argmax())][None]])
                new_probabilities.append(found.probabilities[0])
                new_boxes.append(found.boxes[0])
                continue
            each = [classify([box[None]])[0] for box in own]
            background = torch.stack([one.probabilities[0, 0] for one in each]).mean()
            objects = [one.probabilities[0, c + 1] for c, one in enumerate(each)]
            new_probabilities.append(torch.stack([background, *objects]))
            new_boxes.append(torch.stack([one.boxes[0, c] for c, one in enumerate(each)]))
        if not new_probabilities:  # none is probable enough
            break
        probabilities.append(torch.stack(new_probabilities))
        boxes.append(torch.stack(new_boxes))
    return RegionPredictions(torch.cat(probabilities), torch.cat(boxes))


@torch.no_grad()
@pytest.mark.parametrize("regions", ["best_class", "every_class"])
@pytest.mark.parametrize("share", [0.0, 0.5])
def test_equals_the_loop_over_regions_on_a_network(
    tiny: Callable[..., FasterRCNN],
    image_batch: Callable[..., ImageBatch],
    regions: Any,
    share: float,
) -> None:
    """``share``: of the first predictions, how many are not probable enough."""
    model, images = tiny(context=True), image_batch((64, 96), (80, 64))
    features, proposals = model.propose(images)

    def classify(boxes: list[Tensor]) -> list[RegionPredictions]:
        return model.classify(features, boxes, images.sizes)

    given = classify([image.boxes for image in proposals])
    best = torch.cat([image.probabilities[:, 1:].amax(dim=1) for image in given])
    minimum = best.quantile(share).item() if share else 0.0
    found = Refinement(passes=2, regions=regions, minimum_score=minimum)(given, classify)
    for i, image in enumerate(found):

        def alone(boxes: list[Tensor], i: int = i) -> list[RegionPredictions]:
            return model.classify(features[i : i + 1], boxes, images.sizes[i : i + 1])

        slow = slow_refinement(given[i], alone, 2, regions, minimum)
        torch.testing.assert_close(image.probabilities, slow.probabilities, rtol=1e-3, atol=1e-4)
        torch.testing.assert_close(image.boxes, slow.boxes, rtol=1e-3, atol=1e-2)


def test_an_image_without_regions_stays_without() -> None:
    none = RegionPredictions(torch.zeros(0, 3), torch.zeros(0, 2, 4))
    assert best_boxes(none).shape == (0, 4)
    for regions in ("best_class", "every_class"):
        rule = Refinement(passes=1, regions=regions, minimum_score=0.0)  # type: ignore[arg-type]
        (found,) = rule([none], Halves())
        assert found.probabilities.shape == (0, 3)
        assert found.boxes.shape == (0, 2, 4)


@pytest.mark.parametrize(
    ("passes", "regions", "minimum_score", "message"),
    [
        (-1, "best_class", 0.0, "0 or more, got -1"),
        (1, "best", 0.0, "best_class or every_class, got 'best'"),
        (1, "best_class", 5.0, r"minimum_score must lie in \[0, 1\], got 5.0"),
    ],
)
def test_an_impossible_refinement_is_refused(
    passes: int, regions: Any, minimum_score: float, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        Refinement(passes=passes, regions=regions, minimum_score=minimum_score)
