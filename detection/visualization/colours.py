"""The colours of the classes: as different as can be, and the same in every picture."""

from __future__ import annotations

from functools import cache

import cv2
import numpy as np

Colour = tuple[int, int, int]  # (B, G, R), 0 ... 255

PALETTE_SIZE = 80
DARKEST = 55  # in L of CIE Lab, of 100


def class_colour(label: int) -> Colour:
    """(B, G, R), 0 ... 255, of class ``label``: the same in every picture.

    The colours of the first :data:`PALETTE_SIZE` labels differ; then they come round again.
    """
    return _palette()[(label - 1) % PALETTE_SIZE]


@cache
def _palette() -> list[Colour]:
    """Farthest-first traversal of the vivid colours (Gonzalez 1985), beginning with an orange.

    Each is as far as can be from all before it in CIE Lab, where distances are those that people
    see: a data set of few classes gets the most different colours of all.
    """
    levels = np.linspace(0, 1, 12, dtype=np.float32)
    bgr = np.stack(np.meshgrid(levels, levels, levels), axis=-1).reshape(1, -1, 3)
    lab = cv2.cvtColor(bgr, cv2.COLOR_BGR2Lab)[0]
    # Neither grey nor nearly white, which photos are full of; and bright, to show on dark ground:
    # on light ground the dark edges of the lines do.
    vivid = (np.hypot(lab[:, 1], lab[:, 2]) > 45) & (lab[:, 0] > DARKEST) & (lab[:, 0] < 90)
    bgr, lab = bgr[0, vivid], lab[vivid]
    chosen = [int(np.linalg.norm(bgr - (0, 0.5, 1), axis=1).argmin())]
    distance = np.full(len(lab), np.inf)
    while len(chosen) < PALETTE_SIZE:
        distance = np.minimum(distance, np.linalg.norm(lab - lab[chosen[-1]], axis=1))
        chosen.append(int(distance.argmax()))
    whole = np.round(bgr[chosen] * 255).astype(int).tolist()
    return [(blue, green, red) for blue, green, red in whole]
