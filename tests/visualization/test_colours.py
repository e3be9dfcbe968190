"""Colours of classes: they can be told apart, and there is one for every label."""

from __future__ import annotations

import itertools

import cv2
import numpy as np

from detection.visualization.colours import PALETTE_SIZE, class_colour


def test_colours_are_well_separated() -> None:
    """CIE Lab: a difference of 2 is just visible; 8 classes stay 50 apart."""

    def smallest_difference(count: int) -> float:
        bgr = np.array([[class_colour(label) for label in range(1, count + 1)]], np.uint8)
        lab = cv2.cvtColor(bgr.astype(np.float32) / 255, cv2.COLOR_BGR2Lab)[0]
        return min(float(np.linalg.norm(a - b)) for a, b in itertools.combinations(lab, 2))

    assert smallest_difference(8) > 50
    assert smallest_difference(20) > 25
    assert smallest_difference(80) > 8


def test_labels_beyond_the_palette_have_a_colour() -> None:
    assert class_colour(1203) == class_colour(1203 % PALETTE_SIZE)
