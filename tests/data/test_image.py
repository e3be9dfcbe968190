"""THE image reader: upright, BGR, 8 bits, and clear about files that are no image."""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import PIL.Image
import pytest
from numpy.typing import NDArray

from detection.data.image import decode_image, read_image, read_size

Image = NDArray[np.uint8]


def picture() -> Image:
    """24 x 40, no two corners alike: blue, green, red and white quarters."""
    image = np.empty((24, 40, 3), dtype=np.uint8)
    image[:12, :20], image[:12, 20:] = (250, 10, 10), (10, 250, 10)
    image[12:, :20], image[12:, 20:] = (10, 10, 250), (250, 250, 250)
    return image


def jpeg(image: Image) -> bytes:
    done, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 98])
    assert done
    return data.tobytes()


def png(image: NDArray[np.generic]) -> bytes:
    done, data = cv2.imencode(".png", image)
    assert done
    return data.tobytes()


def with_exif(data: bytes, orientation: int, *, order: str = "<") -> bytes:
    """The JPEG with an APP1 segment of one TIFF entry: 0x0112 (orientation), a SHORT."""
    start = {"<": b"II*\0", ">": b"MM\0*"}[order] + struct.pack(order + "I", 8)
    entry = struct.pack(order + "HHHIHHI", 1, 0x0112, 3, 1, orientation, 0, 0)
    payload = b"Exif\0\0" + start + entry
    return data[:2] + b"\xff\xe1" + struct.pack(">H", len(payload) + 2) + payload + data[2:]


# What turns the stored picture upright, by the EXIF standard (row 0, column 0 of the scene):
# 1 top left, 2 top right, 3 bottom right, 4 bottom left, 5 left top, 6 right top, 7 right bottom,
# 8 left bottom.
UPRIGHT: dict[int, Callable[[Image], Image]] = {
    1: lambda image: image,
    2: lambda image: image[:, ::-1],
    3: lambda image: image[::-1, ::-1],
    4: lambda image: image[::-1],
    5: lambda image: image.transpose(1, 0, 2),
    6: lambda image: np.rot90(image, -1),  # clockwise
    7: lambda image: image[::-1, ::-1].transpose(1, 0, 2),
    8: lambda image: np.rot90(image, 1),
}


@pytest.mark.parametrize("orientation", UPRIGHT)
@pytest.mark.parametrize("order", ["<", ">"])
def test_exif_orientation_is_applied(tmp_path: Path, orientation: int, order: str) -> None:
    stored = jpeg(picture())
    path = tmp_path / "photo.jpg"
    path.write_bytes(with_exif(stored, orientation, order=order))
    expected = UPRIGHT[orientation](decode_image(stored, path))
    assert np.array_equal(read_image(path), expected)


def test_channels_are_blue_green_red(tmp_path: Path) -> None:
    path = tmp_path / "image.png"
    path.write_bytes(png(picture()))
    image = read_image(path)
    assert image.dtype == np.uint8
    assert np.array_equal(image, picture())


def test_grey_becomes_three_equal_channels() -> None:
    grey = np.arange(24, dtype=np.uint8).reshape(4, 6)
    image = decode_image(png(grey), Path("grey.png"))
    assert image.shape == (4, 6, 3)
    assert np.array_equal(image, np.repeat(grey[:, :, None], 3, axis=2))


def test_sixteen_bits_become_eight() -> None:
    # Full range to full range: 65535 -> 255, 32768 -> 128, to one level.
    deep = np.array([[0, 32768, 65535]], dtype=np.uint16)
    image = decode_image(png(deep), Path("deep.png"))
    assert image.dtype == np.uint8
    assert image[0, :, 0].astype(int).tolist() == pytest.approx([0, 128, 255], abs=1)


def test_alpha_is_left_out() -> None:
    transparent = np.dstack((picture(), np.zeros((24, 40), dtype=np.uint8)))
    assert np.array_equal(decode_image(png(transparent), Path("alpha.png")), picture())


