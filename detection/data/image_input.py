"""A photo as Python programs have it: a file, a PIL image, an array or a tensor.

All become what :func:`detection.data.image.read_image` makes of a file: uint8 [H, W, 3], BGR.  What
cannot be told is said and not guessed: arrays are [height, width, channels], tensors [channels,
height, width] as torchvision has them, and both are RGB unless ``bgr=True``.  Alpha is left out,
as it is of a file.
"""

from __future__ import annotations

import io
import re
from collections.abc import Mapping
from os import PathLike, fspath
from typing import Any, TypeGuard

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageOps

from detection.data.image import read_image
from detection.data.sample_range import to_bytes
from detection.user_path import user_path

ImageInput = str | PathLike[str] | Image.Image | NDArray[Any] | torch.Tensor

# Modes of PIL that hold 8 bits for each channel, or fewer: PIL turns them into RGB as it should be.
_BYTES = {"1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr", "HSV"}
_SIXTEEN = {"I;16", "I;16L", "I;16B", "I;16N", "I"}
_KINDS = "a path, a PIL image, a numpy array or a torch tensor"
_ADDRESS = re.compile(r"[a-z][a-z0-9+.-]+:/|data:", re.IGNORECASE)  # C:/ is a drive


def is_image_input(value: object) -> TypeGuard[ImageInput]:
    """Whether ``value`` is one photo, of whatever kind."""
    return isinstance(value, (str, PathLike, Image.Image, np.ndarray, torch.Tensor))


def not_a_photo(value: object) -> TypeError:
    """The error for an object of another kind."""
    hint = ""
    if isinstance(value, (bytes, bytearray, memoryview, io.IOBase)):
        hint = "; of the bytes of a file or an open file PIL makes an image: Image.open(...)"
    elif isinstance(value, Mapping):
        hint = "; a mapping has none"
    return TypeError(f"a photo is {_KINDS}, got {type(value).__name__}{hint}")


def to_image(given: ImageInput, *, bgr: bool = False) -> NDArray[np.uint8]:
    """uint8 [H, W, 3], BGR, upright.

    A PIL image is turned upright according to its EXIF orientation, as a file is.
    Arrays [H, W] or [H, W, C] and tensors [H, W] or [C, H, W] have 1 (grey), 2 (grey, alpha),
    3 or 4 (with alpha) channels: uint8; uint16 or floats by the rule of files, see
    :mod:`detection.data.sample_range`.
    ``bgr``: whether the channels of an array or a tensor are in OpenCV's order.
    Raises FileNotFoundError; TypeError for another kind of object; ValueError for a file that is no
    picture and for pixels that are none of the above.
    """
    if not isinstance(bgr, bool):
        raise ValueError(f"bgr must be True or False, got {bgr!r}")
    if isinstance(given, (str, PathLike)):
        return _from_path(fspath(given))
    if isinstance(given, Image.Image):
        return _from_pil(given)
    if isinstance(given, torch.Tensor):
        return _from_array(_channels_last(given), what="a tensor", bgr=bgr)
    if isinstance(given, np.ndarray):
        _check_shape(given.shape, channels=-1, what="an array")
        return _from_array(given, what="an array", bgr=bgr)
    raise not_a_photo(given)


def _from_path(given: str) -> NDArray[np.uint8]:
    if not given:
        raise ValueError("an empty text is no photo's path")
    if _ADDRESS.match(given):
        raise ValueError(f"{given}: an address, not a file: download it first")
    path = user_path(given)
    if path.is_dir():
        raise ValueError(f"{path}: a folder, not a picture")
    return read_image(path)


def _from_pil(given: Image.Image) -> NDArray[np.uint8]:
    if 0 in given.size:
        raise ValueError(f"a PIL image of {given.width} x {given.height} pixels: it is empty")
    name = getattr(given, "filename", "") or "a PIL image"
    try:
        image = ImageOps.exif_transpose(given)
    except (OSError, ValueError, SyntaxError) as error:  # PIL reads the file only now
        raise ValueError(f"{name}: PIL cannot read its pixels: {error}") from None
    if image.mode == "La":  # PIL has no other way out of it
        image = image.convert("LA")
    if image.mode in _BYTES:
        return _from_array(np.asarray(image.convert("RGB")), what="a PIL image", bgr=False)
    pixels = np.asarray(image)
    if image.mode in _SIXTEEN:
        low, high = int(pixels.min()), int(pixels.max())
        if low < 0 or high > 65535:
            raise ValueError(
                f"a PIL image of mode {image.mode!r} with values {low} ... {high}: expected 16 "
                "bits, 0 ... 65535; scale it to 8 bits"
            )
        pixels = pixels.astype(np.uint16)
    elif image.mode != "F":
        raise ValueError(
            f"a PIL image of mode {image.mode!r} cannot be taken: give image.convert('RGB')"
        )
    return _from_array(pixels, what=f"a PIL image of mode {image.mode!r}", bgr=False)


def _channels_last(given: torch.Tensor) -> NDArray[Any]:
    """A tensor [H, W] or [C, H, W] as an array [H, W] or [H, W, C]."""
    _check_shape(tuple(given.shape), channels=0, what="a tensor")
    if given.layout != torch.strided or given.is_quantized or given.is_meta:
        raise ValueError(
            f"a tensor must be a dense one with numbers: got {given.dtype}, {given.layout}, on "
            f"{given.device}"
        )
    tensor = given.detach().cpu()
    if tensor.is_floating_point():
        tensor = tensor.float()  # numpy knows no bfloat16
    return (tensor.permute(1, 2, 0) if tensor.ndim == 3 else tensor).numpy()


def _check_shape(shape: tuple[int, ...], *, channels: int, what: str) -> None:
    """``channels``: the dimension, 0 or -1, that they must be in."""
    order = "[channels, height, width]" if channels == 0 else "[height, width, channels]"
    expected = f"{what} must be [height, width] or {order} with 1 to 4 channels"
    if len(shape) == 4:
        raise ValueError(f"{expected}, got {list(shape)}: a batch is given as a list, list(batch)")
    if len(shape) not in (2, 3):
        raise ValueError(f"{expected}, got {list(shape)}")
    if 0 in shape:
        raise ValueError(f"{expected}, got {list(shape)}: it is empty")
    if len(shape) == 3 and not 1 <= shape[channels] <= 4:
        other = shape[-1 - channels]
        way = "permute(2, 0, 1)" if channels == 0 else "transpose(1, 2, 0)"
        hint = f": give {what.split()[-1]}.{way}" if other <= 4 else ""
        raise ValueError(f"{expected}, got {list(shape)}{hint}")


def _from_array(pixels: NDArray[Any], *, what: str, bgr: bool) -> NDArray[np.uint8]:
    """[H, W] or [H, W, C] -> uint8 [H, W, 3], BGR."""
    if pixels.ndim == 2:
        pixels = pixels[:, :, None]
    channels = pixels.shape[2]
    if channels in (2, 4):  # the last one is alpha
        pixels = pixels[:, :, :-1]
    if channels >= 3 and not bgr:
        pixels = pixels[:, :, ::-1]
    if pixels.dtype not in (np.uint8, np.uint16) and not np.issubdtype(pixels.dtype, np.floating):
        raise ValueError(
            f"{what} of {pixels.dtype}: pixels are uint8 (0 ... 255), uint16 (0 ... 65535) or "
            "floats in [0, 1]; convert it to one of these"
        )
    eight = to_bytes(np.array(pixels, order="C"), what)  # a copy: frames are often reused
    return eight if eight.shape[2] == 3 else np.repeat(eight, 3, axis=2)
