"""A detector out of its checkpoint, or out of several, and what does not fit together."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from detection.checkpoint import Checkpoint
from detection.inference.detector import Detector
from detection.model.faster_rcnn import FasterRCNN

MODEL: dict[str, Any] = {
    "_target_": "detection.model.faster_rcnn.FasterRCNN",
    "num_classes": 2,
    "context": False,
    "pixels": {
        "_target_": "detection.model.pixels.PixelFormat",
        "order": "BGR",
        "mean": [0.0] * 3,
        "std": [1.0] * 3,
    },
    "backbone": {
        "_target_": "detection.model.vgg.VGG16",
        "frozen_stages": [],
        "dropout": 0.0,
        "pooled_size": 1,
    },
}


@pytest.fixture
def save(monkeypatch: pytest.MonkeyPatch, tiny: Callable[..., FasterRCNN], tmp_path: Path) -> Any:
    """Checkpoints whose model is a tiny one, whatever they say of it."""
    monkeypatch.setattr(Checkpoint, "build_model", lambda _, trust: tiny())

    def write(name: str, **changes: Any) -> Path:
        base = Checkpoint(
            weights={},
            model_config=MODEL,
            resize={
                "_target_": "detection.data.transforms.Resize",
                "shorter_sides": [96],
                "longest": 200,
            },
            inference=SETTINGS["inference"],
            class_names=["a", "b", "c"],
            category_ids=[1, 2, 3],
        )
        replace(base, **changes).save(tmp_path / name)
        return tmp_path / name

    return write


SETTINGS: dict[str, Any] = {
    "inference": {
        "_target_": "detection.inference.detector.Inference",
        "multi_scale": {
            "_target_": "detection.inference.multi_scale.MultiScale",
            "shorter_sides": [],
            "longest": 1000,
            "region_side": 224,
            "maximum": "pooled",
        },
        "flip": False,
        "refinement": {
            "_target_": "detection.inference.refine.Refinement",
            "passes": 2,
            "regions": "best_class",
        },
        "post_processing": {
            "_target_": "detection.inference.post_processing.PostProcessing",
            "score_threshold": 0.05,
            "nms_iou": 0.3,
            "voting_iou": 0.5,
            "per_image": 100,
        },
    }
}


def test_several_checkpoints_are_one_detector(save: Any) -> None:
    detector = Detector.load([save("a.pt"), save("b.pt")], regions_at_once=7)
    assert [model.regions_at_once for model in detector.models] == [7, 7]
    assert detector.class_names == ("a", "b", "c")
    assert detector.inference.refinement.passes == 2  # as the checkpoint says
    assert len(Detector.load(save("c.pt")).models) == 1


@pytest.mark.parametrize("names", [["a", "b"], ["a", "c", "b"]])
def test_other_classes_are_refused_and_both_are_named(save: Any, names: list[str]) -> None:
    paths = [save("a.pt"), save("b.pt", class_names=names)]
    with pytest.raises(ValueError, match=rf"b\.pt knows the classes {', '.join(names)}; .*a\.pt"):
        Detector.load(paths)


def test_other_image_sizes_are_refused_unless_one_is_chosen(save: Any) -> None:
    other = {
        "_target_": "detection.data.transforms.Resize",
        "shorter_sides": [128],
        "longest": 200,
    }
    paths = [save("a.pt"), save("b.pt", resize=other)]
    with pytest.raises(ValueError, match=r"128, longest 200 and shorter side 96.*shorter_side="):
        Detector.load(paths)
    chosen = Detector.load(paths[0]).resize
    assert len(Detector.load(paths, resize=chosen).models) == 2


def test_other_steps_of_inference_are_refused_unless_they_are_chosen(save: Any) -> None:
    other = copy.deepcopy(SETTINGS["inference"])
    other["refinement"]["passes"] = 0
    paths = [save("a.pt"), save("b.pt", inference=other)]
    with pytest.raises(
        ValueError, match=r"b\.pt was validated with other steps .*a\.pt.*inference="
    ):
        Detector.load(paths)
    older = copy.deepcopy(SETTINGS["inference"])
    older["refinement"]["minimum_score"] = 0.0  # which the others leave unsaid
    assert len(Detector.load([paths[0], save("c.pt", inference=older)]).models) == 2
    chosen = Detector.load(paths[0]).inference
    assert len(Detector.load(paths, inference=chosen).models) == 2


@pytest.mark.parametrize(
    ("trained", "missing"), [("fast_rcnn", "its RPN has"), ("rpn", "its Fast R-CNN has")]
)
def test_one_network_is_not_taken_for_a_whole_detector(
    save: Any, trained: str, missing: str
) -> None:
    path = save("one.pt", training={"trained": [trained]})
    with pytest.raises(ValueError, match=rf"one\.pt: .*{missing} not been trained"):
        Detector.load(path)
    assert len(Detector.load(path, networks=[trained]).models) == 1


def test_pictures_in_the_place_of_a_checkpoint_are_named(tmp_path: Path) -> None:
    for suffix, kind in ((".jpg", "JPEG"), (".png", "PNG"), (".webp", "WebP")):
        photo = tmp_path / f"photo{suffix}"
        cv2.imwrite(str(photo), np.zeros((8, 8, 3), np.uint8))
        with pytest.raises(ValueError, match=f"photo{suffix}: a {kind} picture, and no detector"):
            Detector.load(photo)
    with pytest.raises(FileNotFoundError, match=r" is a folder: a checkpoint is a file$"):
        Detector.load(tmp_path)


def test_no_checkpoint_at_all_is_refused() -> None:
    with pytest.raises(ValueError, match="no checkpoint given"):
        Detector.load([])
