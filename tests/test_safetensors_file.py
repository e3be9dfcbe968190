"""A checkpoint as a safetensors file is the checkpoint."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from detection.checkpoint import (
    Checkpoint,
    ClassifierCheckpoint,
    is_checkpoint,
    is_classifier,
    load_plain,
)


def checkpoint() -> Checkpoint:
    return Checkpoint(
        weights={
            "a": torch.randn(3, 4, 2, 2).to(memory_format=torch.channels_last),
            "count": torch.tensor(7),
            "half": torch.ones(2, dtype=torch.bfloat16),
        },
        model_config={"_target_": "x", "sigma": math.inf, "sizes": [1, 2.0], "none": None},
        class_names=["猫", 'a "dog"'],
        resize={"longest": 1333},
        inference={"flip": False},
        category_ids=[1, 90],
        training={"trained": ["rpn"]},
    )


def test_what_is_saved_comes_back(tmp_path: Path) -> None:
    given = checkpoint()
    given.save(tmp_path / "m.safetensors")
    assert is_checkpoint(tmp_path / "m.safetensors")
    again = Checkpoint.load(tmp_path / "m.safetensors")
    assert replace(again, weights={}) == replace(given, weights={})
    assert again.trained == ("rpn",)
    assert again.weights.keys() == given.weights.keys()
    for name, value in given.weights.items():
        assert torch.equal(again.weights[name], value)
        assert again.weights[name].dtype == value.dtype


def test_others_may_read_it_as_they_may_a_pt_file(tmp_path: Path) -> None:
    for name in ("m.pt", "m.safetensors"):
        checkpoint().save(tmp_path / name)
    assert (tmp_path / "m.pt").stat().st_mode == (tmp_path / "m.safetensors").stat().st_mode


def test_a_classifier_is_recognised(tmp_path: Path) -> None:
    given = ClassifierCheckpoint(
        weights={"fc.bias": torch.ones(2)}, model_config={}, class_names=[], views={"side": 224}
    )
    given.save(tmp_path / "c.safetensors")
    assert is_classifier(load_plain(tmp_path / "c.safetensors"))
    with pytest.raises(ValueError, match="not a checkpoint of this package"):
        Checkpoint.load(tmp_path / "c.safetensors")


def test_the_state_of_a_training_stays_in_pt_files(tmp_path: Path) -> None:
    given = replace(checkpoint(), training={"optimizer": {"momentum": torch.ones(1)}})
    with pytest.raises(ValueError, match=r"is kept in a \.pt file"):
        given.save(tmp_path / "m.safetensors")
    assert list(tmp_path.iterdir()) == []
    given.without_training().save(tmp_path / "m.safetensors")


def test_files_of_tensors_alone_and_damaged_ones(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    save_file({"a": torch.ones(2)}, path)
    assert not is_checkpoint(path)
    assert load_plain(path)["a"].tolist() == [1, 1]
    with pytest.raises(ValueError, match="not a checkpoint of this package"):
        Checkpoint.load(path)
    save_file({"a": torch.ones(2)}, path, metadata={"detection": "{"})
    with pytest.raises(ValueError, match="metadata 'detection' is damaged"):
        Checkpoint.load(path)
    path.write_bytes(b"x" * 100)
    with pytest.raises(ValueError, match="not a readable file of weights"):
        Checkpoint.load(path)