def test_a_missing_image_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"nothing\.jpg: no such image"):
        read_image(tmp_path / "nothing.jpg")


def noise() -> Image:
    return np.random.default_rng(0).integers(0, 256, (64, 64, 3)).astype(np.uint8)


@pytest.mark.parametrize("part", [0.5, 0.9, 0.999])
def test_a_truncated_jpeg_is_named_with_its_length(tmp_path: Path, part: float) -> None:
    data = jpeg(noise())
    data = data[: int(len(data) * part)]
    path = tmp_path / "half.jpg"
    path.write_bytes(data)
    with pytest.raises(ValueError, match=rf"half\.jpg: truncated JPEG \({len(data)} bytes"):
        read_image(path)


def test_a_truncated_jpeg_with_a_whole_thumbnail_is_still_truncated() -> None:
    # A thumbnail is a JPEG of its own, end marker included, inside the APP1 segment.
    thumbnail = b"Exif\0\0" + jpeg(np.zeros((8, 8, 3), dtype=np.uint8))
    segment = b"\xff\xe1" + struct.pack(">H", len(thumbnail) + 2) + thumbnail
    data = jpeg(noise())
    whole = data[:2] + segment + data[2:]
    assert decode_image(whole, Path("photo.jpg")).shape == (64, 64, 3)
    with pytest.raises(ValueError, match=r"photo\.jpg: truncated"):
        decode_image(whole[:-500], Path("photo.jpg"))


def test_bytes_behind_the_end_marker_are_no_reason_to_refuse() -> None:
    # Phones append data of their own.
    assert decode_image(jpeg(noise()) + b"trailer" * 10, Path("phone.jpg")).shape == (64, 64, 3)


def scene() -> Image:
    """Smooth: of noise every byte of the code is needed, of a photo it is as here."""
    return cv2.GaussianBlur(np.kron(noise(), np.ones((3, 3, 1), dtype=np.uint8)), (0, 0), 2)


def damaged(data: bytes, seed: int) -> bytes:
    """Eight bytes of the coded pixels replaced by others."""
    random = np.random.default_rng(seed)
    changed = bytearray(data)
    for place in random.integers(data.rfind(b"\xff\xda") + 20, len(data) - 2, 8):
        changed[place] = random.integers(0, 255)
    return bytes(changed)


def test_most_jpegs_with_damaged_bytes_are_noticed() -> None:
    pytest.importorskip("simplejpeg")
    data = jpeg(scene())
    said = []
    for seed in range(40):
        try:
            decode_image(damaged(data, seed), Path("a.jpg"))
        except ValueError as error:
            said.append(str(error))
    assert len(said) >= 30
    rule = re.compile(r"a\.jpg: (damaged JPEG|not a readable image) \(")
    assert all(map(rule.match, said))


