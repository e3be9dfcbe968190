"""Checkpoints: complete, safe to open, and never half written."""

from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import IO, Any

import pytest
import torch

from detection.build import build
from detection.checkpoint import Checkpoint
from detection.load_weights import load_weights
from detection.model.frozen_bn import ConvBN

CONV: dict[str, Any] = {
    "_target_": "detection.model.frozen_bn.ConvBN",
    "in_channels": 3,
    "out_channels": 4,
    "kernel_size": 1,
    "norm": "frozen",
}
RESIZE = {
    "_target_": "detection.data.transforms.Resize",
    "shorter_sides": [600],
    "longest": 1000,
}


def make(**changes: Any) -> Checkpoint:
    entries: dict[str, Any] = {
        "weights": ConvBN(3, 4, 1, norm="frozen").state_dict(),
        "model_config": CONV,
        "resize": RESIZE,
        "inference": {},
        "class_names": ["dog", "cat"],
        "category_ids": [18, 17],
    }
    return Checkpoint(**(entries | changes))


def test_a_saved_checkpoint_comes_back_entry_by_entry(tmp_path: Path) -> None:
    training = {"iteration": 7, "optimizer": {"state": {0: {"momentum": torch.ones(2)}}}}
    saved = make(training=training)
    saved.save(tmp_path / "new" / "model.pt")  # the folder is made
    loaded = Checkpoint.load(tmp_path / "new" / "model.pt")
    assert loaded.class_names == ["dog", "cat"]
    assert loaded.category_ids == [18, 17]
    assert loaded.model_config == CONV
    assert loaded.resize == RESIZE
    assert loaded.version == saved.version
    assert loaded.training["iteration"] == 7
    assert torch.equal(loaded.training["optimizer"]["state"][0]["momentum"], torch.ones(2))
    assert loaded.weights.keys() == saved.weights.keys()
    for name, value in saved.weights.items():
        assert torch.equal(loaded.weights[name], value)


def test_saving_leaves_nothing_beside_the_checkpoint(tmp_path: Path) -> None:
    make().save(tmp_path / "model.pt")
    assert [path.name for path in tmp_path.iterdir()] == ["model.pt"]


def test_the_model_is_built_with_its_weights_in_evaluation_mode(tmp_path: Path) -> None:
    conv = ConvBN(3, 4, 1, norm="frozen")
    make(weights=conv.state_dict()).save(tmp_path / "model.pt")
    model = Checkpoint.load(tmp_path / "model.pt").build_model()
    assert not model.training
    x = torch.rand(1, 3, 5, 5)
    assert torch.equal(model(x), conv(x))


def test_weights_of_another_architecture_are_refused_by_name_and_shape() -> None:
    checkpoint = make(model_config=CONV | {"out_channels": 5})
    with pytest.raises(ValueError, match="another architecture") as error:
        checkpoint.build_model()
    # conv.weight and the four entries of the BN have another number of channels: 5 of 5.
    assert "conv.weight is [4, 3, 1, 1], the model needs [5, 3, 1, 1]" in str(error.value)
    assert "5 of 5 tensors" in str(error.value)


def test_missing_and_unknown_tensors_are_named() -> None:
    weights = dict(ConvBN(3, 4, 1, norm="frozen").state_dict())
    weights["extra"] = weights.pop("bn.bias")
    with pytest.raises(ValueError, match="the file") as error:
        load_weights(ConvBN(3, 4, 1, norm="frozen"), weights, source="the file")
    assert "bn.bias is missing" in str(error.value)
    assert "extra is unknown to the model" in str(error.value)


def test_refused_weights_leave_the_model_as_it_was() -> None:
    model = ConvBN(3, 4, 1, norm="frozen")
    before = {name: value.clone() for name, value in model.state_dict().items()}
    other = ConvBN(3, 4, 1, norm="frozen").state_dict()
    del other["bn.bias"]
    with pytest.raises(ValueError, match=r"bn\.bias"):
        load_weights(model, other, source="the file")
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


