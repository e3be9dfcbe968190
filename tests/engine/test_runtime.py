"""Devices and precision."""

import pytest
import torch

from detection.engine.distributed import resolve_device
from detection.engine.runtime import set_up_runtime


def test_auto_is_cuda_where_there_is_one() -> None:
    expected = "cuda" if torch.cuda.is_available() else "cpu"
    assert resolve_device("auto").type == expected


@pytest.mark.parametrize("name", ["cuda:99", "tpu", "mps:x", ""])
def test_a_device_that_is_not_there_is_named(name: str) -> None:
    with pytest.raises(ValueError, match=f"device='{name}'"):
        resolve_device(name)


@pytest.mark.parametrize(("key", "value"), [("precision", "fp8"), ("workers", -1)])
def test_wrong_values_are_named(key: str, value: object) -> None:
    settings = {
        "device": "cpu",
        "precision": "fp32",
        "deterministic": False,
        "workers": 0,
        "winograd": False,
    }
    with pytest.raises(ValueError, match=rf"runtime\.{key}"):
        set_up_runtime(**(settings | {key: value}))  # type: ignore[arg-type]


def test_exact_runtime_asks_for_deterministic_algorithms() -> None:
    settings = {"device": "cpu", "precision": "fp32", "workers": 0, "winograd": False}
    try:
        set_up_runtime(**settings, deterministic=True)  # type: ignore[arg-type]
        assert torch.are_deterministic_algorithms_enabled()
    finally:
        set_up_runtime(**settings, deterministic=False)  # type: ignore[arg-type]
