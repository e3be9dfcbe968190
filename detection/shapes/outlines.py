"""The outlines of the seven classes of the built-in data set."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

CLASS_NAMES = ("circle", "cross", "moon", "ring", "square", "star", "triangle")

Points = NDArray[np.float32]


def outline(name: str) -> list[Points]:
    """The closed contours [K, 2] of a class, around the origin, within a radius of sqrt(2).

    A contour inside another one is a hole.
    """
    if name == "circle":
        return [_circle(1.0)]
    if name == "ring":
        return [_circle(1.0), _circle(0.55)]
    if name == "square":
        return [np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)], np.float32)]
    if name == "triangle":
        return [_spokes(np.ones(3))]
    if name == "star":
        return [_spokes(np.tile((1.0, 0.42), 5))]
    if name == "cross":
        return [_cross(0.34)]
    if name == "moon":
        return [_moon(0.8, 0.55)]
    raise ValueError(f"unknown shape {name!r}; there are {', '.join(CLASS_NAMES)}")


def _spokes(radii: NDArray[np.float64]) -> Points:
    """One point at each of ``radii``, in equal steps of the angle."""
    angles = 2 * np.pi * np.arange(len(radii)) / len(radii) - np.pi / 2
    return np.stack((radii * np.cos(angles), radii * np.sin(angles)), axis=1).astype(np.float32)


def _circle(radius: float) -> Points:
    return _spokes(np.full(64, radius))


def _cross(half_width: float) -> Points:
    w = half_width
    quarter = np.array([(w, -w), (1, -w), (1, w)], np.float32)
    turn = np.array([(0, -1), (1, 0)], np.float32)
    corners = [quarter]
    for _ in range(3):
        corners.append(corners[-1] @ turn.T)
    return np.concatenate(corners)


def _moon(radius: float, offset: float) -> Points:
    """The unit disc without the disc of ``radius`` around (offset, 0)."""
    x = (1 + offset**2 - radius**2) / (2 * offset)  # where the circles meet
    outer = np.arccos(x)
    inner = np.arctan2(np.sqrt(1 - x**2), x - offset)
    out = np.linspace(outer, 2 * np.pi - outer, 40)
    back = np.linspace(2 * np.pi - inner, inner, 30)
    arc = np.stack((np.cos(out), np.sin(out)), axis=1)
    cut = np.stack((offset + radius * np.cos(back), radius * np.sin(back)), axis=1)
    return np.concatenate((arc, cut)).astype(np.float32)
