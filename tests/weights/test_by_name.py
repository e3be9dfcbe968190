"""A name stands for a file: downloaded once, imported, kept."""

from __future__ import annotations

import hashlib
import logging
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import torchvision
from torch import Tensor

from detection.checkpoint import ClassifierCheckpoint, load_plain
from detection.model.faster_rcnn import FasterRCNN
from detection.weights.by_name import weights_file
from detection.weights.initialise import InitialWeights
from detection.weights.published import PUBLISHED, PublishedFile

ROOT = Path(__file__).resolve().parents[2]
NAME = "torchvision_r18_v1"

# In another process, where the row of the table is that of the server of this one.
OTHER_PROCESS = """
import logging, sys
from dataclasses import replace
from detection.weights.by_name import weights_file
from detection.weights.published import PUBLISHED, PublishedFile
logging.basicConfig(level=logging.INFO, stream=sys.stderr)
name, address, digest = sys.argv[1:]
PUBLISHED[name] = replace(PUBLISHED[name], location=PublishedFile(address, "sha256", digest))
print(weights_file(name))
"""


@pytest.fixture(scope="module")
def resnet18(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Tensor], bytes]:
    """torchvision's layout: (its state dict, the file)."""
    torch.manual_seed(0)
    network = torchvision.models.resnet18(num_classes=10)
    network(torch.randn(4, 3, 64, 64))  # BN's statistics tell what the pixels were
    path = tmp_path_factory.mktemp("torchvision") / "resnet18.pth"
    torch.save(network.state_dict(), path)
    return network.state_dict(), path.read_bytes()


