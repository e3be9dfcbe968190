"""A library that is not there ends a command with one line that says what to install."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

import detection
from detection.cli import missing
from detection.cli.command import Command
from detection.cli.launch import launch


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    monkeypatch.syspath_prepend(tmp_path)
    return Command(name="lacking", module="lacking", config="plot_curves", help="fails")


def lacking(folder: Path, body: str) -> None:
    (folder / "lacking.py").write_text(f'"""What lacking does."""\n\n{body}\n')


def test_opencv_without_libgl_names_the_build_that_needs_none(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lacking(
        tmp_path,
        "message = 'libGL.so.1: cannot open shared object file: No such file or directory'\n"
        "raise ImportError(message, name='cv2', path='/site-packages/cv2/cv2.abi3.so')",
    )
    with pytest.raises(SystemExit, match=r"libGL\.so\.1: .* pip install opencv-python-headless"):
        launch(command, ["tool", "runs=[a]"])
    monkeypatch.setenv("DETECTION_TRACEBACK", "1")
    with pytest.raises(ImportError):
        launch(command, ["tool", "runs=[a]"])


def test_help_needs_none_of_it(
    command: Command, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lacking(tmp_path, "import a_library_that_is_not_there")
    launch(command, ["tool", "--help"])
    assert "What lacking does." in capsys.readouterr().out


def test_an_extra_is_named_and_a_defect_is_none(command: Command, tmp_path: Path) -> None:
    lacking(tmp_path, "raise ImportError('plots need pip install \"detection[all]\"')")
    with pytest.raises(SystemExit, match=r'error: plots need pip install "detection\[all\]"'):
        launch(command, ["tool", "runs=[a]"])
    lacking(tmp_path, "import a_library_that_is_not_there")
    with pytest.raises(ImportError):
        launch(command, ["tool", "runs=[a]"])


def test_what_lacks_a_library_anywhere_within_opencv_is_understood(
    command: Command, tmp_path: Path
) -> None:
    (tmp_path / "cv2").mkdir()
    file = tmp_path / "cv2" / "__init__.py"
    file.write_text("raise ImportError('libGL.so.1: cannot open')")
    loads = "import importlib.util as util\n"
    loads += f"spec = util.spec_from_file_location('other', {str(file)!r})\n"
    lacking(tmp_path, loads + "spec.loader.exec_module(util.module_from_spec(spec))")
    with pytest.raises(SystemExit, match=r"libGL\.so\.1: .* pip install opencv-python-headless"):
        launch(command, ["tool", "runs=[a]"])


def test_a_dependency_that_is_missing_is_named(command: Command, tmp_path: Path) -> None:
    lacking(tmp_path, "raise ModuleNotFoundError(\"No module named 'PIL'\", name='PIL.Image')")
    with pytest.raises(SystemExit, match=r"error: the package PIL is not installed .*pip install"):
        launch(command, ["tool", "runs=[a]"])


def test_the_dependencies_are_those_of_the_project() -> None:
    imported = {"pillow": "PIL", "hydra-core": "hydra", "pyyaml": "yaml"}
    text = (Path(__file__).resolve().parents[2] / "pyproject.toml").read_text()
    declared = {
        re.split("[>=<]", line)[0] for line in tomllib.loads(text)["project"]["dependencies"]
    }
    names = {imported.get(name, name) for name in declared} - {"opencv-python"}
    assert names == {*missing.NEEDED}


def test_python_is_told_what_the_commands_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "without_libgl.py").write_text(
        "raise ImportError('libGL.so.1: cannot open', name='cv2', path='/cv2/cv2.abi3.so')\n"
    )
    monkeypatch.setitem(detection._MODULES, "Detector", "without_libgl")
    with pytest.raises(ImportError, match=r"libGL\.so\.1: .* pip install opencv-python-headless"):
        _ = detection.Detector
    (tmp_path / "defect.py").write_text("import a_library_that_is_not_there\n")
    monkeypatch.setitem(detection._MODULES, "Detector", "defect")
    with pytest.raises(ModuleNotFoundError, match=r"^No module named 'a_library"):
        _ = detection.Detector
