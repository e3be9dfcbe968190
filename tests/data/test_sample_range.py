"""Pictures of more than 8 bits, of floats and of bands: one rule for all readers, or a refusal."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import PIL.Image
import pytest
import torch
from numpy.typing import NDArray

from detection.data.image import decode_image, read_image, read_size
from detection.data.image_input import to_image
from detection.data.sample_range import to_bytes

# 0 ... 255 in 12 x 22 pixels, and the same with three channels that differ.
GREY = np.linspace(0, 255, 12 * 22).reshape(12, 22).astype(np.uint8)
BGR = np.dstack((GREY, GREY[::-1], GREY[:, ::-1]))
RANGE = "DETECTION_SAMPLE_RANGE"


def coded(suffix: str, pixels: NDArray[Any]) -> bytes:
    done, data = cv2.imencode(suffix, pixels)
    assert done
    return data.tobytes()


def tiff(pixels: NDArray[Any], **tags: int | tuple[int, ...]) -> bytes:
    """An uncompressed TIFF of one strip with the tags that are given, whatever they say."""
    height, width, samples = pixels.shape if pixels.ndim == 3 else (*pixels.shape, 1)
    kind = {"u": 1, "i": 2, "f": 3}[pixels.dtype.kind]
    entries = {
        256: width, 257: height, 258: (8 * pixels.itemsize,) * samples, 259: 1,
        262: 2 if samples >= 3 else 1, 273: 0, 277: samples, 278: height, 279: pixels.nbytes,
        339: (kind,) * samples,
    } | {int(name[1:]): value for name, value in tags.items()}  # fmt: skip
    start = 8 + 2 + 12 * len(entries) + 4
    more = b"".join(
        np.array(value, "<u2").tobytes()
        for _, value in sorted(entries.items())
        if isinstance(value, tuple) and len(value) > 2
    )
    entries[273] = start + len(more)
    directory, at = b"", start
    for tag, value in sorted(entries.items()):
        values = value if isinstance(value, tuple) else (value,)
        if isinstance(value, tuple) and len(values) > 2:
            field, at = at.to_bytes(4, "little"), at + 2 * len(values)
        elif isinstance(value, tuple):
            field = np.array(values, "<u2").tobytes().ljust(4, b"\0")
        else:
            field = value.to_bytes(4, "little")
        size = (3 if isinstance(value, tuple) else 4).to_bytes(2, "little")
        count = len(values).to_bytes(4, "little")
        directory += tag.to_bytes(2, "little") + size + count + field
    head = b"II*\0" + (8).to_bytes(4, "little") + len(entries).to_bytes(2, "little")
    return head + directory + bytes(4) + more + pixels.tobytes()


def read(data: bytes, name: str = "a.tif") -> NDArray[np.uint8]:
    return decode_image(data, Path(name))


def in_three(grey: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.repeat(grey[:, :, None], 3, axis=2)


@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize("colours", [False, True])
def test_sixteen_bits_are_their_upper_eight(suffix: str, colours: bool) -> None:
    eight = BGR if colours else GREY
    data = coded(suffix, eight.astype(np.uint16) * 256 + 7)
    image = read(data, f"a{suffix}")
    assert np.array_equal(image, BGR if colours else in_three(GREY))
    # What OpenCV makes of them by itself, but that it divides those of a TIFF's colours by 257.
    theirs = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    if colours and suffix == ".tif":
        assert np.abs(image.astype(int) - theirs).max() == 1
    else:
        assert np.array_equal(image, theirs)


@pytest.mark.parametrize("kind", [np.float32, np.float64])
@pytest.mark.parametrize("colours", [False, True])
def test_floats_of_0_to_1_are_0_to_255(kind: type, colours: bool) -> None:
    eight = BGR if colours else GREY
    image = read(coded(".tif", (eight / 255).astype(kind)))
    assert np.array_equal(image, BGR if colours else in_three(GREY))


TWELVE = GREY.astype(np.uint16) * 16  # 0 ... 4080, 12 bits in 16


@pytest.mark.parametrize(
    "given",
    [
        coded(".png", TWELVE),
        coded(".tif", TWELVE),
        coded(".tif", np.dstack([TWELVE] * 3)),
        coded(".tif", TWELVE.astype(np.int32)),
        coded(".tif", TWELVE.astype(np.int16)),
        tiff(np.dstack([TWELVE] * 4), t338=(0,)),  # RGB and near infrared
        TWELVE,
        torch.from_numpy(TWELVE),
        PIL.Image.fromarray(TWELVE),
    ],
)
def test_twelve_bits_in_sixteen_are_refused_and_read_by_a_range(
    given: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    if isinstance(given, bytes):
        (tmp_path / "a.tif").write_bytes(given)
        given = tmp_path / "a.tif"
    with pytest.raises(
        ValueError, match=rf"values 0 \.\.\. 4080, which are 16 of 256 grey levels .*{RANGE}=0,4095"
    ) as refused:
        to_image(given)
    assert "\n" not in str(refused.value)
    if isinstance(given, Path):
        assert str(given) in str(refused.value)
    monkeypatch.setenv(RANGE, "0,4080")
    assert np.array_equal(to_image(given), in_three(GREY))
    monkeypatch.setenv(RANGE, "0,65535")  # as it is: dark
    assert np.array_equal(to_image(given), in_three(GREY // 16))


def test_a_range_clips_and_holds_for_floats_but_not_for_bytes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(RANGE, "-1000,1000")
    counts = np.array([[-2000, -1000, 0, 1000, 9000]])
    expected = [0, 0, 128, 255, 255]  # 127.5 rounds to the even number
    assert to_bytes(counts, "x").tolist() == [expected]
    assert to_bytes(counts.astype(np.float32), "x").tolist() == [expected]
    assert np.array_equal(read(coded(".png", BGR), "a.png"), BGR)


@pytest.mark.parametrize("text", ["4095", "0,0", "9,1", "a,b", "0,inf", "0,nan", "0,1,2"])
def test_a_range_that_is_none_is_refused(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(RANGE, text)
    with pytest.raises(ValueError, match=f"{RANGE} must be two numbers"):
        read(coded(".png", TWELVE), "a.png")


@pytest.mark.parametrize(
    ("pixels", "words"),
    [
        (np.dstack([GREY / 255 * 7650] * 3).astype(np.float32), r"0 \.\.\. 7650: floats must be"),
        ((GREY / 255 - 0.5).astype(np.float32), r"floats must be in \[0, 1\].*=-0\.5,0\.5"),
        (np.full((4, 4), np.nan, np.float32), "no pixel may be NaN"),
        (np.where(GREY > 9, GREY / 255, np.inf).astype(np.float32), "may be NaN or infinite"),
        (GREY.astype(np.int32) * 1000, r"whole numbers must be in 0 \.\.\. 65535.*=0,255000"),
        (GREY.astype(np.int16) - 100, r"-100 \.\.\. 155: whole numbers must be in"),
        (GREY.astype(np.uint16) + 33000, r"33000 \.\.\. 33255, which are 2 of .*=33000,33255"),
    ],
)
def test_another_range_is_refused(pixels: NDArray[Any], words: str) -> None:
    with pytest.raises(ValueError, match=rf"a\.tif: a picture of .*{words}"):
        read(coded(".tif", pixels))


@pytest.mark.parametrize("value", [0, 700, 65535])
def test_a_picture_of_one_value_has_no_range(value: int) -> None:
    image = read(coded(".png", np.full((4, 4), value, np.uint16)), "a.png")
    assert (image == value >> 8).all()


def test_where_white_is_zero() -> None:
    turned = in_three(255 - GREY)
    assert np.array_equal(read(tiff(GREY, t262=0)), turned)
    assert np.array_equal(read(tiff(GREY.astype(np.uint16) * 257, t262=0)), turned)
    with pytest.raises(ValueError, match=r"a\.tif: a TIFF of floats.* whose white is 0"):
        read(tiff((GREY / 255).astype(np.float32), t262=0))


def test_bands_behind_red_green_and_blue_are_left_out() -> None:
    four = np.dstack((BGR[:, :, ::-1], GREY))
    assert np.array_equal(read(tiff(four, t338=(0,))), BGR)
    assert np.array_equal(read(tiff(four.astype(np.uint16) * 257, t338=(0,))), BGR)
    assert np.array_equal(read(tiff((four / 255).astype(np.float32), t338=(0,))), BGR)


def test_alpha_is_left_out() -> None:
    pair, four = np.dstack((GREY, 255 - GREY)), np.dstack((BGR[:, :, ::-1], np.zeros_like(GREY)))
    assert np.array_equal(read(tiff(pair, t338=(2,))), in_three(GREY))
    for alpha in (1, 2):
        assert np.array_equal(read(tiff(four, t338=(alpha,))), BGR)
    assert np.array_equal(read(tiff(four, t338=(2,), t274=(3,))), BGR[::-1, ::-1])
    assert np.array_equal(read(tiff(four.astype(np.uint16) * 257, t338=(2,))), BGR)
    assert np.array_equal(
        read(coded(".png", four[:, :, [2, 1, 0, 3]].astype(np.uint16) * 257)), BGR
    )


def test_what_opencv_makes_eight_bits_of_by_a_rule_of_its_own_is_refused() -> None:
    pair = np.dstack((TWELVE, TWELVE))
    with pytest.raises(ValueError, match=r"a\.tif: a TIFF of 16 bits .*without alpha"):
        read(tiff(pair, t338=(2,)))


@pytest.mark.parametrize(("samples", "colours"), [(2, 1), (4, 1), (5, 1), (5, 2), (13, 1), (2, 2)])
def test_bands_that_nobody_names_are_refused(samples: int, colours: int, tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    path.write_bytes(tiff(np.dstack([GREY] * samples), t262=colours))
    for reader in (read_image, read_size):
        with pytest.raises(ValueError, match=rf"a\.tif: a TIFF of {samples} bands that are not"):
            reader(path)


def test_colours_that_are_none_of_ours_are_refused() -> None:
    with pytest.raises(ValueError, match=r"a\.tif: a TIFF with colours of kind 8 .*convert it to"):
        read(tiff(BGR, t262=8))


@pytest.mark.parametrize("mode", ["P", "1", "LA", "L", "RGBA", "CMYK", "YCbCr", "PA"])
@pytest.mark.parametrize("name", ["PNG", "TIFF"])
def test_palettes_single_bits_and_the_rest_are_as_pillow_sees_them(mode: str, name: str) -> None:
    if name == "PNG" and mode in ("CMYK", "YCbCr", "PA"):
        pytest.skip("a PNG holds none")
    given = PIL.Image.fromarray(BGR[:, :, ::-1].copy()).convert(mode)
    file = BytesIO()
    given.save(file, name)
    expected = np.asarray(given.convert("RGB"))[:, :, ::-1]
    image = read(file.getvalue(), f"a.{name.lower()}")
    assert np.abs(image.astype(int) - expected).max() <= 2  # YCbCr rounds


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.float32])
def test_a_tiff_is_upright_and_its_size_is_that_of_its_pixels(
    orientation: int, kind: type, tmp_path: Path
) -> None:
    path = tmp_path / "a.tif"
    rgb = BGR[:, :, ::-1]
    scaled = {np.uint8: rgb, np.uint16: rgb.astype(np.uint16) * 257}.get(
        kind, (rgb / 255).astype(np.float32)
    )
    path.write_bytes(tiff(scaled, t274=(orientation,)))
    image = read_image(path)
    assert read_size(path) == image.shape[:2]
    turned = PIL.Image.fromarray(rgb.copy())
    turned.getexif()[0x0112] = orientation
    expected = np.asarray(PIL.ImageOps.exif_transpose(turned))[:, :, ::-1]
    assert np.array_equal(image, expected)


def test_high_dynamic_range_is_refused_in_place_of_clipped() -> None:
    bright = BGR.astype(np.float32)  # 0 ... 255, of which OpenCV would see 0 ... 1
    with pytest.raises(ValueError, match=r"a\.hdr: a picture of float32 .*floats must be in"):
        read(coded(".hdr", bright), "a.hdr")
    with pytest.raises(ValueError, match=r"a\.exr: not a readable image \(.* a OpenEXR"):
        read(b"\x76\x2f\x31\x01" + bytes(100), "a.exr")


def test_a_jpeg_of_twelve_bits_says_so() -> None:
    data = bytearray(coded(".jpg", BGR))
    frame = data.index(b"\xff\xc0")
    data[frame + 4] = 12
    with pytest.raises(ValueError, match=r"a\.jpg: not a readable image .*of 12 bits a sample, 8"):
        read(bytes(data), "a.jpg")
