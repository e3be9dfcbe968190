"""Pictures that are made very small for the network."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from detection.data.transforms import Resize
from detection.inference.detector import Detector
from detection.inference.shrinking import shrinking_line


@pytest.mark.parametrize("size", [(480, 640), (3000, 4000), (1000, 1500), (4000, 2250)])
def test_nothing_is_said_of_photos(make: Callable[..., Detector], size: tuple[int, int]) -> None:
    detector = make()
    detector.resize = Resize(shorter_sides=[600], longest=1000)
    assert shrinking_line(size, detector) is None


def test_long_and_huge_pictures_are_named(make: Callable[..., Detector]) -> None:
    detector = make()
    detector.resize = Resize(shorter_sides=[600], longest=1000)
    assert shrinking_line((102, 6144), detector) == (
        "6144 x 102 pixels are seen at 0.16 of their size, where objects of less than 98 pixels "
        "are smaller than the smallest anchor (16): consider tile=1024"
    )
    assert "less than 533 pixels" in (shrinking_line((20000, 20000), detector) or "")
