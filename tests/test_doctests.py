"""Every example in a docstring runs, and every public name has one."""

from __future__ import annotations

import doctest
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

import detection

ROOT = Path(__file__).resolve().parent.parent
MODULES = sorted(
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
    for path in (ROOT / "detection").rglob("*.py")
    if ">>> " in path.read_text()
)


@pytest.mark.slow
@pytest.mark.usefixtures("in_example_files")
@pytest.mark.parametrize("name", MODULES)
def test_the_examples_of_a_module_run(name: str) -> None:
    module = importlib.import_module(name)
    failed, tried = doctest.testmod(module, optionflags=doctest.ELLIPSIS)
    assert tried
    assert not failed


@pytest.mark.parametrize("name", sorted({*detection.__all__} - {"__version__"}))
def test_every_public_name_has_an_example(name: str) -> None:
    assert ">>> " in (getattr(detection, name).__doc__ or "")


def test_what_is_not_there_is_an_attribute_error() -> None:
    assert {*detection.__all__} <= {*dir(detection)}
    with pytest.raises(AttributeError, match="no attribute 'Detektor'"):
        _ = detection.Detektor  # type: ignore[attr-defined]


def test_importing_the_package_loads_neither_torch_nor_hydra() -> None:
    code = "import sys, detection; print({'torch', 'cv2', 'hydra', 'numpy'} & {*sys.modules})"
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert run.stdout == "set()\n"
