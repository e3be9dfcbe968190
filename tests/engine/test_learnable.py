"""A training set without anything to learn from is refused; parts of it are said."""

from __future__ import annotations

import functools
import logging
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from detection.data.dataset import DetectionDataset, Example
from detection.data.loader import TrainingImages
from detection.data.transforms import Augmentation, Resize
from detection.engine.learnable import check_anchors, check_objects
from detection.model.anchors import Anchors
from detection.model.rpn import RPN
from detection.model.targets import AnchorSampling, _inside

Objects = list[tuple[list[float], int, bool, bool]]  # box, label, crowd, difficult


def images(
    *pictures: tuple[tuple[int, int], Objects], ignore_crowd: bool = True, shorter: int = 100
) -> TrainingImages:
    examples = []
    for number, (size, objects) in enumerate(pictures):
        boxes = np.array([box for box, *_ in objects], dtype=np.float32).reshape(-1, 4)
        examples.append(
            Example(
                image_id=number,
                path=Path(f"{number}.jpg"),
                size=size,
                boxes=boxes,
                labels=np.array([label for _, label, *_ in objects], dtype=np.int64),
                crowd=np.array([crowd for *_, crowd, _ in objects], dtype=np.bool_),
                difficult=np.array([difficult for *_, difficult in objects], dtype=np.bool_),
                annotated=boxes.astype(np.float64),
                areas=np.ones(len(objects)),
            )
        )
    return TrainingImages(
        DetectionDataset(("cat", "dog"), (1, 2), examples, Path("train.json")),
        augmentation=Augmentation(
            resize=Resize(shorter_sides=[shorter // 2, shorter], longest=1000), flip_probability=0.5
        ),
        ignore_crowd=ignore_crowd,
        ignore_difficult=True,
        seed=0,
    )


BOX = [10.0, 10.0, 40.0, 40.0]


@pytest.mark.parametrize(
    "objects",
    [
        [],
        [(BOX, 1, True, False)],
        [(BOX, 1, True, False), (BOX, 2, False, True)],
        [([10.0, 10.0, 10.0, 40.0], 1, False, False)],
    ],
    ids=["none", "crowd", "crowd and difficult", "no area"],
)
def test_nothing_to_learn_is_an_error(objects: Objects) -> None:
    with pytest.raises(ValueError, match=r"train\.json: nothing to learn: \d objects.*iscrowd"):
        check_objects(images(((100, 100), objects)))


def test_crowds_that_are_learnt_are_something(caplog: pytest.LogCaptureFixture) -> None:
    check_objects(images(((100, 100), [(BOX, 1, True, False)]), ignore_crowd=False))
    assert not caplog.text


@pytest.mark.parametrize(
    ("labels_and_crowds", "said"),
    [
        ([(1, False), (2, True)], "all objects of dog are crowd"),
        ([(1, False), (1, True), (1, True)], "2 of 3 objects are crowd"),
        ([(1, False), (1, True)], ""),
    ],
)
def test_a_class_and_most_of_a_set_as_crowd_are_said(
    labels_and_crowds: list[tuple[int, bool]], said: str, caplog: pytest.LogCaptureFixture
) -> None:
    objects: Objects = [(BOX, label, crowd, False) for label, crowd in labels_and_crowds]
    with caplog.at_level(logging.WARNING):
        check_objects(images(((100, 100), objects)))
    assert said in caplog.text
    assert bool(said) == bool(caplog.text)


@pytest.mark.parametrize(
    ("flags", "said"),
    [  # of a dog: (crowd, difficult)
        ([(False, True)], "all objects of dog are difficult, so .* data.ignore_difficult=false"),
        ([(True, False), (False, True)], "all objects of dog are crowd or difficult, so the class"),
        (
            [(True, False), (False, True), (False, False)],
            "dog: 2 of 3 objects are crowd or difficult and not learnt: set iscrowd and difficult",
        ),
        ([(False, True), (False, False)], None),
    ],
)
def test_classes_of_which_most_is_ignored_are_said(
    flags: list[tuple[bool, bool]], said: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    objects: Objects = [(BOX, 1, False, False), *((BOX, 2, *flag) for flag in flags)]
    with caplog.at_level(logging.WARNING):
        check_objects(images(((100, 100), objects)))
    assert bool(caplog.text) == bool(said)
    assert re.search(said or "", caplog.text)


@pytest.fixture
def rpn(detector: Callable[..., object]) -> Callable[..., RPN]:
    def build(*sizes: float, cross_boundary: bool = False) -> RPN:
        found = detector(tiny=True, cross_boundary=cross_boundary).rpn  # type: ignore[attr-defined]
        assert isinstance(found, RPN)
        found.anchors = Anchors(
            sizes=list(sizes), aspect_ratios=[0.5, 1, 2], stride=16, centre=8, rounded=False
        )
        return found

    return build


def test_pictures_without_an_anchor_are_counted(
    rpn: Callable[..., RPN], caplog: pytest.LogCaptureFixture
) -> None:
    # Both as they are: the larger of the two shorter sides is 100.
    objects: Objects = [(BOX, 1, False, False)]
    square, panorama = ((100, 100), objects), ((100, 1000), objects)
    with pytest.raises(ValueError, match=r"no anchor lies inside any of the 2 pictures.*sizes.*cr"):
        check_anchors(images(square, panorama), rpn(150))
    check_anchors(images(square, panorama), rpn(150, cross_boundary=True))
    check_anchors(images(square, panorama), rpn(16, 32))
    assert not caplog.text
    # Of size 110 there are 156 x 78, 110 x 110 and 78 x 156: the first fits, into the panorama.
    with caplog.at_level(logging.WARNING):
        check_anchors(images(square, panorama), rpn(110))
    assert "inside 1 of 2 pictures, and none that does overlaps 1 of 2 objects" in caplog.text


@pytest.mark.parametrize("sizes", [(16, 64), (48, 90), (100,)])
def test_the_counts_are_those_of_the_anchors_themselves(
    rpn: Callable[..., RPN], sizes: tuple[float, ...], caplog: pytest.LogCaptureFixture
) -> None:
    random = np.random.default_rng(0)
    pictures = []
    for height, width in ((100, 100), (100, 130), (100, 400), (100, 180)):
        corners = random.uniform(0, 1, (12, 2, 2)) * (width, height)
        boxes = np.concatenate((corners.min(axis=1), corners.max(axis=1)), axis=1)
        small = np.concatenate((corners[:, 0], corners[:, 0] + 2), axis=1).clip(
            0, (width, height) * 2
        )
        pictures.append(
            ((height, width), [(b.tolist(), 1, False, False) for b in (*boxes, *small)])
        )
    network = rpn(*sizes)
    sampling = network.sampling
    assert isinstance(sampling, AnchorSampling)
    without = lonely = 0
    for (height, width), objects in pictures:
        anchors = network.anchors((-(-height // 16), -(-width // 16)), torch.device("cpu"))
        anchors = anchors[_inside(anchors, (height, width))]
        without += not len(anchors)
        for box, *_ in objects:
            x1, y1, x2, y2 = np.float32(box).tolist()
            meets = (anchors[:, 0] < x2) & (anchors[:, 2] > x1)
            meets &= (anchors[:, 1] < y2) & (anchors[:, 3] > y1)
            lonely += x2 > x1 and y2 > y1 and not bool(meets.any())
    expected = f"inside {without} of 4 pictures, and none that does overlaps {lonely} of "
    check = functools.partial(check_anchors, images(*pictures), network)
    if without == 4:
        with pytest.raises(ValueError, match="any of the 4 pictures"):
            check()
        return
    with caplog.at_level(logging.WARNING):
        check()
    assert (expected in caplog.text) == bool(without or lonely)
