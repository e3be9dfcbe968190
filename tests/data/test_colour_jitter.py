"""Brightness, contrast and saturation, each by itself against its definition."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torchvision.transforms.v2 import functional

from detection.data.colour_jitter import ColourJitter, recoloured

# No level so far from the middle that anything is cut off at 0 or 255.
IMAGE = np.random.default_rng(0).integers(90, 140, (7, 11, 3), dtype=np.uint8)


def by_torchvision(name: str, factor: float) -> np.ndarray:
    """In its order of colours, RGB."""
    rgb = torch.from_numpy(np.ascontiguousarray(IMAGE[..., ::-1])).permute(2, 0, 1)
    done = getattr(functional, f"adjust_{name}")(rgb, factor)
    return done.permute(1, 2, 0).numpy()[..., ::-1]


@pytest.mark.parametrize("factor", [0.7, 1.0, 1.3])
@pytest.mark.parametrize("name", ["brightness", "contrast", "saturation"])
def test_each_as_torchvision_does_it(name: str, factor: float) -> None:
    factors = {"brightness": 1.0, "contrast": 1.0, "saturation": 1.0, name: factor}
    ours = recoloured(IMAGE, **factors).astype(int)
    assert np.abs(ours - by_torchvision(name, factor)).max() <= 2  # both round, in other places
    assert factor == 1 or np.abs(ours - IMAGE).max() > 5


def test_levels_stay_levels() -> None:
    ends = np.array([[[0, 0, 0], [255, 255, 255], [255, 0, 0]]], dtype=np.uint8)
    bright = recoloured(ends, 2.0, 1.0, 1.0)
    assert bright.dtype == np.uint8
    assert bright.tolist() == [[[0, 0, 0], [255, 255, 255], [255, 0, 0]]]


def test_without_colour_all_is_grey() -> None:
    grey = recoloured(IMAGE, 1.0, 1.0, 0.0)
    assert (grey == grey[..., :1]).all()


def test_factors_lie_within_what_is_said() -> None:
    random = np.random.default_rng(0)
    drawn = np.array([ColourJitter(most=0.3).draw(random) for _ in range(500)])
    assert drawn.min() >= 0.7
    assert drawn.max() <= 1.3
    assert np.allclose(drawn.mean(axis=0), 1, atol=0.03)  # deviation 0.173 / sqrt(500) = 0.008
    assert abs(np.corrcoef(drawn.T)[np.triu_indices(3, 1)]).max() < 0.15
