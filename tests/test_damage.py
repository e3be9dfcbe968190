"""Damaged weights are noticed: one bit anywhere in a file, and numbers that are not finite."""

from __future__ import annotations

import random
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from detection.checkpoint import ClassifierCheckpoint, load_plain
from detection.weights.file_content import read_content


def checkpoint(**weights: torch.Tensor) -> ClassifierCheckpoint:
    generator = torch.Generator().manual_seed(0)
    some = {f"conv{n}.weight": torch.randn(4, 3, 3, 3, generator=generator) for n in range(3)}
    return ClassifierCheckpoint(
        weights=some | weights, model_config={"depth": 18}, class_names=["cat"], views={}
    )


def flipped(content: bytes, bit: int) -> bytes:
    changed = bytearray(content)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
@pytest.mark.parametrize("read", [ClassifierCheckpoint.load, read_content], ids=["load", "weights"])
def test_one_bit_anywhere_is_noticed(
    tmp_path: Path, suffix: str, read: Callable[[Path], object]
) -> None:
    path = tmp_path / f"best{suffix}"
    checkpoint().save(path)
    content = path.read_bytes()
    read(path)
    bits = len(content) * 8
    # Anywhere, and in each byte of the ends, where the checksums themselves stand.
    places = random.Random(1).sample(range(bits), 40)
    places += [
        byte * 8 + byte % 8 for byte in (*range(100), *range(len(content) - 60, len(content)))
    ]
    for bit in places:
        path.write_bytes(flipped(content, bit))
        with pytest.raises(ValueError, match=f"best{suffix}"):
            read(path)


def test_files_without_our_checksum_have_the_archive_s(tmp_path: Path) -> None:
    path = tmp_path / "other.pth"
    torch.save({"a": torch.arange(1000.0)}, path)
    assert load_plain(path)["a"][7] == 7
    with zipfile.ZipFile(path) as archive:
        data = next(info for info in archive.infolist() if info.filename.endswith("data/0"))
    path.write_bytes(flipped(path.read_bytes(), (data.header_offset + 1000) * 8))
    with pytest.raises(ValueError, match=r"the checksum of other/data/0 is another"):
        load_plain(path)
    with pytest.raises(ValueError, match=r"the checksum of other/data/0 is another"):
        read_content(path)


def test_a_checkpoint_is_still_an_archive_of_torch(tmp_path: Path) -> None:
    checkpoint().save(tmp_path / "m.pt")
    assert torch.load(tmp_path / "m.pt", weights_only=True)["class_names"] == ["cat"]
    with zipfile.ZipFile(tmp_path / "m.pt") as archive:
        assert archive.testzip() is None


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_numbers_that_are_not_finite_are_neither_saved_nor_loaded(
    tmp_path: Path, value: float
) -> None:
    bad = torch.ones(3)
    bad[1] = value
    with pytest.raises(ValueError, match=r"m\.pt is not written: bn\.weight and 1 more tensors"):
        checkpoint(**{"bn.weight": bad, "bn.bias": bad}).save(tmp_path / "m.pt")
    assert not list(tmp_path.iterdir())
    torch.save(vars(checkpoint(**{"bn.weight": bad})), tmp_path / "m.pt")  # by an earlier version
    with pytest.raises(
        ValueError, match=r"m\.pt: bn\.weight of its weights .* not finite"
    ) as error:
        ClassifierCheckpoint.load(tmp_path / "m.pt")
    assert "\n" not in str(error.value)
