"""The command serve: what it says, how it ends, and what stops it from starting."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, get_args

import pytest

pytest.importorskip("fastapi")

import detection
from detection.cli import serve
from detection.cli.compose import compose_config
from detection.cli.settings.serve import Preset
from detection.inference.detector import Detector

ROOT = Path(__file__).resolve().parents[2]


def test_the_presets_are_the_files_of_configs() -> None:
    files = {path.stem for path in (ROOT / "configs" / "inference").glob("*.yaml")}
    assert {*get_args(Preset)} == files


def test_named_steps_are_those_of_detect(example_files: Path) -> None:
    from detection.serving.steps import Steps

    given = ["checkpoint=x", "score_threshold=0.2", "per_image=7", "steps=[single,refine_vote]"]
    config = compose_config("serve", given)
    detector = Detector.load(example_files / "best.pt", device="cpu")
    named = serve._named_steps(config, detector)
    for name, steps in named.items():
        assert steps.post_processing.score_threshold == 0.2
        assert steps.post_processing.per_image == 7
        assert steps.refinement.passes == (name == "refine_vote")
        assert (steps.post_processing.voting_iou is None) == (name == "single")
    assert Steps(detector, named).names == ["own", "single", "refine_vote"]
    detector.inference = named["refine_vote"]
    steps = Steps(detector, named)
    assert (steps.default, steps.names) == ("refine_vote", ["single", "refine_vote"])


@pytest.fixture
def started(example_files: Path) -> Iterator[Any]:
    command = [sys.executable, "-m", "detection", "serve", str(example_files / "best.pt")]
    command += ["port=0", "runtime.device=cpu", "runtime.precision=fp32", "runtime.winograd=false"]
    command += ["runtime.regions_at_once=64"]
    process = subprocess.Popen(
        command, stderr=subprocess.PIPE, text=True, env=os.environ | {"PYTHONPATH": str(ROOT)}
    )
    assert process.stderr is not None
    lines: list[str] = []
    for line in process.stderr:
        lines.append(line)
        if "stops it" in line:
            break
    yield SimpleNamespace(process=process, lines=lines)
    process.kill()
    process.wait()


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_serves_until_a_signal(started: Any, example_files: Path, number: int) -> None:
    address = re.match(r"(http://127\.0\.0\.1:\d+) has best\.pt \(7 classes\)", started.lines[-1])
    assert address
    assert "open to the network" not in "".join(started.lines)
    request = urllib.request.Request(
        f"{address[1]}/detect?threshold=0.01",
        data=(example_files / "photo.jpg").read_bytes(),
        headers={"Content-Type": "image/jpeg"},
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        said = json.load(answer)
    detector = Detector.load(example_files / "best.pt", device="cpu", winograd=False)
    found = detector(example_files / "photo.jpg", threshold=0.01)
    assert [one["class"] for one in said["detections"]] == found.names
    assert [one["score"] for one in said["detections"]] == pytest.approx(found.scores.tolist())
    started.process.send_signal(number)
    assert started.process.wait(60) == 0
    assert "all that was in work is answered" in started.process.stderr.read()


def test_a_port_that_is_taken() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        config = compose_config("serve", ["checkpoint=none.pt", f"port={port}"])
        with pytest.raises(ValueError, match=f"port {port}: .*give another port="):
            serve.main(config)


def test_a_host_that_is_not_this_machine() -> None:
    config = compose_config("serve", ["checkpoint=none.pt", "host=no.such.host.invalid"])
    with pytest.raises(ValueError, match=r"host=no\.such\.host\.invalid: no such address"):
        serve.main(config)


@pytest.mark.parametrize(
    ("host", "open_to_the_network", "address"),
    [
        ("127.0.0.1", False, r"http://127\.0\.0\.1:\d+"),
        ("localhost", False, r"http://(127\.0\.0\.1|\[::1\]):\d+"),
        ("0.0.0.0", True, r"http://127\.0\.0\.1:\d+"),
    ],
)
def test_who_can_reach_it(host: str, open_to_the_network: bool, address: str) -> None:
    from detection.serving.server import address_of, bind, is_open

    with bind(host, 0) as bound:
        assert is_open(bound) is open_to_the_network
        assert re.fullmatch(address, address_of(bound))


@pytest.mark.parametrize("name", ["fastapi", "uvicorn", "python_multipart"])
def test_what_is_not_installed_is_named(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(detection, "serving", detection.serving)  # the package as it is now
    for module in [m for m in sys.modules if m.startswith("detection.serving")]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ImportError, match=r'pip install "detection\[serve\]"'):
        serve.main(compose_config("serve", ["checkpoint=none.pt"]))
