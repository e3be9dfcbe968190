"""Files that hold no weights in PyTorch's formats, known by their first bytes or their suffix."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path

from detection.damage import is_archive

_TAKEN = "weights= takes a .safetensors, .pth, .pt, .bin or .pkl file"
_CONVERT = f"{_TAKEN}: save the network's state_dict() in PyTorch"
_WHOLE = "save it whole, as save_pretrained(..., max_shard_size='10GB') does"

# Long enough for the mark of a tar archive, which stands at 257.
_START = 512
_STARTS: tuple[tuple[bytes, str], ...] = (
    (
        b"version https://git-lfs",
        "a pointer of Git LFS in the place of the file: git lfs pull fetches the file itself",
    ),
    (b"\x89HDF\r\n", f"an HDF5 file (Keras, TensorFlow); {_CONVERT}"),
    (b"\x93NUMPY", f"one array of numpy; {_TAKEN}"),
    (b"GGUF", f"a GGUF file (llama.cpp); {_TAKEN}"),
    (b"\x1f\x8b", "packed by gzip: unpack it first"),
    (b"BZh", "packed by bzip2: unpack it first"),
    (b"\xfd7zXZ", "packed by xz: unpack it first"),
    (b"7z\xbc\xaf", "a 7z archive: unpack it first"),
    (b"Rar!", "a RAR archive: unpack it first"),
)
_PICTURES = {b"\xff\xd8\xff": "JPEG", b"\x89PNG\r\n": "PNG", b"RIFF": "WebP"}
# What is pickled or packed also stands under these: they say it only where the contents do not.
_SUFFIXES = {
    ".onnx": f"an ONNX file, a graph to be run; {_CONVERT}",
    ".pb": f"a graph of TensorFlow; {_CONVERT}",
    ".tflite": f"a TensorFlow Lite file; {_CONVERT}",
    ".index": f"the index of a TensorFlow checkpoint; {_CONVERT}",
    ".meta": f"the graph of a TensorFlow checkpoint; {_CONVERT}",
    ".caffemodel": f"a Caffe file; {_CONVERT}",
    ".mlmodel": f"a Core ML file; {_CONVERT}",
    ".msgpack": f"a Flax file; {_CONVERT}",
    ".mat": f"a MATLAB file; {_CONVERT}",
    ".engine": f"a TensorRT engine; {_CONVERT}",
    ".plan": f"a TensorRT engine; {_CONVERT}",
    ".weights": f"a Darknet file (YOLO); {_CONVERT}",
    ".pdparams": f"a PaddlePaddle file; {_CONVERT}",
}
# IR version, then the producer, the domain or the graph: fields 1, 2 to 8 of ONNX's ModelProto.
_ONNX = re.compile(rb"\x08[\x01-\x1f][\x12\x1a\x22\x2a\x32\x3a\x42]")
_TENSORFLOW_DATA = re.compile(r"\.data-\d{5}-of-\d{5}$")
_SHARD = re.compile(r"-\d{5}-of-(\d{5})\.(?:bin|safetensors|pth|pt)$")
# The last bytes of the table in which TensorFlow keeps the names of a checkpoint.
_TENSORFLOW_INDEX = bytes.fromhex("57fb808b247547db")


def check_kind_of_file(path: Path) -> None:
    """Raises ValueError, with what it is and the remedy, for a file of another kind.

    Of zip archives see :func:`check_kind_of_archive`.
    """
    shard = _SHARD.search(path.name)
    if shard and int(shard[1]) > 1:
        raise ValueError(
            f"{path}: one of {int(shard[1])} shards, which hold a network together: {_WHOLE}"
        )
    if is_archive(path) or is_safetensors(path):
        return
    with path.open("rb") as file:
        start = file.read(_START)
        file.seek(max(0, path.stat().st_size - len(_TENSORFLOW_INDEX)))
        end = file.read()
    what = _what_it_is(path, start, end)
    if what:
        raise ValueError(f"{path}: {what}")


def check_is_no_picture(path: Path) -> None:
    """Raises ValueError for a picture in the place of a detector."""
    if path.is_file():
        with path.open("rb") as file:
            kind = _kind_of_picture(file.read(_START))
        if kind:
            raise ValueError(f"{path}: a {kind} picture, and no detector, which is named first")


def _kind_of_picture(start: bytes) -> str | None:
    return next((kind for mark, kind in _PICTURES.items() if start.startswith(mark)), None)


def check_kind_of_archive(path: Path, names: Sequence[str]) -> None:
    """``names``: what a zip archive holds.  Raises ValueError for one that torch did not write."""
    if any(name.endswith("data.pkl") for name in names):
        return
    if "model.weights.h5" in names:
        what = f"a Keras file; {_CONVERT}"
    elif names and all(name.endswith(".npy") for name in names):
        what = f"arrays of numpy (.npz), as BiT and ViT were first published; {_CONVERT}"
    else:
        shown = ", ".join(names[:3]) or "nothing"
        what = f"a zip archive, and none of torch.save (it holds {shown}); {_TAKEN}"
    raise ValueError(f"{path}: {what}")


def check_is_no_folder(path: Path) -> None:
    """Raises FileNotFoundError for a folder, with the files of weights in it."""
    if not path.is_dir():
        return
    inside = sorted(p.name for p in path.iterdir() if p.suffix in (".safetensors", ".pth", ".pt"))
    inside = inside or sorted(p.name for p in path.glob("pytorch_model.bin"))
    named = f": name the file in it ({', '.join(inside[:5])})" if inside else f"; {_TAKEN}"
    raise FileNotFoundError(f"{path}: a folder{named}")


def is_safetensors(path: Path) -> bool:
    """Whether it begins as such a file does, whatever its suffix is."""
    with path.open("rb") as file:
        start = file.read(9)
    length = int.from_bytes(start[:8], "little")
    return start[8:] == b"{" and 2 <= length <= path.stat().st_size - 8


def _what_it_is(path: Path, start: bytes, end: bytes) -> str | None:
    if not start:
        return "not a readable file of weights: it is empty"
    text = start.lstrip().lower()
    if text.startswith((b"<!doctype html", b"<html")):
        return "a web page in the place of the file: its download failed"
    if text.startswith(b"<?xml"):
        return f"XML, as OpenVINO describes networks; {_CONVERT}"
    if text.startswith(b"{"):
        return _json(path)
    if kind := _kind_of_picture(start):
        return f"a {kind} picture; {_TAKEN}"
    by_start = next((what for mark, what in _STARTS if start.startswith(mark)), None)
    if by_start:
        return by_start
    if start[257:262] == b"ustar" and path.suffixes[-2:-1] not in ([".pth"], [".pt"]):
        return "a tar archive: unpack it first"
    if start[4:8] == b"TFL3":
        return _SUFFIXES[".tflite"]
    if _TENSORFLOW_DATA.search(path.name):
        return f"the numbers of a TensorFlow checkpoint; {_CONVERT}"
    if end == _TENSORFLOW_INDEX:
        return _SUFFIXES[".index"]
    if _ONNX.match(start):
        return _SUFFIXES[".onnx"]
    return _SUFFIXES.get(path.suffix.lower())


def _json(path: Path) -> str:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError):
        return f"text, and no weights; {_TAKEN}"
    files = content.get("weight_map") if isinstance(content, dict) else None
    if not isinstance(files, dict):
        return f"JSON, and no weights; {_TAKEN}"
    shards = sorted({str(name) for name in files.values()})
    if len(shards) == 1:
        return f"the index of a network whose weights are in {shards[0]}: name that file"
    return f"the index of a network in {len(shards)} shards ({', '.join(shards[:2])} ...): {_WHOLE}"
