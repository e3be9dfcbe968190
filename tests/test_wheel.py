"""The wheel holds the configurations and the console command, and works far from the repository."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parent.parent
FILES = ("setup.py", "build_backend.py", "pyproject.toml", "README.md", "LICENSE")
PARTS = (*FILES, "detection", "configs")


def run(*command: str, folder: Path, **environment: str) -> str:
    """What the command prints."""
    done = subprocess.run(
        [sys.executable, *command],
        cwd=folder,
        env=os.environ | environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, unpacked; without kernels, whose compiling takes a minute."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    source.mkdir()
    for name in PARTS:
        if (ROOT / name).is_dir():
            skipped = shutil.ignore_patterns("*.so", "__pycache__")
            shutil.copytree(ROOT / name, source / name, ignore=skipped)
        else:
            shutil.copy(ROOT / name, source)
    build = ("wheel", "--quiet", "--no-deps", "--no-build-isolation", "--no-index", ".")
    run("-m", "pip", *build, "--wheel-dir", str(folder), folder=source,
        FORCE_CUDA="0", CXX="no-compiler", PYTHONPATH="")  # fmt: skip
    (file,) = folder.glob("detection-*.whl")
    with zipfile.ZipFile(file) as archive:
        archive.extractall(folder / "unpacked")
    return folder / "unpacked"


def test_it_holds_every_configuration(wheel: Path) -> None:
    packed = wheel / "detection" / "configs"
    names = {path.relative_to(packed).as_posix() for path in packed.rglob("*") if path.is_file()}
    configs = ROOT / "configs"
    assert names == {path.relative_to(configs).as_posix() for path in configs.rglob("*.yaml")}
    assert (packed / "train.yaml").read_bytes() == (configs / "train.yaml").read_bytes()


def test_it_installs_the_command(wheel: Path) -> None:
    (scripts,) = wheel.glob("*.dist-info/entry_points.txt")
    assert "detection = detection.cli.main:main" in scripts.read_text()


def test_the_command_runs_in_another_folder(wheel: Path, tmp_path: Path) -> None:
    shown = run("-m", "detection", "--help", folder=tmp_path, PYTHONPATH=str(wheel))
    assert "usage: detection COMMAND" in shown
    shown = run("-m", "detection", "benchmark", "--help", folder=tmp_path, PYTHONPATH=str(wheel))
    assert "Times this project's parts against their peers" in shown
    assert (wheel / "detection" / "benchmarks" / "suites" / "neighbours.py").is_file()
    for kind in ("css", "html.j2", "js"):
        assert (wheel / "detection" / "report" / f"report.{kind}").is_file()
    shown = run("-m", "detection", "detect", "--help", folder=tmp_path, PYTHONPATH=str(wheel))
    assert "usage: detection detect CHECKPOINT IMAGES..." in shown
    assert "Detects objects in pictures" in shown
    found = "from detection.cli.compose import CONFIGS; print(CONFIGS)"
    shown = run("-c", found, folder=tmp_path, PYTHONPATH=str(wheel))
    assert Path(shown.strip()) == wheel / "detection" / "configs"
