"""Files that are no weights of PyTorch are named, whatever they are called."""

from __future__ import annotations

import json
import re
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from detection.weights.file_content import read_content

TENSORFLOW_INDEX = b"\x00" * 40 + bytes.fromhex("57fb808b247547db")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.onnx", b"\x08\x07\x12\x07pytorch", "an ONNX file, a graph to be run; weights= takes"),
        ("a.pth", b"\x08\x08\x12\x07pytorch:", "an ONNX file"),
        ("a.h5", b"\x89HDF\r\n\x1a\n....", r"an HDF5 file \(Keras, TensorFlow\)"),
        ("a.pth", b"\x89HDF\r\n\x1a\n....", "an HDF5 file"),
        ("model.ckpt-9.index", TENSORFLOW_INDEX, "the index of a TensorFlow checkpoint"),
        ("checkpoint", TENSORFLOW_INDEX, "the index of a TensorFlow checkpoint"),
        ("model.ckpt.data-00000-of-00001", b"\x01\x02", "the numbers of a TensorFlow checkpoint"),
        ("saved_model.pb", b"\x0a\x05", "a graph of TensorFlow"),
        ("a.tflite", b"\x1c\x00\x00\x00TFL3", "a TensorFlow Lite file"),
        ("yolov3.weights", b"\x00\x00\x00\x00\x02\x00\x00\x00", r"a Darknet file \(YOLO\)"),
        ("r50.caffemodel", b"\x0a\x09ResNet-50", "a Caffe file"),
        ("a.msgpack", b"\x83\xa6params", "a Flax file"),
        ("a.gguf", b"GGUF\x03\x00", "a GGUF file"),
        ("a.jpg", b"\xff\xd8\xff\xe0\x00\x10JFIF", "a JPEG picture"),
        ("a.png", b"\x89PNG\r\n\x1a\n", "a PNG picture"),
        ("a.npy", b"\x93NUMPY\x01\x00", "one array of numpy"),
        ("a.xml", b'<?xml version="1.0"?>', "XML, as OpenVINO"),
        ("r50.pth", b"<!DOCTYPE html><html>", "a web page in the place of the file"),
        ("r50.safetensors", b"\n<html><head>", "a web page in the place of the file"),
        ("a.bin", b"version https://git-lfs.github.com/spec/v1\n", "a pointer of Git LFS .*pull"),
        ("a.safetensors", b"version https://git-lfs.github.com/spec/v1\n", "a pointer of Git LFS"),
        ("a.pth.gz", b"\x1f\x8b\x08\x00", "packed by gzip: unpack it first"),
        ("a.tar", b"\x00" * 257 + b"ustar\x00", "a tar archive: unpack it first"),
        ("a.pth", b"", "not a readable file of weights: it is empty"),
        ("model-00001-of-00002.safetensors", b"12345678{", "one of 2 shards.*save it whole"),
        ("config.json", b'{"architectures": []}', "JSON, and no weights"),
        ("notes.pth", b"{not json", "text, and no weights"),
    ],
)
def test_a_file_of_another_kind_is_named(
    name: str, content: bytes, message: str, tmp_path: Path
) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(ValueError, match=rf"{re.escape(name)}: {message}") as error:
        read_content(path)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (["m-00001-of-00002.bin", "m-00002-of-00002.bin"], r"in 2 shards \(m-00001.*max_shard_si"),
        (["model.safetensors"], r"whose weights are in model\.safetensors: name that file"),
    ],
)
def test_the_index_of_shards_says_what_to_do(
    files: list[str], message: str, tmp_path: Path
) -> None:
    index = {"metadata": {}, "weight_map": {f"layer{i}": name for i, name in enumerate(files)}}
    path = tmp_path / "pytorch_model.bin.index.json"
    path.write_text(json.dumps(index))
    with pytest.raises(ValueError, match=message):
        read_content(path)


@pytest.mark.parametrize(
    ("inside", "message"),
    [
        (["resnet/root_block/kernel.npy", "b.npy"], r"arrays of numpy \(\.npz\)"),
        (["config.json", "model.weights.h5"], "a Keras file"),
        (["photos/1.jpg"], r"a zip archive, and none of torch\.save \(it holds photos/1\.jpg\)"),
    ],
)
def test_an_archive_that_torch_did_not_write_is_named(
    inside: list[str], message: str, tmp_path: Path
) -> None:
    with zipfile.ZipFile(tmp_path / "a.pth", "w") as archive:
        for name in inside:
            archive.writestr(name, b"x")
    with pytest.raises(ValueError, match=rf"a\.pth: {message}"):
        read_content(tmp_path / "a.pth")


def test_arrays_of_numpy_are_named(tmp_path: Path) -> None:
    np.savez(tmp_path / "BiT-M-R50x1.npz", a=np.ones(2))
    with pytest.raises(ValueError, match=r"R50x1\.npz: arrays of numpy .*as BiT"):
        read_content(tmp_path / "BiT-M-R50x1.npz")


def test_a_folder_says_which_file_in_it_to_name(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="a folder; weights= takes"):
        read_content(tmp_path)
    (tmp_path / "pytorch_model.bin").touch()
    with pytest.raises(FileNotFoundError, match=r"name the file in it \(pytorch_model\.bin\)"):
        read_content(tmp_path)
    (tmp_path / "model.safetensors").touch()
    with pytest.raises(FileNotFoundError, match=r"name the file in it \(model\.safetensors\)"):
        read_content(tmp_path)


def test_safetensors_are_read_under_any_name(tmp_path: Path) -> None:
    # A length of 0x1f8b, 0x7b or so may look like another kind's first bytes.
    save_file({"a" * 40: torch.ones(2)}, tmp_path / "a.pth")
    content = read_content(tmp_path / "a.pth")
    assert list(content.tree) == ["a" * 40]
    for padding in range(1, 40):
        path = tmp_path / "b.safetensors"
        save_file({"w": torch.ones(2)}, path, metadata={"x": "y" * padding * 8})
        assert list(read_content(path).tree) == ["w"]
