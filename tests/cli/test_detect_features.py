"""detect features=true: a file of vectors for each picture, those of Detector.features."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from torch import nn

from detection.cli import detect
from detection.cli.compose import compose_config
from detection.data.transforms import Resize
from detection.inference.detector import Detector
from detection.inference.multi_scale import MultiScale
from detection.inference.post_processing import PostProcessing
from detection.inference.refine import Refinement
from detection.inference.steps import Inference
from detection.model.faster_rcnn import FasterRCNN
from detection.structures import Detections


@pytest.fixture(scope="module")
def whole(detector: Callable[..., FasterRCNN]) -> Detector:
    """Three classes; it finds something wherever it looks."""
    torch.manual_seed(0)
    model = detector(tiny=True, test_proposals=10)
    nn.init.normal_(model.roi_head.logits.weight, std=2.0)
    nn.init.normal_(model.roi_head.deltas.weight, std=0.2)
    return Detector(
        models=[model],
        class_names=["a", "b", "c"],
        category_ids=[1, 3, 7],
        resize=Resize(shorter_sides=[80], longest=200),
        inference=Inference(
            multi_scale=MultiScale(
                shorter_sides=[], longest=400, region_side=48, maximum="region_features"
            ),
            flip=False,
            refinement=Refinement(passes=0, regions="best_class", minimum_score=0.0),
            post_processing=PostProcessing(
                score_threshold=0.05, nms_iou=0.5, voting_iou=None, per_image=20
            ),
        ),
        device=torch.device("cpu"),
        precision="fp32",
    )


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    noise = np.random.default_rng(0)
    for name, size in (("a.png", (96, 128)), ("a.jpg", (90, 70)), ("sub/b.png", (64, 64))):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = noise.integers(0, 256, (*size, 3), dtype=np.uint8)
        path.write_bytes(cv2.imencode(path.suffix, pixels)[1].tobytes())
    return folder


# Nothing is measured first.
ON_THE_CPU = (
    *("runtime.device=cpu", "runtime.precision=fp32", "runtime.winograd=false"),
    "runtime.regions_at_once=64",
)


def run(photos: Path, output: Path, *overrides: str) -> None:
    words = [f"images={photos}", f"output_dir={output}", "draw=false"]
    detect.main(compose_config("detect", ["checkpoint=x.pt", *words, *ON_THE_CPU, *overrides]))


@pytest.mark.slow
def test_a_file_for_each_picture_holds_what_detector_features_gives(
    whole: Detector, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(detect, "make_detector", lambda config, runtime: whole)
    run(photos, tmp_path / "out", "features=true")
    found = tmp_path / "out" / "features"
    files = sorted(p.relative_to(found).as_posix() for p in found.rglob("*") if p.is_file())
    assert files == ["a.jpg.npz", "a.png.npz", "sub/b.npz"]
    for name, stem in (("a.png", "a.png"), ("a.jpg", "a.jpg"), ("sub/b.png", "sub/b")):
        result = whole(photos / name)
        assert len(result) > 0
        with np.load(found / f"{stem}.npz") as file:
            vectors = whole.features(photos / name, result.boxes)
            assert np.array_equal(file["features"], vectors.numpy())
            assert file["features"].shape == (len(result), whole.model.backbone.region_channels)
            assert np.array_equal(file["boxes"], result.boxes.numpy())
            assert file["scores"].tolist() == result.scores.tolist()
            ids = [whole.category_ids[label - 1] for label in result.labels]
            assert file["category_ids"].tolist() == ids
            assert tuple(file["size"]) == cv2.imread(str(photos / name)).shape[:2]


def test_a_picture_without_detections_has_an_empty_file(
    whole: Detector, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(detect, "make_detector", lambda config, runtime: whole)
    nothing = Detections(torch.zeros(0, 4), torch.zeros(0), torch.zeros(0).long())
    monkeypatch.setattr(Detector, "detect_arrays", lambda self, images: [nothing] * len(images))
    run(photos / "a.png", tmp_path / "out", "features=true")
    with np.load(tmp_path / "out" / "features" / "a.npz") as file:
        assert file["features"].shape == (0, whole.model.backbone.region_channels)
        assert file["boxes"].shape == (0, 4)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("checkpoint=[a.pt,b.pt]", "each model of an ensemble has others: give one checkpoint"),
        ("tile=512", "are of the whole picture: leave out tile=, or features=true"),
    ],
)
def test_neither_of_ensembles_nor_in_tiles(
    words: str, message: str, photos: Path, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=f"^features=true: {message}$"):
        run(photos, tmp_path / "out", "features=true", words)
    assert not (tmp_path / "out").exists()
