"""Random crops of training, fixed views of testing."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from detection.classification.crops import (
    CentreCrop,
    FullyConvolutionalViews,
    PaddedCrop,
    ScaleCrop,
    TenCrop,
    scale_shorter,
)


def coordinates(height: int, width: int) -> NDArray[np.uint8]:
    """Pixel (row, column) has the colour (row, column, 7)."""
    image = np.full((height, width, 3), 7, dtype=np.uint8)
    image[..., 0] = np.arange(height)[:, None]
    image[..., 1] = np.arange(width)
    return image


def random(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_padded_crops_are_those_of_the_padded_image_or_its_mirror() -> None:
    image = coordinates(8, 8)
    crop = PaddedCrop(side=8, padding=2, flip_probability=0.5, fill=[1, 2, 3])
    padded = np.full((12, 12, 3), (1, 2, 3), dtype=np.uint8)
    padded[2:10, 2:10] = image
    possible = {
        (top, left, mirrored): padded[top : top + 8, left : left + 8][:, :: -1 if mirrored else 1]
        for top in range(5)
        for left in range(5)
        for mirrored in (False, True)
    }
    seen = set()
    for seed in range(400):
        found = crop(image, random(seed))
        fits = [key for key, value in possible.items() if np.array_equal(found, value)]
        assert len(fits) == 1
        seen.update(fits)
    assert len(seen) == 50  # all of them come up


def test_a_crop_depends_on_the_generator_alone() -> None:
    image = coordinates(40, 50)
    for crop in (
        PaddedCrop(side=32, padding=4, flip_probability=0.5, fill=[0, 0, 0]),
        ScaleCrop(side=24, shorter_sides=(32, 48), flip_probability=0.5, colour_std=0.1),
    ):
        assert np.array_equal(crop(image, random(3)), crop(image, random(3)))
        assert any(
            not np.array_equal(crop(image, random(3)), crop(image, random(i))) for i in range(5)
        )


def test_an_image_smaller_than_its_crop_is_refused() -> None:
    crop = PaddedCrop(side=32, padding=4, flip_probability=0.5, fill=[0, 0, 0])
    with pytest.raises(ValueError, match=r"image of 30x20 .* too small for crops of 32"):
        crop(coordinates(20, 30), random())


def test_scale_crops_sample_the_scale_from_the_range_and_the_position_in_the_image() -> None:
    image = coordinates(100, 200)
    crop = ScaleCrop(side=50, shorter_sides=(50, 100), flip_probability=0.5, colour_std=0)
    spans, tops, lefts, mirrored = [], [], [], 0
    for seed in range(200):
        found = crop(image, random(seed)).astype(int)
        assert found.shape == (50, 50, 3)
        spans.append(found[-1, 0, 0] - found[0, 0, 0])  # rows of the image that the crop covers
        tops.append(found[0, 0, 0])
        columns = found[0, :, 1]
        mirrored += columns[0] > columns[-1]
        lefts.append(columns.min())
    # At shorter side 50 all of the 100 rows are covered, at 100 half of them.
    assert min(spans) in (49, 50)
    assert max(spans) >= 96
    assert min(tops) <= 1
    assert max(tops) >= 45
    assert max(lefts) >= 130
    assert 70 < mirrored < 130


def test_colours_shift_along_the_principal_components() -> None:
    image = np.full((8, 8, 3), 128, dtype=np.uint8)
    crop = ScaleCrop(side=8, shorter_sides=(8, 8), flip_probability=0, colour_std=0.1)
    shifts = np.array([crop(image, random(i))[0, 0].astype(float) - 128 for i in range(2000)])
    # 255 * 0.2175 * 0.1 = 5.5 levels along the first component, (0.58, 0.58, 0.57): 3.2 in each
    # channel, in all channels together; the other two components are a tenth of it and less.
    np.testing.assert_allclose(shifts.std(axis=0), [3.25, 3.24, 3.16], rtol=0.1)
    np.testing.assert_allclose(shifts.mean(axis=0), 0, atol=0.3)
    assert np.corrcoef(shifts[:, 0], shifts[:, 2])[0, 1] > 0.9
    # One shift for the whole image.
    assert np.ptp(crop(image, random(1)).reshape(-1, 3), axis=0).tolist() == [0, 0, 0]


def test_a_range_below_the_crop_is_refused() -> None:
    with pytest.raises(ValueError, match="224 pixels needs shorter sides"):
        ScaleCrop(side=224, shorter_sides=(200, 480), flip_probability=0.5, colour_std=0)


def test_the_centre_is_the_centre() -> None:
    (view,) = CentreCrop(side=4, shorter_side=8)(coordinates(8, 12))
    assert view.shape == (1, 4, 4, 3)
    assert view[0, 0, 0].tolist() == [2, 4, 7]  # (8 - 4) / 2, (12 - 4) / 2


def test_ten_crops_are_corners_centre_and_their_mirrors() -> None:
    (views,) = TenCrop(side=4, shorter_side=8)(coordinates(8, 12))
    assert views.shape == (10, 4, 4, 3)
    assert views[:5, 0, 0, :2].tolist() == [[0, 0], [0, 8], [4, 0], [4, 8], [2, 4]]
    np.testing.assert_array_equal(views[5:], views[:5, :, ::-1])


def test_many_scales_are_whole_images_and_their_mirrors() -> None:
    views = FullyConvolutionalViews(shorter_sides=[8, 16])(coordinates(8, 12))
    assert [view.shape for view in views] == [(2, 8, 12, 3), (2, 16, 24, 3)]
    np.testing.assert_array_equal(views[0][0], coordinates(8, 12))
    np.testing.assert_array_equal(views[1][1], views[1][0][:, ::-1])


def test_a_crop_larger_than_the_scaled_image_is_refused() -> None:
    with pytest.raises(ValueError, match="shorter side must not be less"):
        CentreCrop(side=9, shorter_side=8)(coordinates(8, 12))


def test_scaling_keeps_the_aspect_ratio() -> None:
    assert scale_shorter(coordinates(100, 150), 64).shape == (64, 96, 3)
    assert scale_shorter(coordinates(150, 101), 64).shape == (95, 64, 3)  # 150 * 64 / 101 = 95.05
    image = coordinates(10, 20)
    assert scale_shorter(image, 10) is image
