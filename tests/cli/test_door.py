"""The door: threads are chosen for a command that computes, before torch is loaded."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from detection.cli import door, launch
from detection.cli.commands import COMMANDS
from detection.cli.standard_output import show
from detection.machine.cores import Cores
from detection.machine.threads import chosen_here


@pytest.fixture
def opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What happens, in order, when the commands' module is one that tells."""
    happened: list[str] = []
    (tmp_path / "telling.py").write_text(
        '"""Tells."""\nimport sys\nsys.happened.append("import")\n\n\ndef main(config):\n'
        '    sys.happened.append("main")\n'
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "x").mkdir()  # a data set
    monkeypatch.setattr(sys, "happened", happened, raising=False)
    monkeypatch.delitem(sys.modules, "telling", raising=False)
    monkeypatch.setattr(
        launch,
        "choose_threads",
        lambda *, fixed: happened.append("fixed threads" if fixed else "threads"),
    )
    monkeypatch.setattr(launch, "keep_prepared_convolutions", lambda: happened.append("kept"))
    return happened


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["train", "data.root=x"], ["threads", "kept", "import", "main"]),
        (["train", "data.root=x", "runtime=exact"], ["fixed threads", "kept", "import", "main"]),
        (["compare", "x", "x"], ["fixed threads", "import", "main"]),  # it never looks again
        (["check", "x"], ["import", "main"]),
        (["train", "--help"], []),
    ],
    ids=lambda value: " ".join(value),
)
def test_threads_are_chosen_before_a_command_that_computes_is_imported(
    words: list[str], expected: list[str], opened: list[str]
) -> None:
    launch.launch(replace(COMMANDS[words[0]], module="telling"), words)
    assert opened == expected
    sys.modules.pop("telling", None)


def test_garbage_is_collected_while_a_command_runs_and_not_while_it_is_imported(
    opened: list[str], tmp_path: Path
) -> None:
    (tmp_path / "telling.py").write_text(
        "import gc, sys\nsys.happened.append(gc.isenabled())\n\n\ndef main(config):\n"
        "    sys.happened.append(gc.isenabled())\n"
    )
    launch.launch(replace(COMMANDS["check"], module="telling"), ["check", "x"])
    assert opened == [False, True]
    sys.modules.pop("telling", None)


def test_where_torch_is_loaded_it_is_too_late(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "torch" in sys.modules
    monkeypatch.delattr(door, "find_cores")  # calling it would raise
    door.choose_threads()


@pytest.mark.parametrize(
    "name", ["ONEDNN_PRIMITIVE_CACHE_CAPACITY", "DNNL_PRIMITIVE_CACHE_CAPACITY"]
)
def test_more_convolutions_stay_prepared_unless_the_user_says(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(door.os, "environ", {})
    door.keep_prepared_convolutions()
    assert door.os.environ == {"ONEDNN_PRIMITIVE_CACHE_CAPACITY": "8192"}
    monkeypatch.setattr(door.os, "environ", {name: "7"})
    door.keep_prepared_convolutions()
    assert door.os.environ == {name: "7"}


def test_the_first_process_alone_says_it(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    for name in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    monkeypatch.setattr(door, "free_cores", lambda cores: 0.0)
    monkeypatch.delitem(sys.modules, "torch")
    for rank in ("0", "1"):
        with monkeypatch.context() as patch:
            patch.setenv("RANK", rank)
            patch.setattr(door.os, "environ", dict(door.os.environ))
            door.choose_threads()
            assert door.os.environ["OMP_WAIT_POLICY"] == "passive"
    assert len(caplog.messages) == 1
    assert "2 threads compute" in caplog.text


def test_what_a_command_has_chosen_is_not_said_by_the_user_to_one_that_it_starts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    chosen = {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "passive"}
    environment = chosen | chosen_here(chosen, process=1)
    monkeypatch.setattr(door, "find_cores", lambda: Cores(frozenset({0, 1}), 2, None))
    monkeypatch.setattr(door, "free_cores", lambda cores: 2.0)
    monkeypatch.delitem(sys.modules, "torch")
    monkeypatch.setattr(door.os, "environ", environment)
    door.choose_threads()
    assert environment["OMP_NUM_THREADS"] == "2"
    assert "OMP_WAIT_POLICY" not in environment
    assert environment["DETECTION_THREADS"] == f"{os.getpid()}:OMP_NUM_THREADS"


@pytest.mark.slow
def test_names_of_files_are_utf8_in_every_locale(tmp_path: Path) -> None:
    """A list of VOC, and its pictures, with letters that ASCII does not have."""
    name = "写真 ё"
    xml = (
        f"<annotation><filename>{name}.png</filename><object><name>mug</name><bndbox><xmin>11"
        "</xmin><ymin>11</ymin><xmax>34</xmax><ymax>30</ymax></bndbox></object></annotation>"
    )
    for folder in ("JPEGImages", "Annotations", "ImageSets/Main"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "ImageSets/Main/train.txt").write_text(f"{name}\n", encoding="utf-8")
    (tmp_path / f"Annotations/{name}.xml").write_text(xml, encoding="utf-8")
    cells = np.random.default_rng(0).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    picture = cv2.imencode(".png", cv2.resize(cells, (64, 48)))[1].tobytes()
    (tmp_path / f"JPEGImages/{name}.png").write_bytes(picture)
    root = Path(__file__).resolve().parents[2]
    ascii_alone = {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
    for program in (["-m", "detection", "check"], [str(root / "tools" / "check_dataset.py")]):
        done = subprocess.run(
            [sys.executable, *program, str(tmp_path), "--json"],
            capture_output=True,
            env=os.environ | ascii_alone | {"PYTHONPATH": str(root)},
        )
        said = json.loads(done.stdout)
        assert (said["refused"], said["splits"]["train"]["images"]) == ([], 1)


def test_a_name_that_is_no_utf_8_is_printed_escaped(monkeypatch: pytest.MonkeyPatch) -> None:
    name = b"caf\xe9".decode(errors="surrogateescape")
    kept = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(kept, encoding="utf-8"))
    door.escape_names()
    show(name)
    assert kept.getvalue() == b"caf\\udce9\n"