def test_a_cut_jpeg_with_an_end_marker_is_noticed() -> None:
    pytest.importorskip("simplejpeg")
    data = jpeg(noise())
    with pytest.raises(ValueError, match=r"a\.jpg: damaged JPEG \(.*premature end"):
        decode_image(data[: len(data) // 2] + b"\xff\xd9", Path("a.jpg"))


def test_a_motion_photo_is_whole() -> None:
    pytest.importorskip("simplejpeg")
    # A video behind the picture has any bytes, those of a scan's start among them.
    data = jpeg(noise())
    video = b"ftypmp42\xff\xda" * 10
    assert np.array_equal(
        decode_image(data + video, Path("a.jpg")), decode_image(data, Path("a.jpg"))
    )


@pytest.mark.parametrize(
    "flags",
    [
        [],
        [cv2.IMWRITE_JPEG_PROGRESSIVE, 1],
        [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444],
        [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_411],
        [cv2.IMWRITE_JPEG_QUALITY, 20],
    ],
)
@pytest.mark.parametrize("grey", [False, True])
@pytest.mark.parametrize("orientation", [None, 1, 3, 6])
def test_pixels_are_those_of_opencv(flags: list[int], grey: bool, orientation: int | None) -> None:
    _, encoded = cv2.imencode(".jpg", scene()[:, :131, 0] if grey else scene()[:, :131], flags)
    data = encoded.tobytes() if orientation is None else with_exif(encoded.tobytes(), orientation)
    wanted = cv2.imdecode(np.frombuffer(data, dtype=np.uint8), cv2.IMREAD_COLOR)
    assert np.array_equal(decode_image(data, Path("a.jpg")), wanted)


def test_cmyk_is_as_opencv_has_it(tmp_path: Path) -> None:
    PIL.Image.new("CMYK", (20, 30), (10, 60, 90, 5)).save(tmp_path / "a.jpg")
    data = np.fromfile(tmp_path / "a.jpg", dtype=np.uint8)
    assert np.array_equal(read_image(tmp_path / "a.jpg"), cv2.imdecode(data, cv2.IMREAD_COLOR))


def test_without_simplejpeg_cut_files_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("detection.data.jpeg._library", lambda: None)
    data = jpeg(noise())
    assert decode_image(data, Path("a.jpg")).shape == (64, 64, 3)
    with pytest.raises(ValueError, match=r"a\.jpg: truncated JPEG .*the end marker is missing"):
        decode_image(data[:-50], Path("a.jpg"))


@pytest.mark.parametrize("part", [0.05, 0.5, 0.95])
def test_a_truncated_png_is_refused(part: float) -> None:
    data = png(noise())
    with pytest.raises(ValueError, match=r"half\.png: not a readable image"):
        decode_image(data[: int(len(data) * part)], Path("half.png"))


@pytest.mark.parametrize("content", [b"", b"hello", b"\xff\xd8", b"<html></html>"])
def test_what_is_no_image_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "page.jpg"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=rf"page\.jpg: .*\({len(content)} bytes"):
        read_image(path)


def test_an_image_too_large_to_decode_is_refused_like_any_other() -> None:
    def chunk(kind: bytes, data: bytes) -> bytes:
        checksum = zlib.crc32(kind + data)
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", checksum)

    header = struct.pack(">IIBBBBB", 200_000, 200_000, 8, 2, 0, 0, 0)  # 40 gigapixels
    data = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")
    with pytest.raises(
        ValueError, match=r"bomb\.png: 200000 x 200000 are 40,000,000,000 pixels, at most"
    ):
        decode_image(data, Path("bomb.png"))


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_the_size_is_that_of_the_upright_image(tmp_path: Path, orientation: int) -> None:
    path = tmp_path / "photo.jpg"
    flat = PIL.Image.new("RGB", (30, 20))
    exif = flat.getexif()
    exif[0x0112] = orientation
    flat.save(path, exif=exif)
    assert read_size(path) == read_image(path).shape[:2]


def test_a_size_of_what_is_no_image_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no such image"):
        read_size(tmp_path / "none.jpg")
    (tmp_path / "text.jpg").write_text("no image")
    with pytest.raises(ValueError, match="not a readable image"):
        read_size(tmp_path / "text.jpg")


def test_the_limit_of_pixels_is_a_setting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "image.png"
    path.write_bytes(png(picture()))  # 24 x 40 are 960
    monkeypatch.setenv("DETECTION_MAX_PIXELS", "959")
    for read in (read_image, read_size):
        with pytest.raises(ValueError, match="40 x 24 are 960 pixels, at most 959"):
            read(path)
    monkeypatch.setenv("DETECTION_MAX_PIXELS", "960")
    assert read_size(path) == (24, 40)
    assert read_image(path).shape == (24, 40, 3)
    monkeypatch.setenv("DETECTION_MAX_PIXELS", "many")
    with pytest.raises(ValueError, match="DETECTION_MAX_PIXELS must be a number of pixels"):
        read_image(path)
