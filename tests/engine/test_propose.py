"""The RPN over a data set, and Fast R-CNN on a file of its proposals."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from detection import boxes as box_ops
from detection.data.dataset import DetectionDataset
from detection.data.formats.open import open_dataset
from detection.data.proposals_file import ProposalsFile, ProposalsWriter
from detection.data.transforms import Resize
from detection.engine import propose
from detection.engine.distributed import Processes
from detection.engine.evaluate import detect_dataset
from detection.evaluation.proposal_recall import ImageProposals
from detection.inference.detector import Detector, Inference
from detection.inference.multi_scale import MultiScale
from detection.inference.post_processing import PostProcessing
from detection.inference.refine import Refinement
from detection.model.faster_rcnn import FasterRCNN
from detection.shapes.dataset import generate

pytestmark = pytest.mark.slow

HOW: dict[str, Any] = {"batch_size": 2, "workers": 0}


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> DetectionDataset:
    root = generate(
        root=tmp_path_factory.mktemp("data") / "shapes",
        splits={"train": 5},
        seed=1,
        image_side=128,
    )
    return open_dataset(root=root, split="train", classes=None, invalid_boxes="error")


@pytest.fixture
def trained(detector: Callable[..., FasterRCNN], dataset: DetectionDataset) -> Detector:
    model = detector(num_classes=len(dataset.class_names), pooled_size=4, test_proposals=20)
    return Detector(
        models=[model],
        class_names=dataset.class_names,
        category_ids=dataset.category_ids,
        resize=Resize(shorter_sides=[64], longest=200),
        inference=Inference(
            multi_scale=MultiScale(
                shorter_sides=[], longest=200, region_side=48, maximum="region_features"
            ),
            flip=False,
            refinement=Refinement(passes=0, regions="best_class", minimum_score=0.0),
            post_processing=PostProcessing(
                score_threshold=0.0, nms_iou=0.5, voting_iou=None, per_image=10
            ),
        ),
        device=torch.device("cpu"),
        precision="fp32",
    )


@pytest.fixture
def written(trained: Detector, dataset: DetectionDataset, tmp_path: Path) -> Path:
    path = tmp_path / "proposals.safetensors"
    propose.write_proposals(path, trained, dataset, processes=Processes(0, 1, 0), **HOW)
    return path


def test_the_file_holds_what_joint_training_would_propose(
    trained: Detector, dataset: DetectionDataset, written: Path
) -> None:
    file = ProposalsFile(written, dataset)
    counts = [len(file.read(example).boxes) for example in dataset.examples]
    assert max(counts) > trained.model.rpn.test_proposals.after_nms  # 50 in training, 20 in tests
    for example in dataset.examples:
        height, width = example.size
        boxes = file.read(example).boxes
        assert (boxes >= 0).all()
        assert (boxes <= torch.tensor([width, height, width, height]) + 1e-3).all()


@pytest.mark.parametrize("side", [47, 85, 91, 93])
def test_no_proposal_leaves_its_image_by_rounding(
    trained: Detector, dataset: DetectionDataset, side: int
) -> None:
    trained.resize = Resize(shorter_sides=[side], longest=200)
    rounded_outwards = 0
    selection = trained.model.rpn.test_proposals
    for example, proposals in propose.propose_dataset(trained, dataset, selection=selection, **HOW):
        height, width = example.size
        limit = torch.tensor([width, height, width, height])
        assert (proposals.boxes >= 0).all()
        assert (proposals.boxes <= limit).all()
        resized = trained.resize.size(example.size, side)
        whole = torch.tensor([0.0, 0, resized[1], resized[0]])
        rounded_outwards += bool((box_ops.rescale(whole, resized, example.size) > limit).any())
    # In float32 47 * (99 / 47) is 99.00001: without clipping, a proposal that ends at the edge of
    # the resized image would leave this one.
    assert rounded_outwards


@pytest.mark.parametrize("batch_size", [1, 5])
def test_what_a_detector_classifies_is_what_its_rpn_proposes(
    trained: Detector, dataset: DetectionDataset, batch_size: int
) -> None:
    taken: dict[int, ImageProposals] = {}
    found = detect_dataset(trained, dataset, batch_size=batch_size, workers=0, taken=taken)
    assert found == detect_dataset(trained, dataset, batch_size=batch_size, workers=0)
    selection = trained.model.rpn.test_proposals
    proposed = propose.propose_dataset(trained, dataset, selection=selection, **HOW)
    for example, proposals in proposed:
        own = taken.pop(example.image_id)
        assert own.boxes == pytest.approx(box_ops.to_coco(proposals.boxes.numpy()), abs=1e-3)
        assert own.scores == pytest.approx(proposals.logits.numpy(), abs=1e-5)
    assert not taken
    # Of an ensemble there is no one RPN, and given proposals are another's.
    trained.models = [*trained.models, *trained.models]
    detect_dataset(trained, dataset, **HOW, taken=taken)
    assert taken == {}


def test_fast_rcnn_on_the_file_detects_what_the_whole_detector_does(
    trained: Detector, dataset: DetectionDataset, written: Path
) -> None:
    refinement = replace(trained.inference.refinement, passes=1)
    trained.inference = replace(trained.inference, refinement=refinement)
    # Of as many candidates the file's best are the detector's own proposals.
    rpn = trained.model.rpn
    rpn.test_proposals = rpn.training_proposals
    file = ProposalsFile(written, dataset)
    key = functools.partial(sorted, key=lambda r: (r["image_id"], -r["score"], r["bbox"]))
    own = key(detect_dataset(trained, dataset, **HOW))
    given = key(detect_dataset(trained, dataset, proposals=file, **HOW))
    assert [r["image_id"] for r in own] == [r["image_id"] for r in given]
    for one, other in zip(own, given, strict=True):
        # The file is exact to a hundredth of a pixel, which the network passes on.
        assert other["score"] == pytest.approx(one["score"], abs=2e-3)


def test_the_processes_shares_are_joined(
    trained: Detector,
    dataset: DetectionDataset,
    written: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Processes, "wait", lambda processes: None)
    path = tmp_path / "shared" / "proposals.safetensors"
    for rank in (1, 0):  # the first one joins, when all are done
        propose.write_proposals(path, trained, dataset, processes=Processes(rank, 2, rank), **HOW)
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]
    whole, joined = ProposalsFile(written, dataset), ProposalsFile(path, dataset)
    for example in dataset.examples:
        torch.testing.assert_close(
            joined.read(example).boxes, whole.read(example).boxes, atol=0.05, rtol=0
        )


def test_an_interrupted_call_goes_on_with_the_parts_that_are_there(
    trained: Detector,
    dataset: DetectionDataset,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(propose, "IMAGES_PER_SHARD", 2)  # three shards of the five images
    whole = tmp_path / "whole.safetensors"
    propose.write_proposals(whole, trained, dataset, processes=Processes(0, 1, 0), **HOW)
    path = tmp_path / "parts" / "proposals.safetensors"
    save, saved = ProposalsWriter.save, []

    def dies_at_the_second(writer: ProposalsWriter, to: Path) -> None:
        saved.append(to.name)
        if len(saved) == 2:
            raise KeyboardInterrupt
        save(writer, to)

    monkeypatch.setattr(ProposalsWriter, "save", dies_at_the_second)
    call = functools.partial(propose.write_proposals, path, processes=Processes(0, 1, 0), **HOW)
    with pytest.raises(KeyboardInterrupt):
        call(trained, dataset)
    assert not path.exists()
    call(trained, dataset)
    first, second, *later = saved
    assert later[0] == second  # and not the first one again
    assert later[1:] == [second.replace("2of3", "3of3"), path.name]
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]
    assert path.read_bytes() == whole.read_bytes()
    # Another detector's parts have other names.
    with torch.no_grad():
        trained.model.rpn.objectness.bias.add_(1)
    call(trained, dataset)
    assert first not in saved[5:]


def test_parts_that_nobody_goes_on_with_are_removed(
    trained: Detector, dataset: DetectionDataset, tmp_path: Path
) -> None:
    others = ("proposals.0123456789ab.1of3.safetensors", "other.0123456789ab.1of3.safetensors")
    for name in others:
        (tmp_path / name).touch()
    path = tmp_path / "proposals.safetensors"
    propose.write_proposals(path, trained, dataset, processes=Processes(0, 1, 0), **HOW)
    assert {entry.name for entry in tmp_path.iterdir()} == {path.name, others[1]}


def test_recall_of_the_rpn_and_of_its_file(
    trained: Detector, dataset: DetectionDataset, written: Path
) -> None:
    recall = propose.measure_proposals(trained, dataset, **HOW)
    assert 0 <= recall["AR100"] <= recall["AR1000"] <= 1  # type: ignore[operator]
    # The file's 50 are the first of the 1,000 that are measured.
    in_file = propose.measure_file(ProposalsFile(written, dataset), dataset)
    assert 0 < in_file["AR1000"] <= recall["AR1000"]  # type: ignore[operator]
