"""A file of weights that declares far more than it holds is refused before memory is taken."""

from __future__ import annotations

import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from detection.checkpoint import load_plain
from detection.declared_sizes import Allowance
from detection.weights.file_content import read_content
from detection.weights.safe_pickle import load_pickle


@pytest.mark.parametrize("read", [load_plain, read_content])
def test_a_tensor_that_repeats_one_number_is_refused(tmp_path: Path, read: Any) -> None:
    path = tmp_path / "one.pt"
    torch.save({"a": torch.zeros(1).expand(300_000, 300_000)}, path)  # 4 bytes x 9e10
    with pytest.raises(ValueError, match=r"one\.pt: its tensors declare 360,000,000,000 bytes"):
        read(path)


@pytest.mark.parametrize("read", [load_plain, read_content])
def test_a_zip_bomb_is_refused(tmp_path: Path, read: Any) -> None:
    plain, path = tmp_path / "plain.pt", tmp_path / "bomb.pt"
    torch.save({"a": torch.zeros(3)}, plain)
    with (
        zipfile.ZipFile(plain) as old,
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as new,
    ):
        for name in old.namelist():
            new.writestr(name, old.read(name))
        new.writestr("plain/data/9", bytes(70 << 20))
    with pytest.raises(ValueError, match=r"bomb\.pt: its archive unpacks to 73,"):
        read(path)


@pytest.mark.parametrize("read", [load_plain, read_content])
def test_tied_and_repeated_weights_are_read(tmp_path: Path, read: Any) -> None:
    path = tmp_path / "tied.pt"
    one = torch.zeros(1000)
    torch.save({str(i): one for i in range(100)}, path)
    content = read(path)
    assert len(getattr(content, "tree", content)) == 100


def test_lists_of_one_list_take_no_longer_than_the_list(tmp_path: Path) -> None:
    """60 levels of [x, x] are 2 ** 60 lists, if each is looked at."""
    path = tmp_path / "lists.pkl"
    value: Any = []
    for _ in range(60):
        value = [value, value]
    path.write_bytes(pickle.dumps({"w": value}, protocol=2))
    read = load_pickle(path)["w"]
    assert read[0] is read[1]


def test_a_shape_of_texts_is_refused(tmp_path: Path) -> None:
    data = pickle.dumps(np.zeros(3, dtype=np.uint8), protocol=2)
    shape = data.index(b"K\x03\x85")  # (3,)
    path = tmp_path / "shape.pkl"
    text = b"X" + (6).to_bytes(4, "little") + b"aaaaaa" + b"\x85"
    path.write_bytes(data[:shape] + text + data[shape + 3 :])
    with pytest.raises(ValueError, match="whose shape is no list of whole numbers"):
        load_pickle(path)


def old_format(path: Path, content: Any) -> bytes:
    torch.save(content, path, _use_new_zipfile_serialization=False)
    return path.read_bytes()


@pytest.mark.parametrize("read", [load_plain, read_content])
def test_a_storage_of_the_old_format_that_is_longer_than_the_file_is_refused(
    tmp_path: Path, read: Any
) -> None:
    path = tmp_path / "old.pth"
    data = old_format(path, {"a": torch.zeros(12345)})
    length = b"M" + (12345).to_bytes(2, "little")  # BININT2, of the storage and of the tensor
    assert data.count(length) == 2
    long = b"J" + (2_000_000_000).to_bytes(4, "little")  # BININT
    path.write_bytes(data.replace(length, long, 1))
    with pytest.raises(ValueError, match=r"old\.pth: its storages declare 2,000,000,000 numbers"):
        read(path)


@pytest.mark.parametrize("read", [load_plain, read_content])
@pytest.mark.parametrize("length", [0, 3, 300, 70_000])
def test_storages_of_the_old_format_are_read(tmp_path: Path, read: Any, length: int) -> None:
    path = tmp_path / "old.pth"
    one = torch.arange(length, dtype=torch.float64)
    views = {str(number): one[number:] for number in range(20)}  # of one storage
    old_format(path, views | {"big": 10**12, "own": one.clone(), "byte": torch.ones(5).bool()})
    content = read(path)
    tree = getattr(content, "tree", content)
    assert torch.equal(tree["own"], one)
    assert torch.equal(tree["2"], one[2:])


def test_an_allowance_is_for_what_the_weights_are() -> None:
    allowance = Allowance({"a": torch.zeros(1000)}, source="a.pt")
    allowance.take((1000, 16_000), 4)
    with pytest.raises(
        ValueError, match=r"of a\.pt describes a network of 96,000,000 bytes in 2 .* 4,000 bytes"
    ):
        allowance.take((8, 1_000_000), 4)
    many = Allowance({}, source="a.pt")
    for _ in range(1000):
        many.take((1,), 4)
    with pytest.raises(ValueError, match="1,001 tensors"):
        many.take((1,), 4)
