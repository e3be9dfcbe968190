"""What a safetensors file says of its input is read as it was written."""

from __future__ import annotations

from dataclasses import replace

import pytest

from detection.weights.input_format import MSRA, TORCHVISION, InputFormat, from_description


@pytest.mark.parametrize(
    "given", [MSRA, TORCHVISION, replace(MSRA, mean=[102.9801, 115.9465, 122.7717])]
)
def test_a_description_comes_back(given: InputFormat) -> None:
    assert from_description(given.description()) == given
