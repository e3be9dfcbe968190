"""The error of a classifier over a data set."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from detection.classification.classifier import Classifier
from detection.classification.crops import CentreCrop, FullyConvolutionalViews, Image, Views
from detection.classification.evaluate import measure_error
from detection.classification.images import LabelledImages
from detection.cli.test_classifier import in_order_of
from detection.model.pixels import PixelFormat


class MeanColour(nn.Module):
    """Features that a human can predict: the mean of each channel."""

    region_channels = 3

    def forward(self, pixels: Tensor) -> Tensor:
        return pixels.mean(dim=(2, 3))


def classifier(classes: int = 3) -> Classifier:
    built = Classifier(
        pixels=PixelFormat(order="BGR", mean=[0, 0, 0], std=[1, 1, 1]),
        backbone=MeanColour(),
        num_classes=classes,
    )
    with torch.no_grad():  # the logit of class c is its channel's mean; those beyond get less
        built.fc.weight.zero_()
        built.fc.weight[:3] = torch.eye(3)
        built.fc.bias[3:] = -torch.arange(1.0, classes - 2)
    return built


def images_of(brightest: list[int], classes: list[int], names: int = 3) -> LabelledImages:
    images = np.zeros((len(classes), 8, 8, 3), dtype=np.uint8)
    for image, channel in zip(images, brightest, strict=True):
        image[..., channel] = 50
    return LabelledImages(tuple(map(str, range(names))), np.array(classes), images, Path("set"))


def measure(built: Classifier, dataset: LabelledImages, views: Views) -> dict[str, float | None]:
    return measure_error(
        [built],
        dataset,
        views,
        batch_size=2,
        workers=0,
        device=torch.device("cpu"),
        precision="fp32",
    )


def test_error_is_the_fraction_that_is_wrong() -> None:
    dataset = images_of([0, 1, 2, 0, 1], [0, 1, 2, 1, 1])
    metrics = measure(classifier(), dataset, CentreCrop(side=8, shorter_side=8))
    assert metrics["error"] == pytest.approx(1 / 5)
    assert "error_top5" not in metrics


def test_top_5_error() -> None:
    # Channel 0 is the brightest: 0 is first; 1 and 2 (logit 0) follow, then 3 (-1), 4 (-2), 5 (-3).
    dataset = images_of([0] * 4, [0, 4, 5, 6], names=7)
    metrics = measure(classifier(7), dataset, CentreCrop(side=8, shorter_side=8))
    assert metrics["error"] == pytest.approx(3 / 4)
    assert metrics["error_top5"] == pytest.approx(2 / 4)


class TwoViews:
    """The left and the right half, of different widths for odd images."""

    def __call__(self, image: Image) -> list[Image]:
        return [image[None, :, :3], image[None, :, 3:]]


def test_the_scores_of_all_views_are_averaged() -> None:
    built = classifier()
    dataset = images_of([0, 1, 2], [0, 1, 1])
    images = np.array(dataset.images)
    # Image 2: three columns say "1" loudly, five say "2" just: softmax averages to 1's favour, the
    # mean colour of the whole does not decide.
    images[2, :, :3] = (0, 60, 0)
    images[2, :, 3:] = (0, 49, 50)
    views = LabelledImages(dataset.class_names, dataset.classes, images, dataset.source)
    assert measure(built, views, TwoViews())["error"] == 0.0
    images[2, :, :3] = (0, 49, 50)
    assert measure(built, views, TwoViews())["error"] == pytest.approx(1 / 3)


def test_probabilities_are_averaged_and_not_logits() -> None:
    dataset = images_of([0], [1])
    images = np.array(dataset.images)
    # Softmax: (0, 0.88, 0.12) and (0.5, 0, 0.5), mean (0.25, 0.44, 0.31): class 1.  The mean logits
    # are (25, 26, 50): class 2.
    images[0, :, :3] = (0, 52, 50)
    images[0, :, 3:] = (50, 0, 50)
    views = LabelledImages(dataset.class_names, dataset.classes, images, dataset.source)
    assert measure(classifier(), views, TwoViews())["error"] == 0.0


def test_many_scales_of_images_of_many_shapes() -> None:
    class Ragged(list):  # type: ignore[type-arg]
        pass

    shapes = [(8, 8), (8, 12), (10, 8)]
    images = Ragged(np.zeros((*shape, 3), dtype=np.uint8) for shape in shapes)
    for channel, image in enumerate(images):
        image[..., channel] = 50
    dataset = LabelledImages(("0", "1", "2"), np.arange(3), images, Path("set"))
    assert (
        measure(classifier(), dataset, FullyConvolutionalViews(shorter_sides=[8, 16]))["error"]
        == 0.0
    )


def test_an_ensemble_averages_probabilities() -> None:
    def of(weights: list[list[float]]) -> Classifier:
        built = classifier()
        with torch.no_grad():
            built.fc.weight.copy_(torch.tensor(weights))
        return built

    # Of one image of (50, 0, 0): probabilities (0, 0.88, 0.12), (0.5, 0, 0.5); logits as above.
    first = of([[0, 0, 0], [1.04, 0, 0], [1, 0, 0]])
    second = of([[1, 0, 0], [0, 0, 0], [1, 0, 0]])
    dataset = images_of([0], [1])

    def error(*members: Classifier) -> float | None:
        return measure_error(
            members, dataset, CentreCrop(side=8, shorter_side=8), batch_size=2, workers=0,
            device=torch.device("cpu"), precision="fp32",
        )["error"]  # fmt: skip

    assert error(first) == 0.0
    assert error(second) == 1.0
    assert error(first, second) == error(second, first) == 0.0


def test_the_rows_of_the_fc_layer_are_put_in_order() -> None:
    built = classifier()
    in_order_of(built, ["b", "a", "c"], ["a", "b", "c"], source="b.pt")
    assert built.fc.weight.argmax(dim=1).tolist() == [1, 0, 2]
    with pytest.raises(ValueError, match=r"b\.pt: an ensemble .* in one alone are c, d"):
        in_order_of(built, ["a", "b", "d"], ["a", "b", "c"], source="b.pt")
