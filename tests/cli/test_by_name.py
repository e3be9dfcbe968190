"""Names on the command line, from the published file to the detections."""

from __future__ import annotations

import hashlib
import json
import logging
import pickle
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
import torchvision
from safetensors.torch import load_file
from torch import nn

from detection.build import build
from detection.checkpoint import Checkpoint
from detection.cli.compose import compose_config
from detection.cli.main import main
from detection.cli.objects import as_plain
from detection.inference.detector import Detector
from detection.weights.by_name import weights_file
from detection.weights.detectron2 import to_detectron2
from detection.weights.published import PUBLISHED, PublishedFile


@pytest.fixture(scope="module")
def mirror(
    tmp_path_factory: pytest.TempPathFactory, with_random_bn: Callable[[nn.Module], None]
) -> Path:
    """A folder with a detector of detectron2's layout, as coco_r50_c4 is published."""
    folder = tmp_path_factory.mktemp("mirror")
    torch.manual_seed(0)
    config = compose_config("train", ["experiment=modern_c4", "data.root=x"])
    model = build(as_plain(config.model) | {"num_classes": 80})
    with_random_bn(model)
    theirs = to_detectron2(model.state_dict(), sizes=5, ratios=3)
    content = {name: value.half().numpy() for name, value in theirs.items()}
    file = folder / "model_final_x.pkl"
    file.write_bytes(pickle.dumps({"model": content, "__author__": "x"}, protocol=2))
    return folder


@pytest.fixture
def coco(mirror: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of that detector, not yet in the cache."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setenv("DETECTION_WEIGHTS", str(mirror))
    digest = hashlib.md5((mirror / "model_final_x.pkl").read_bytes()).hexdigest()[:6]
    file = PublishedFile("http://127.0.0.1:9/model_final_x.pkl", "md5", digest)
    row = replace(PUBLISHED["coco_r50_c4"], location=file)
    monkeypatch.setitem(PUBLISHED, "coco_r50_c4", row)
    return row.name


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str | Path) -> None:
    monkeypatch.setattr("sys.argv", ["detection", *map(str, arguments)])
    main()


