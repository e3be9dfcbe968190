"""Every line of docs/api.md runs, from top to bottom, on a small detector of random weights."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

import detection
from detection.cli import env
from detection.machine.threads import POLICY, THREADS

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "api.md").read_text()
BLOCKS = re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
# A name stands for a file that is fetched.
NAMES = {"coco_r101_c4": "best.pt"}


@pytest.mark.slow
def test_every_line_of_the_page_runs(
    in_example_files: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names: dict[str, Any] = {}
    assert len(BLOCKS) > 10
    for block in BLOCKS:
        for name, path in NAMES.items():
            block = block.replace(name, path)
        exec(compile(block, "docs/api.md", "exec"), names)
    assert "in photo.jpg: " in capsys.readouterr().out
    assert {"drawn.jpg", "photo.json"} == {path.name for path in Path("out").iterdir()}
    assert names["vectors"].shape == (len(names["result"]), 512)  # of a ResNet-18
    assert names["others"].shape == (2, 512)


def test_the_variables_that_a_program_sets_are_those_that_commands_choose() -> None:
    said = {THREADS, POLICY}
    assert said == {*re.findall(r"OMP_\w+", PAGE)}
    assert [name for name, _ in env._threads()] == ["threads now"]
    assert "`threads now`" in PAGE


@pytest.mark.parametrize("name", sorted({*detection.__all__} - {"__version__"}))
def test_every_public_name_is_on_the_page(name: str) -> None:
    assert re.search(rf"\b{name}\b", PAGE) or name in ("Detection", "TrainedRun")