class _MakesFolder:
    """Unpickling this makes a folder."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.marker),)


@pytest.mark.parametrize("writer", ["torch", "pickle"])
def test_code_inside_a_checkpoint_is_refused_and_not_run(tmp_path: Path, writer: str) -> None:
    marker, path = tmp_path / "was_run", tmp_path / "model.pt"
    content = dict(vars(make())) | {"training": {"payload": _MakesFolder(marker)}}
    if writer == "torch":
        torch.save(content, path)
    else:
        path.write_bytes(pickle.dumps(content, protocol=2))
    with pytest.raises(ValueError, match=r"model\.pt: .*may run code"):
        Checkpoint.load(path)
    assert not marker.exists()


@pytest.mark.parametrize(
    "content",
    [b"", b"hello", b"\x80\x02.", b"PK\x03\x04zzzz", b'{"a": 1}', bytes(range(256))],
    ids=["empty", "text", "short pickle", "broken zip", "json", "bytes"],
)
def test_a_file_that_is_no_checkpoint_is_refused_by_name(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "model.pt"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"model\.pt: not a readable"):
        Checkpoint.load(path)


def test_a_truncated_checkpoint_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    make().save(path)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ValueError, match=r"model\.pt: not a readable"):
        Checkpoint.load(path)


def test_a_missing_checkpoint_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"model\.pt"):
        Checkpoint.load(tmp_path / "model.pt")


def test_weights_of_another_package_are_sent_to_the_right_option(tmp_path: Path) -> None:
    torch.save({"conv1.weight": torch.ones(1)}, tmp_path / "resnet50.pth")
    with pytest.raises(ValueError, match=r"resnet50\.pth: .*weights="):
        Checkpoint.load(tmp_path / "resnet50.pth")


def test_an_interrupted_save_leaves_the_old_checkpoint_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "model.pt"
    make(class_names=["old", "names"]).save(path)

    def half_written(content: Any, file: IO[bytes]) -> None:
        file.write(b"PK\x03\x04 half")
        raise KeyboardInterrupt

    monkeypatch.setattr(torch, "save", half_written)
    with pytest.raises(KeyboardInterrupt):
        make(class_names=["new", "names"]).save(path)
    monkeypatch.undo()
    assert Checkpoint.load(path).class_names == ["old", "names"]


def test_a_file_from_before_the_steps_of_inference_is_read_as_it_was_meant(
    tmp_path: Path,
) -> None:
    path = tmp_path / "model.pt"
    post_processing = {
        "_target_": "detection.inference.detector.PostProcessing",
        "score_threshold": 0.07,
        "nms_iou": 0.4,
        "per_image": 50,
    }
    old = dict(vars(make())) | {
        "post_processing": post_processing,
        "model_config": {"_target_": "detection.model.roi_head.RoIHead", "_partial_": True},
    }
    del old["inference"]
    torch.save(old, path)
    loaded = Checkpoint.load(path)
    # What RoIHead could not be told then is what it did.
    assert build(loaded.model_config).keywords == {"pooling": "roi_pool"}
    inference = build(loaded.inference)
    assert inference.post_processing.score_threshold == 0.07
    assert (inference.post_processing.nms_iou, inference.post_processing.per_image) == (0.4, 50)
    assert inference.post_processing.voting_iou is None
    assert inference.refinement.passes == 0
    assert (list(inference.multi_scale.shorter_sides), inference.flip) == ([], False)


def test_what_a_file_says_is_not_what_earlier_files_meant() -> None:
    config = {
        "_target_": "detection.model.roi_head.RoIHead",
        "_partial_": True,
        "pooling": "roi_align",
    }
    assert build(config).keywords == {"pooling": "roi_align"}


def test_a_checkpoint_from_before_an_argument_does_what_it_did_then() -> None:
    earlier = {
        "_target_": "detection.model.roi_head.RegionSampling",
        "per_image": 128,
        "foreground_fraction": 0.25,
        "foreground_iou": 0.5,
        "background_iou": [0.0, 0.5],
        "ignore_coverage": 0.7,
    }
    assert build(earlier).divide_by == "image"
    assert build(earlier | {"divide_by": "batch"}).divide_by == "batch"
