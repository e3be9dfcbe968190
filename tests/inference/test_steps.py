"""Steps of inference out of another package: they need the protocols' methods and nothing else."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from detection.inference.detector import Detector, Inference
from detection.inference.steps import RegionClassifier, Sizes
from detection.model.faster_rcnn import FasterRCNN
from detection.structures import Detections, RegionPredictions


class Shrinking:
    """A refinement without our fields: the boxes of class 1 are looked at again, at half size."""

    def __call__(
        self, predictions: list[RegionPredictions], classify: RegionClassifier
    ) -> list[RegionPredictions]:
        return classify([image.boxes[:, 0] / 2 for image in predictions])


class BestOfAll:
    """A post-processing without our fields: the surest class-wise box of an image."""

    def __call__(self, predictions: RegionPredictions) -> Detections:
        scores = predictions.probabilities[:, 1:]
        best = scores.flatten().topk(1)
        labels = best.indices % scores.shape[1] + 1
        return Detections(predictions.boxes.flatten(0, 1)[best.indices], best.values, labels)


class LargestScale:
    """A multi-scale step without our fields: all regions are pooled at twice the base scale."""

    def resized(self, image: NDArray[np.uint8]) -> list[NDArray[np.uint8]]:
        return [image.repeat(2, axis=0).repeat(2, axis=1)]

    def classifier(
        self,
        model: FasterRCNN,
        maps: Sequence[Tensor],
        map_sizes: Sequence[Sizes],
        base_sizes: Sizes,
    ) -> RegionClassifier:
        assert map_sizes == [[(2 * height, 2 * width) for height, width in base_sizes]]
        classify = model.classifier(maps[0], map_sizes[0])

        def at_base_scale(boxes: list[Tensor]) -> list[RegionPredictions]:
            found = classify([image * 2 for image in boxes])
            return [RegionPredictions(one.probabilities, one.boxes / 2) for one in found]

        return at_base_scale


def test_every_step_can_be_of_another_package(
    make: Callable[..., Detector], noise: Callable[[int, int], np.ndarray]
) -> None:
    image = noise(96, 128)
    detector = make()
    (ours,) = detector.detect_arrays([image])
    detector.inference = Inference(
        multi_scale=LargestScale(),
        flip=True,
        refinement=Shrinking(),
        post_processing=BestOfAll(),
    )
    (theirs,) = detector.detect_arrays([image])
    assert len(ours) > len(theirs) == 1
    assert (theirs.boxes >= 0).all()
    assert (theirs.boxes <= torch.tensor([128, 96, 128, 96])).all()


def test_each_image_is_prepared_by_the_step_in_another_process(
    make: Callable[..., Detector], noise: Callable[[int, int], np.ndarray]
) -> None:
    detector = make()
    detector.inference = replace(detector.inference, multi_scale=LargestScale())
    prepare = pickle.loads(pickle.dumps(detector.preparation))
    assert [image.shape for image in prepare(noise(96, 128))] == [(96, 128, 3), (192, 256, 3)]


@pytest.mark.parametrize(
    ("key", "step"),
    [
        ("multi_scale", {"shorter_sides": [400, 600]}),  # no _target_: nothing was built
        ("multi_scale", BestOfAll()),
        ("refinement", None),
        ("refinement", Shrinking),  # the class itself
        ("post_processing", {"nms_iou": 0.3}),
    ],
)
def test_what_is_no_step_is_refused_by_its_key(
    make: Callable[..., Detector], key: str, step: Any
) -> None:
    inference = make().inference
    with pytest.raises(ValueError, match=rf"inference\.{key} must be a \w+Step, got .*_target_"):
        replace(inference, **{key: step})