@pytest.mark.slow
def test_a_detector_by_name_detects_and_is_exported(
    coco: str, mirror: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    detector = Detector.load("coco_r50_c4")
    assert detector.class_names[:2] == ("person", "bicycle")
    assert (len(detector.class_names), detector.category_ids[-1]) == (80, 90)
    assert (detector.resize.shorter_sides, detector.resize.longest) == ([800], 1333)
    kept = Checkpoint.load(weights_file(coco))
    theirs = pickle.loads((mirror / "model_final_x.pkl").read_bytes())["model"]
    # Its background is the last class, ours the first.
    logits = torch.from_numpy(theirs["roi_heads.box_predictor.cls_score.weight"]).float()
    assert torch.equal(kept.weights["roi_head.logits.weight"], logits.roll(1, dims=0))

    monkeypatch.delenv("DETECTION_WEIGHTS")  # it is kept
    photo = np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8)
    cv2.imwrite(str(tmp_path / "photo.png"), photo)
    small = ["shorter_side=48", "longest=64", "proposals=5", "score_threshold=0", "draw=false"]
    small += ["runtime.device=cpu", "runtime.workers=0"]
    run(monkeypatch, "detect", coco, tmp_path / "photo.png", "-o", tmp_path / "out", *small)
    found = json.loads((tmp_path / "out" / "detections.json").read_text())
    assert found
    assert {entry["class_name"] for entry in found} <= set(detector.class_names)

    run(monkeypatch, "export-weights", coco, tmp_path / "d2.pth", "to=detectron2")
    run(monkeypatch, "import", tmp_path / "d2.pth", tmp_path / "back.pt")
    back = Checkpoint.load(tmp_path / "back.pt")
    assert replace(back, weights={}) == replace(kept, weights={})
    assert all(torch.equal(back.weights[name], value) for name, value in kept.weights.items())

    run(monkeypatch, "export-weights", coco, tmp_path / "c.safetensors", "to=safetensors")
    again = Checkpoint.load(tmp_path / "c.safetensors")
    assert replace(again, weights={}) == replace(kept, weights={})

    run(monkeypatch, "export-weights", coco, tmp_path / "tv.pth", "to=torchvision")
    network = torchvision.models.resnet50()
    given = torch.load(tmp_path / "tv.pth", weights_only=True)
    missing = network.load_state_dict(given, strict=False)
    assert set(missing.missing_keys) == {"fc.weight", "fc.bias"}
    assert missing.unexpected_keys == []
    conv5 = kept.weights["backbone.conv5.2.conv_c.conv.weight"]
    assert torch.equal(network.layer4[2].conv3.weight, conv5)

    run(monkeypatch, "export-weights", coco, tmp_path / "tv.safetensors", "to=torchvision")
    assert load_file(tmp_path / "tv.safetensors").keys() == given.keys()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("m.pt", "out.pth", "to=onnx"), "must be detectron2, torchvision or safetensors"),
        (("m.pt", "out.pt", "to=safetensors"), r"its name ends in \.safetensors"),
        (("m.pt", "out.safetensors", "to=detectron2"), r"detectron2 reads \.pth files"),
        (("m.pt", "m.pt", "to=torchvision"), "is read, too, and would be"),
        (("gone.pt", "out.pth", "to=torchvision"), "gone.pt: no such checkpoint"),
        (
            ("there.pt", "there.pth", "to=torchvision"),
            "there.pth exists: replace it",
        ),
        (("coco_r50", "out.pth", "to=torchvision"), "did you mean coco_r50_c4"),
        (("m.pt", "out.pth"), "to is needed"),
    ],
)
def test_an_export_that_cannot_be_is_one_line(
    arguments: tuple[str, ...], message: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("m.pt", "there.pt", "there.pth"):
        Path(name).write_bytes(b"")
    with pytest.raises(SystemExit, match=message):
        run(monkeypatch, "export-weights", *arguments)


# ---- detection weights ---------------------------------------------------------------------------


def test_the_table_says_what_is_in_the_cache(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    kept = tmp_path / "hub" / "checkpoints" / "detection" / "msra_r50.safetensors"
    kept.parent.mkdir(parents=True)
    kept.write_bytes(b"")
    run(monkeypatch, "weights")
    lines = capsys.readouterr().out.splitlines()
    for row in PUBLISHED.values():
        (line,) = (line for line in lines if line.split()[:1] == [row.name])
        assert row.kind in line
        assert row.result in line
        assert line.endswith("(in the cache)") == (row.name == "msra_r50")
        assert any(row.licence in line and row.source in line for line in lines)
    assert any(str(kept.parent) in line for line in lines)

    run(monkeypatch, "weights", "coco_r101_c4", "msra_r50")
    shown = capsys.readouterr().out
    assert "model_final_298dad.pkl" in shown
    assert "md5 298dad..." in shown
    assert "length and contents" in shown
    assert str(kept) in shown


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["coco_r50c4"], "no published weights 'coco_r50c4' here; did you mean coco_r50_c4"),
        (["download=true"], "download=true needs the names"),
    ],
)
def test_a_wrong_question_is_one_line(
    arguments: list[str], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(SystemExit, match=message):
        run(monkeypatch, "weights", *arguments)


def test_weights_are_downloaded_ahead(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setenv("DETECTION_WEIGHTS", str(tmp_path))
    with pytest.raises(SystemExit, match=r"has no R-50\.pkl; it is published at https://dl\.fb"):
        run(monkeypatch, "weights", "msra_r50", "download=true")


# ---- weights= decides what the command line leaves open ------------------------------------------

TORCHVISION = (50, "RGB", False, 1)
MSRA = (101, "BGR", True, 2)


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        (["weights=torchvision_r50_v2"], TORCHVISION),
        (["weights=torchvision_r18_v1"], (18, "RGB", False, 1)),
        (["weights=torchvision_r50_v1", "experiment=modern_c4"], TORCHVISION),
        (["weights=msra_r50", "experiment=moco_voc"], (50, "BGR", True, 2)),
        # What is said stays: the check of the weights answers.
        (["weights=torchvision_r50_v1", "model/pixels=msra"], (50, "BGR", False, 1)),
        (
            ["weights=torchvision_r50_v1", "model.backbone.stride_in_1x1=true"],
            (50, "RGB", True, 2),
        ),
        # A file decides nothing.
        (["weights=r50.pt"], MSRA),
    ],
)
def test_the_model_follows_the_weights(
    overrides: list[str], expected: tuple[int, str, bool, int]
) -> None:
    model = compose_config("train", ["data.root=x", *overrides]).model
    backbone = model.backbone
    found = (backbone.depth, model.pixels.order, backbone.stride_in_1x1, backbone.bin_step)
    assert found == expected


def test_detectron2s_own_mean_is_kept(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        chosen = ["experiment=modern_c4", "weights=msra_r50", "data.root=x"]
        model = compose_config("train", chosen).model
    assert model.pixels.mean[0] == 103.53
    assert caplog.text == ""


def test_what_follows_is_said_in_one_line(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        compose_config("alternating", ["weights=torchvision_r50_v1", "data.root=x"])
    (record,) = caplog.records
    assert record.message == (
        "weights=torchvision_r50_v1 sets model.backbone.depth=50 model/pixels=torchvision "
        "model.backbone.stride_in_1x1=false model.backbone.bin_step=1"
    )


def test_another_backbone_follows_nothing() -> None:
    chosen = ["model/backbone=vgg16", "weights=msra_r50", "data.root=x", "model=vgg16"]
    assert "depth" not in compose_config("train", chosen).model.backbone
