"""A photo in memory becomes what the reader makes of its file, or is refused with one line."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from detection.data.image import read_image
from detection.data.image_input import to_image

SMOOTH = cv2.resize(
    np.random.default_rng(0).integers(0, 256, (4, 5, 3), dtype=np.uint8), (40, 30)
)  # RGB [30, 40, 3]
RGB = np.ascontiguousarray(SMOOTH)
BGR = RGB[:, :, ::-1]
GREY = RGB[:, :, 0]
ALPHA = np.full((30, 40, 1), 7, dtype=np.uint8)
CHW = torch.from_numpy(RGB).permute(2, 0, 1)


@pytest.mark.parametrize(
    ("given", "bgr"),
    [
        (RGB, False),
        (BGR, True),
        (np.asfortranarray(RGB), False),
        (np.concatenate([RGB, ALPHA], axis=2), False),
        (np.concatenate([BGR, ALPHA], axis=2), True),
        (RGB / 255, False),
        ((RGB / 255).astype(np.float16), False),
        (RGB.astype(np.uint16) * 256 + 255, False),
        (CHW, False),
        (CHW.flip(0), True),
        (CHW / 255, False),
        (CHW.double() / 255, False),
        ((CHW / 255).requires_grad_(), False),
        (Image.fromarray(RGB), False),
        (Image.fromarray(RGB), True),  # it knows its own order
        (Image.fromarray(np.concatenate([RGB, ALPHA], axis=2)), False),
    ],
)
def test_every_form_of_a_picture_is_the_same_picture(given: Any, bgr: bool) -> None:
    found = to_image(given, bgr=bgr)
    assert found.dtype == np.uint8
    assert found.flags.c_contiguous
    np.testing.assert_array_equal(found, BGR)


@pytest.mark.parametrize(
    "given",
    [
        GREY,
        GREY[:, :, None],
        np.stack([GREY, GREY // 2], axis=2),  # grey, alpha
        GREY / 255,
        torch.from_numpy(GREY),
        torch.from_numpy(GREY)[None],
        Image.fromarray(GREY),
        Image.fromarray(GREY).convert("LA"),
        Image.fromarray(GREY.astype(np.uint16) * 256),
        Image.fromarray((GREY / 255).astype(np.float32)),
    ],
)
def test_grey_becomes_three_equal_channels(given: Any) -> None:
    np.testing.assert_array_equal(to_image(given), np.repeat(GREY[:, :, None], 3, axis=2))


@pytest.mark.parametrize(
    ("mode", "suffix", "tolerance"),
    [
        *[(mode, ".png", 0) for mode in ("1", "L", "LA", "P", "RGB", "RGBA", "I;16")],
        ("CMYK", ".jpg", 2),  # two decoders
        ("CMYK", ".tif", 2),
    ],
)
def test_a_pil_image_is_what_its_file_is(
    tmp_path: Path, mode: str, suffix: str, tolerance: int
) -> None:
    image = Image.fromarray(RGB)
    if mode == "I;16":
        image = Image.fromarray(GREY.astype(np.uint16) * 257)
    elif mode == "RGBA":
        image = Image.fromarray(np.concatenate([RGB, ALPHA], axis=2))
    else:
        image = image.convert(mode)
    file = tmp_path / f"photo{suffix}"
    image.save(file)
    opened = Image.open(file)
    assert opened.mode == mode
    of_file = to_image(file)
    np.testing.assert_array_equal(of_file, read_image(file))
    assert int(cv2.absdiff(to_image(opened), of_file).max()) <= tolerance
    np.testing.assert_array_equal(to_image(str(file)), of_file)


def test_a_pil_image_is_turned_upright_as_its_file_is(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(RGB).save(tmp_path / "a.png", exif=exif)
    opened = Image.open(tmp_path / "a.png")
    assert to_image(opened).shape == (40, 30, 3)
    np.testing.assert_array_equal(to_image(opened), to_image(tmp_path / "a.png"))


def test_what_is_given_is_neither_changed_nor_kept() -> None:
    mine = BGR.copy()
    found = to_image(mine, bgr=True)
    mine[:] = 0
    np.testing.assert_array_equal(found, BGR)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (RGB.astype(np.float32), r"values 0?.* \.\.\. .*floats must be in \[0, 1\]"),
        (RGB / 255 - 0.5, r"floats must be in \[0, 1\], not normalised"),
        (np.full((3, 4), np.nan), "nan"),
        (torch.full((3, 4, 5), torch.inf), "inf"),
        (RGB.astype(np.int64), "of int64: pixels are uint8"),
        (RGB > 100, "of bool: pixels are uint8"),
        (RGB.astype(complex), "of complex128"),
        (CHW.numpy(), r"\[3, 30, 40\]: give array.transpose\(1, 2, 0\)"),
        (torch.from_numpy(RGB), r"\[30, 40, 3\]: give tensor.permute\(2, 0, 1\)"),
        (CHW[None], r"\[1, 3, 30, 40\]: a batch is given as a list"),
        (np.zeros((8, 8, 5), np.uint8), "1 to 4 channels, got"),
        (np.zeros(8, np.uint8), r"got \[8\]"),
        (np.zeros((0, 8, 3), np.uint8), "it is empty"),
        (torch.zeros(3, 0, 8), "it is empty"),
        (Image.new("RGB", (0, 8)), "0 x 8 pixels: it is empty"),
        (Image.new("F", (4, 4), 3.0), r"mode 'F' .*values 3 \.\.\. 3: floats must be in \[0, 1\]"),
        (Image.new("I", (4, 4), 70000), "mode 'I' with values 70000"),
        (Image.new("LAB", (4, 4)), "mode 'LAB' cannot be taken: give image.convert"),
        ("https://example.org/a.jpg", "an address, not a file"),
    ],
)
def test_what_cannot_be_told_is_refused_in_one_line(given: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words) as caught:
        to_image(given)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("given", [None, 3, {"a": 1}, b"bytes", [[1, 2]]])
def test_other_objects_are_no_photos(given: Any) -> None:
    with pytest.raises(TypeError, match=f"a photo is .*got {type(given).__name__}"):
        to_image(given)


def test_a_missing_file_and_a_folder_are_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"nope\.jpg: no such image"):
        to_image(tmp_path / "nope.jpg")
    with pytest.raises(ValueError, match="a folder, not a picture"):
        to_image(tmp_path)


@pytest.mark.parametrize("sign", [-1, 1])
def test_floats_that_miss_the_range_by_rounding_are_taken(sign: int) -> None:
    pixels = (RGB / 255).clip(0, 1) + sign * 1e-6  # as of a picture that was denormalised
    np.testing.assert_array_equal(to_image(pixels), BGR)


def test_what_else_names_a_file_is_a_path(tmp_path: Path) -> None:
    Image.fromarray(RGB).save(tmp_path / "a.png")
    (entry,) = os.scandir(tmp_path)
    np.testing.assert_array_equal(to_image(entry), BGR)


def test_grey_with_premultiplied_alpha_is_taken() -> None:
    image = Image.fromarray(GREY).convert("LA").convert("La")
    np.testing.assert_array_equal(to_image(image)[:, :, 0], GREY)


def test_sixteen_bits_of_which_eight_are_used_are_refused() -> None:
    with pytest.raises(ValueError, match=r"an array of uint16 has values .* 1 of 256 grey levels"):
        to_image(RGB.astype(np.uint16))
    assert not to_image(np.zeros((4, 4), np.uint16)).any()  # a lid on the lens


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("", "an empty text is no photo's path"),
        (Path("https://example.com/a.jpg"), "an address, not a file"),
        ("data:image/png;base64,AAAA", "an address, not a file"),
        (torch.zeros(3, 4, 4, device="meta"), "dense one with numbers: .* on meta"),
        (torch.zeros(3, 4, 4).to_sparse(), "dense one with numbers: .*sparse"),
    ],
)
def test_what_has_no_pixels_is_said_at_once(given: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        to_image(given)


@pytest.mark.parametrize("given", [b"\xff\xd8", io.BytesIO(b"\xff\xd8"), bytearray(3)])
def test_bytes_are_refused_with_the_way_to_give_them(given: Any) -> None:
    with pytest.raises(TypeError, match=r"of the bytes of a file .* PIL makes an image"):
        to_image(given)


def test_a_pil_image_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    Image.fromarray(RGB).save(tmp_path / "a.jpg")
    (tmp_path / "cut.jpg").write_bytes((tmp_path / "a.jpg").read_bytes()[:700])
    with pytest.raises(ValueError, match=r"cut\.jpg: PIL cannot read its pixels: .*truncated"):
        to_image(Image.open(tmp_path / "cut.jpg"))


def test_the_order_of_channels_is_said_by_true_or_false() -> None:
    with pytest.raises(ValueError, match="bgr must be True or False, got 'no'"):
        to_image(RGB, bgr="no")  # type: ignore[arg-type]
