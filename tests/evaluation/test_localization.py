"""Localisation errors, by hand."""

from __future__ import annotations

import numpy as np
import pytest

from detection.evaluation.localization import Truth, centred_box, is_wrong, overlaps


def boxes(*given: tuple[float, ...]) -> np.ndarray:
    return np.array(given, dtype=np.float32)


def truth(*images: tuple[int, list[tuple[float, ...]]]) -> Truth:
    return Truth(
        np.array([label for label, _ in images], dtype=np.int64),
        [boxes(*objects) for _, objects in images],
        [(100, 200)] * len(images),
    )


@pytest.mark.parametrize(
    ("box", "enough"),
    [
        ((0, 0, 10, 10), True),
        ((0, 0, 10, 20), True),  # 100 / 200 is 0.5, which is enough
        ((0, 0, 10, 20.1), False),
        ((0, 0, 10, 5), True),  # 50 / 100
        ((0, 0, 10, 4.9), False),
        ((10, 0, 20, 10), False),
        ((5, 5, 5, 5), False),
    ],
)
def test_half_is_enough(box: tuple[float, ...], enough: bool) -> None:
    assert overlaps(boxes(box), boxes((0, 0, 10, 10))).tolist() == [enough]


@pytest.mark.parametrize(
    ("pairs", "wrong"),
    [
        # The right class with the right box, wherever it stands among the five.
        ([(3, (0, 0, 10, 10)), (4, (50, 50, 60, 60))], False),
        ([(4, (50, 50, 60, 60)), (3, (0, 0, 10, 10))], False),
        # The second of its objects.
        ([(3, (80, 0, 90, 10))], False),
        # The right class with a wrong box, the right box with a wrong class, and both at once:
        # only a pair counts.
        ([(3, (50, 50, 60, 60))], True),
        ([(4, (0, 0, 10, 10))], True),
        ([(3, (50, 50, 60, 60)), (4, (0, 0, 10, 10))], True),
    ],
)
def test_a_pair_has_both(pairs: list[tuple[int, tuple[float, ...]]], wrong: bool) -> None:
    image = truth((3, [(0, 0, 10, 10), (80, 0, 90, 10)]))
    classes = np.array([[label for label, _ in pairs]])
    assert is_wrong(image, classes, boxes(*(b for _, b in pairs))[None]).tolist() == [wrong]


def test_each_image_is_measured_alone() -> None:
    images = truth((0, [(0, 0, 10, 10)]), (1, [(0, 0, 50, 50)]), (1, [(0, 0, 50, 50)]))
    classes = np.array([[0], [1], [0]])
    found = boxes((0, 0, 10, 10), (100, 0, 150, 50), (0, 0, 50, 50))[:, None]
    assert is_wrong(images, classes, found).tolist() == [False, True, True]


def test_the_constant_box() -> None:
    # Images of 100 x 200; half of the sides is (50, 25, 150, 75), which two objects have exactly.
    half = (50, 25, 150, 75)
    error, side = centred_box(truth((0, [half]), (1, [half]), (2, [(0, 0, 10, 10)])))
    assert error == pytest.approx(1 / 3)
    # From 0.5 of its area on it overlaps enough: the least of the sides that do, 0.05 apart.
    assert side == 0.4  # 0.35^2 / 0.5^2 is 0.49, 0.4^2 / 0.5^2 is 0.64
