"""What is not there is said before torch is loaded."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from detection.cli.inputs import check_inputs


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"checkpoint": "gone.pt"}, "^gone.pt: no such checkpoint$"),
        ({"checkpoint": ["there.pt", "gone.pt"]}, "^gone.pt: no such checkpoint$"),
        ({"checkpoint": "[a.pt,b.pt]"}, r"several are written checkpoint=\[a.pt,b.pt\]"),
        ({"checkpoint": "coco_r50", "resume": True}, "did you mean coco_r50_c4"),
        ({"weights": "msra_r5"}, "no name of published ones: did you mean msra_r50"),
        ({"weights": "gone.pth"}, "^gone.pth: no such file of weights$"),
        ({"init": "sub/gone"}, "^sub/gone: no such checkpoint$"),
        ({"data": {"root": "gone"}}, "^gone: no such folder; set data.root to your data set$"),
        ({"data": {"root": "gone.json"}}, "^gone.json: no such file; set data.root"),
    ],
)
def test_what_is_not_there_is_named(
    given: dict[str, object], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("there.pt").touch()
    with pytest.raises(FileNotFoundError, match=message):
        check_inputs(OmegaConf.create(given))


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"checkpoint": None, "weights": None, "init": None, "data": {"root": "."}},
        {"checkpoint": ["there.pt", "coco_r50_c4"], "weights": "msra_r50", "data": {}},
        {"weights": "gone.pth", "init": "gone.pt", "resume": True},
        {"weights": "random"},  # no file: configs/train.yaml
    ],
)
def test_what_is_there_passes(
    given: dict[str, object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("there.pt").touch()
    check_inputs(OmegaConf.create(given))


def test_torch_is_not_loaded_for_it(tmp_path: Path) -> None:
    (tmp_path / "torch.py").write_text("raise SystemExit('torch is imported')")
    ended = subprocess.run(
        [sys.executable, "-m", "detection", "train", str(tmp_path), "weights=msra_r5"],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 1
    assert ended.stderr.startswith("error: msra_r5: no such file of weights")
