"""A backbone of an external package: installed, trained, saved, loaded and asked to detect."""

from __future__ import annotations

import importlib
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from detection.cli import detect, test_net, train_net
from detection.cli.compose import compose_config
from detection.inference.detector import Detector
from detection.shapes.dataset import generate

pytestmark = pytest.mark.slow

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "torchvision_backbone"
RUNTIME = ["runtime=exact", "runtime.workers=0", "runtime.device=cpu"]
NAME = "torchvision_backbone"


@pytest.fixture(scope="module", autouse=True)
def _runtime_as_before() -> Iterator[None]:
    yield
    torch.use_deterministic_algorithms(False)


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder that pip has installed the example into."""
    # A copy: building leaves files beside the sources.
    source = shutil.copytree(EXAMPLE, tmp_path_factory.mktemp("source") / NAME)
    target = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps",
               "--no-build-isolation", "--target", str(target), str(source)]  # fmt: skip
    subprocess.run(command, check=True, capture_output=True)
    _forget()
    sys.path.insert(0, str(target))
    importlib.invalidate_caches()
    yield target
    sys.path.remove(str(target))
    _forget()


def _forget() -> None:
    """Whatever has imported the package before, perhaps from elsewhere."""
    for name in [name for name in sys.modules if name.startswith(NAME)]:
        del sys.modules[name]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("shapes") / "data"
    return generate(root=root, splits={"train": 4, "val": 2}, seed=3, image_side=128)


@pytest.fixture(scope="module")
def trained(installed: Path, data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "regnet"
    overrides = [
        *RUNTIME,
        "experiment=demo",
        f"data.root={data}",
        f"output_dir={folder}",
        "data.shorter_sides=[64]",
        "model/pixels=torchvision",
        f"model.backbone._target_={NAME}.regnet.RegNetC4",
        "model.backbone.name=regnet_y_400mf",
        "model.roi_head.sampling.per_image=4",
        "model.roi_head.sampling.foreground_fraction=0.5",
        "schedule.rules.iterations=2",
    ]
    train_net.main(compose_config("train", overrides))
    return folder


def test_it_is_installed_and_not_imported_from_the_repository(installed: Path) -> None:
    module = importlib.import_module(f"{NAME}.regnet")
    assert Path(str(module.__file__)).is_relative_to(installed)


def test_it_detects_once_it_is_trusted(trained: Path, data: Path, tmp_path: Path) -> None:
    arguments = [*RUNTIME, f"checkpoint={trained}/best.pt", f"images={data}/val", "draw=false",
                 f"output_dir={tmp_path}", "score_threshold=0.0"]  # fmt: skip
    with pytest.raises(ValueError, match=rf"add trust=\[{NAME}\], or set") as refused:
        detect.main(compose_config("detect", arguments))
    assert "\n" not in str(refused.value)
    detect.main(compose_config("detect", [*arguments, f"trust=[{NAME}]"]))
    assert json.loads((tmp_path / "detections.json").read_text())


def test_it_is_measured_and_loaded_from_python(
    trained: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DETECTION_TRUST", NAME)
    arguments = [*RUNTIME, f"checkpoint={trained}/best.pt", f"data.root={data}"]
    test_net.main(compose_config("test", [*arguments, f"output_dir={tmp_path}"]))
    measured = json.loads((tmp_path / "metrics.json").read_text())["coco"]["AP"]
    assert measured == json.loads((trained / "metrics.json").read_text())["coco"]["AP"]
    monkeypatch.delenv("DETECTION_TRUST")
    assert Detector.load(trained / "best.pt", trust=[NAME]).model.backbone.stride == 16
    with pytest.raises(ValueError, match="trust"):
        Detector.load(trained / "best.pt")


def test_a_name_that_is_none_of_its_own_is_said(installed: Path, data: Path) -> None:
    overrides = [f"data.root={data}", "output_dir=unused", *RUNTIME,
                 f"model.backbone._target_={NAME}.regnet.RegNetC4"]  # fmt: skip
    with pytest.raises(ValueError, match=r"name must be one of regnet_y_400mf, .* got 'resnet'"):
        train_net.main(compose_config("train", [*overrides, "model.backbone.name=resnet"]))
    with pytest.raises(ValueError, match=r"does not take what the configuration gives it .*'name'"):
        train_net.main(compose_config("train", overrides))