@pytest.fixture
def published(
    server: Any,
    resnet18: tuple[dict[str, Tensor], bytes],
    cache: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> PublishedFile:
    """The row of NAME points at the server."""
    server.files["resnet18-x.pth"] = resnet18[1]
    digest = hashlib.sha256(resnet18[1]).hexdigest()[:8]
    file = PublishedFile(f"{server.address}/resnet18-x.pth", "sha256", digest)
    monkeypatch.setitem(PUBLISHED, NAME, replace(PUBLISHED[NAME], location=file))
    return file


def test_it_is_downloaded_once_and_kept_as_a_checkpoint(
    published: PublishedFile,
    resnet18: tuple[dict[str, Tensor], bytes],
    cache: Path,
    server: Any,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = weights_file(NAME, kind="backbone")
    assert path == cache / "detection" / f"{NAME}.safetensors"
    assert server.asked == ["/resnet18-x.pth"]
    assert "100%" in capsys.readouterr().err  # the progress bar
    names = {file.name for file in path.parent.iterdir()}
    assert names == {path.name, f".{path.name}.lock"}
    checkpoint = ClassifierCheckpoint.load(path)
    given = resnet18[0]["layer4.1.bn2.bias"]
    assert torch.equal(checkpoint.weights["backbone.conv5.1.conv_b.bn.bias"], given)
    assert checkpoint.model_config["backbone"]["depth"] == 18
    assert checkpoint.model_config["pixels"]["order"] == "RGB"

    server.files.clear()
    monkeypatch.setenv("DETECTION_WEIGHTS", "/no/such/folder")
    assert weights_file(NAME) == path
    assert weights_file(Path(NAME)) == path
    assert len(server.asked) == 1


def test_it_goes_into_a_detector_with_its_input_checked(
    published: PublishedFile,
    resnet18: tuple[dict[str, Tensor], bytes],
    detector: Callable[..., FasterRCNN],
) -> None:
    model = detector()  # BGR pixels
    weights = InitialWeights(backbone=Path(NAME), entry=None, detector=None, new_classes=False)
    with pytest.raises(ValueError, match=r"model\.pixels\.order=RGB"):
        weights.load_into(model, ["a", "b", "c"])
    pixels = model.pixels
    pixels.order = "RGB"
    pixels.mean.copy_(torch.tensor([123.675, 116.28, 103.53]))
    pixels.std.copy_(torch.tensor([58.395, 57.12, 57.375]))
    assert weights.load_into(model, ["a", "b", "c"]) == ()
    assert torch.equal(model.backbone.conv1.conv.weight, resnet18[0]["conv1.weight"])


def test_a_file_of_that_name_wins(
    published: PublishedFile,
    server: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("msra_r50").mkdir()  # a folder does not
    Path(NAME).write_bytes(b"x")
    with caplog.at_level(logging.INFO):
        assert weights_file(NAME) == Path(NAME)
    assert "the file of this name, and not the published weights" in caplog.text
    assert server.asked == []


def test_what_is_no_name_stays_a_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert weights_file("best.pt") == Path("best.pt")
    assert weights_file("runs/coco_r50_c4") == Path("runs/coco_r50_c4")
    assert weights_file("~/best.pt") == tmp_path / "best.pt"
    with pytest.raises(FileNotFoundError, match=r"coco_r50c4: no such file.*did you mean coco_r50"):
        weights_file("coco_r50c4")


@pytest.mark.parametrize(
    ("name", "kind", "message"),
    [
        ("coco_r50_c4", "backbone", "is a detector, and not a backbone: checkpoint= and init="),
        ("msra_r50", "detector", "is a backbone, and not a detector: weights= takes it"),
    ],
)
def test_another_kind_is_not_downloaded_at_all(
    name: str, kind: str, message: str, cache: Path
) -> None:
    with pytest.raises(ValueError, match=f"{name} {message}"):
        weights_file(name, kind=kind)  # type: ignore[arg-type]
    assert not cache.exists()


def test_another_network_than_the_name_says_is_not_kept(
    published: PublishedFile, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(PUBLISHED, NAME, replace(PUBLISHED[NAME], depth=34))
    with pytest.raises(ValueError, match=r"not torchvision's ResNet-18, .*, which torchvision_r18"):
        weights_file(NAME)
    assert not (cache / "detection" / f"{NAME}.safetensors").exists()


def test_a_cut_file_without_a_hash_or_a_length_is_not_kept(
    published: PublishedFile, cache: Path, server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.with_length, server.cut_after = False, 1_000_000
    unhashed = PublishedFile(published.address, None, None)
    monkeypatch.setitem(PUBLISHED, NAME, replace(PUBLISHED[NAME], location=unhashed))
    with pytest.raises(ValueError, match="not a readable file of weights"):
        weights_file(NAME)
    assert [path.name for path in (cache / "detection").iterdir()] == [f".{NAME}.safetensors.lock"]


def test_what_a_killed_download_left_is_in_nobodys_way(
    published: PublishedFile, cache: Path
) -> None:
    left = cache / "detection" / f".{NAME}.download"
    left.mkdir(parents=True)
    (left / "resnet18-x.pth").write_bytes(b"half")
    assert load_plain(weights_file(NAME))
    assert not left.exists()


def test_a_cache_that_cannot_be_written_to_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "file"))
    with pytest.raises(ValueError, match=r"cannot be written to .*TORCH_HOME"):
        weights_file(NAME)


@pytest.mark.slow
def test_of_two_processes_one_downloads(
    published: PublishedFile, cache: Path, server: Any, tmp_path: Path
) -> None:
    server.released.clear()
    command = [sys.executable, "-c", OTHER_PROCESS, NAME, published.address, published.digest]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    logs = [tmp_path / "log0", tmp_path / "log1"]
    processes = []
    for log in logs:
        with log.open("wb") as stderr:
            processes.append(
                subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=stderr)
            )
    try:
        deadline = time.monotonic() + 120
        while not any("waiting for another process" in log.read_text() for log in logs):
            assert time.monotonic() < deadline, [log.read_text() for log in logs]
            time.sleep(0.05)
        server.released.set()
        shown = [process.communicate(timeout=120)[0].decode().strip() for process in processes]
    finally:
        for process in processes:
            process.kill()
    kept = cache / "detection" / f"{NAME}.safetensors"
    assert shown == [str(kept)] * 2
    assert len(server.asked) == 1
    assert load_plain(kept)
