"""The suites of whole networks in small: outputs are compared, files are whole."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from detection.benchmarks.agreement import agreement
from detection.benchmarks.arithmetic import gflop
from detection.benchmarks.benchmark import main
from detection.benchmarks.measurement import Case, measure
from detection.benchmarks.networks import spread_logits
from detection.benchmarks.peers.torchvision_c4 import TorchvisionC4
from detection.benchmarks.pictures import objects, pictures
from detection.benchmarks.stages import timed_stages
from detection.benchmarks.suites import inference, train
from detection.benchmarks.suites.evaluation import made_up
from detection.benchmarks.table import as_markdown
from detection.cli.compose import compose_config
from detection.inference.post_processing import PostProcessing
from detection.model.faster_rcnn import FasterRCNN
from detection.structures import Detections

pytestmark = pytest.mark.slow

CPU = torch.device("cpu")
COLUMNS = {"name", "dtype", "median_s", "min_s", "max_s", "peak_mb", "ratio"}
MODEL = [
    "model.backbone.depth=50",
    "model.backbone.frozen_stages=[conv1,conv2,conv3,conv4]",
    "model.rpn.hidden_channels=16",
    "model.rpn.anchors.sizes=[16,32]",
    "model.rpn.test_proposals.after_nms=4",
    "model.rpn.training_proposals.after_nms=8",
    "model.roi_head.sampling.per_image=4",
    "model.roi_head.pooled_size=4",
]


def run(suite: str, folder: Path, *overrides: str) -> dict[str, Any]:
    """The report of a suite with one round."""
    common = [f"suite={suite}", "device=cpu", "repeats=1", "warmup=0", f"output_dir={folder}"]
    main(compose_config("benchmark", [*common, *overrides]))
    report = json.loads((folder / f"{suite}.json").read_text())
    assert isinstance(report, dict)
    assert report["suite"] == suite
    assert len({(row["name"], row["dtype"]) for row in report["rows"]}) == len(report["rows"])
    for row in report["rows"]:
        assert row.keys() >= COLUMNS
        assert 0 < row["min_s"] <= row["median_s"] <= row["max_s"]
    return report


def as_list(overrides: list[str]) -> str:
    return "[" + ",".join(f"'{override}'" for override in overrides) + "]"


def test_inference(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report = run(
        "inference", tmp_path, f"inference.overrides={as_list(MODEL)}", "inference.height=48",
        "inference.width=64", "inference.classes=3", "inference.folder_images=2",
    )  # fmt: skip
    peer, direct, winograd, alone, folder = report["rows"]
    assert [peer["ratio"], alone["ratio"]] == [None, None]
    assert direct["ratio"] == pytest.approx(peer["median_s"] / direct["median_s"])
    for row in (peer, direct, winograd):
        assert row["stages_s"].keys() == {"backbone", "RPN", "pooling", "conv5 head"}
        assert 0 < sum(row["stages_s"].values()) <= row["median_s"]
        assert row["gflop"] == peer["gflop"] > 0
        rate = row["gflop"] / row["median_s"]
        assert row["fraction_of_ceiling"] == pytest.approx(rate / row["ceiling_gflops"])
    assert direct["facts"]["agreement_with_torchvision_float32"] > 0.9
    assert folder["per_second"] == pytest.approx(2 / folder["median_s"])
    assert report["ceiling_gflops"] == direct["ceiling_gflops"] > 0
    assert report["fraction_of_ceiling"] > 0
    printed = capsys.readouterr().out
    assert "| x fastest peer |" in printed
    assert "| conv5 head |" in printed


def test_train(tmp_path: Path) -> None:
    overrides = [*MODEL, "data.shorter_sides=[48]", "schedule.batch_size=2"]
    report = run("train", tmp_path, f"train.overrides={as_list(overrides)}", "train.classes=3")
    assert [row["name"] for row in report["rows"]] == [
        "torchvision as C4", "this", "this, winograd",
    ]  # fmt: skip
    for row in report["rows"]:
        assert {"backward", "SGD", "backbone"} <= row["stages_s"].keys()
        assert row["stages_s"]["backward"] > 0
        assert row["per_second"] == pytest.approx(2 / row["median_s"])


def test_the_training_step_of_modern_c4_is_compared_too(tmp_path: Path) -> None:
    overrides = ["experiment=modern_c4", *MODEL, "data.shorter_sides=[48]", "schedule.batch_size=1"]
    report = run("train", tmp_path, f"train.overrides={as_list(overrides)}", "train.classes=3")
    assert len(report["rows"]) == 3


def test_data(tmp_path: Path) -> None:
    small = ["data.images=2", "data.height=40", "data.width=60", "data.shorter_side=30"]
    report = run("data", tmp_path, *small)
    *peers, ours = report["rows"]
    assert len(peers) == 2
    assert ours["ratio"] == pytest.approx(min(p["median_s"] for p in peers) / ours["median_s"])
    assert report["ceiling_gflops"] is None


def test_evaluation(tmp_path: Path) -> None:
    report = run("evaluation", tmp_path, "evaluation.images=10", "evaluation.classes=3")
    peer, ours, voc = report["rows"]
    assert (peer["name"], voc["ratio"]) == ("pycocotools", None)
    assert 0.1 < ours["facts"]["AP"] < 0.9
    assert ours["facts"]["objects"] == 70


def test_growth(tmp_path: Path) -> None:
    report = run(
        "growth", tmp_path, f"growth.overrides={as_list(MODEL)}", "growth.height=48",
        "growth.width=64", "growth.scales=[1]", "growth.regions=[3]", "growth.classes=[3]",
        "growth.images=[1,2]", "growth.objects_per_image=[1]",
    )  # fmt: skip
    found = [(row["facts"]["of"], row["facts"]["value"]) for row in report["rows"]]
    assert ("images at once", 2) in found
    assert len(found) == 6


# ---- What they are made of -------------------------------------------------------------------


@pytest.fixture
def bottleneck(
    detector: Callable[..., FasterRCNN], with_random_bn: Callable[[nn.Module], None]
) -> FasterRCNN:
    model = detector(depth=50, stride_in_1x1=True, bin_step=2, pooled_size=6).eval()
    with_random_bn(model)
    return model


RULE = PostProcessing(score_threshold=0.05, nms_iou=0.3, voting_iou=None, per_image=20)


@torch.no_grad()
@pytest.mark.parametrize("pooling", ["roi_pool", "roi_align"])
def test_the_peer_is_the_same_function_and_a_changed_weight_is_noticed(
    bottleneck: FasterRCNN, pooling: Any
) -> None:
    bottleneck.roi_head.pooling = pooling
    batch = pictures(2, 64, 96, 0)
    spread_logits(bottleneck, batch)
    peer = TorchvisionC4(bottleneck, RULE)
    inference._compare(bottleneck, peer, batch)
    bottleneck.backbone.conv5[0].conv_b.conv.weight.mul_(1.1)  # type: ignore[attr-defined]
    with pytest.raises(AssertionError, match="probabilities"):
        inference._compare(bottleneck, peer, batch)
    bottleneck.backbone.conv3[0].conv_b.conv.weight.mul_(1.1)  # type: ignore[attr-defined]
    with pytest.raises(AssertionError, match="features"):
        inference._compare(bottleneck, peer, batch)


def test_the_peer_freezes_what_the_model_freezes(bottleneck: FasterRCNN) -> None:
    peer = TorchvisionC4(bottleneck, RULE)
    frozen = {name for name, p in peer.body.named_parameters() if not p.requires_grad}
    assert frozen
    assert all(name.startswith(("0.", "4.")) for name in frozen)  # conv1, layer1
    assert all(p.requires_grad for p in peer.body[5].parameters())


def test_different_losses_are_noticed(bottleneck: FasterRCNN) -> None:
    batch = pictures(1, 64, 96, 0)
    targets = objects(batch, per_image=3, classes=3, seed=0)
    bottleneck.train()
    bottleneck.roi_head.sigma = train.SIGMA
    train._compare(bottleneck, batch, targets, RULE, exact=True)
    train._compare(bottleneck, batch, targets, RULE, exact=False)
    bottleneck.rpn.sampling = replace(bottleneck.rpn.sampling, negative_iou=0.05)
    bottleneck.roi_head.sigma = 1.0
    with pytest.raises(AssertionError, match="head_box"):
        train._compare(bottleneck, batch, targets, RULE, exact=True)


def test_only_bottleneck_networks_have_the_peer(detector: Callable[..., FasterRCNN]) -> None:
    with pytest.raises(ValueError, match="bottleneck"):
        TorchvisionC4(detector(), RULE)


def test_the_ratio_is_that_to_the_fastest_peer() -> None:
    def sleeping(name: str, seconds: float, *, peer: bool, gflop: float = 0.0) -> Case:
        return Case(name, "float32", lambda: time.sleep(seconds), peer=peer, gflop=gflop)

    rows = measure(
        [
            sleeping("slow peer", 0.06, peer=True),
            sleeping("fast peer", 0.04, peer=True),
            sleeping("ours", 0.02, peer=False, gflop=1.0),
        ],
        device=CPU,
        repeats=3,
        warmup=0,
        ceilings={"float32": 100.0},
        bandwidth=1e9,
    )
    assert [rows[0].ratio, rows[1].ratio] == [None, None]
    assert rows[2].ratio == pytest.approx(2, rel=0.3)
    # 1 GFLOP in 20 ms is 50 GFLOP/s, half of the ceiling.
    assert rows[2].fraction_of_ceiling == pytest.approx(0.5, rel=0.3)
    assert len(as_markdown(rows).splitlines()) == 5


def test_rounds_are_interleaved() -> None:
    calls: list[str] = []
    cases = [Case(name, "float32", lambda name=name: calls.append(name)) for name in "ab"]
    measure(cases, device=CPU, repeats=2, warmup=1, ceilings={}, bandwidth=1e9)
    assert ["".join(sorted(calls[i : i + 2])) for i in range(0, 8, 2)] == ["ab"] * 4


def test_stages_are_timed_and_left_as_they_were() -> None:
    layer = nn.ReLU()
    with timed_stages({"relu": [(layer, "forward")]}, CPU) as seconds:
        layer(torch.zeros(1000))
    assert seconds["relu"] > 0
    assert "forward" not in vars(layer)
    own = vars(layer)["forward"] = layer.forward  # as torch.compile leaves it
    with timed_stages({"relu": [(layer, "forward")]}, CPU):
        assert vars(layer)["forward"] is not own
    assert vars(layer)["forward"] is own


def test_gflop_by_hand() -> None:
    # 4 outputs x 4 channels x 2 inputs x 9 taps, a multiplication and an addition each: 576.
    convolution = nn.Conv2d(2, 4, 3, bias=False)
    with torch.inference_mode():
        assert gflop(lambda: convolution(torch.zeros(1, 2, 4, 4))) == pytest.approx(576e-9)


def test_agreement_counts_both_sides() -> None:
    boxes = torch.tensor([[0.0, 0, 10, 10], [50, 50, 70, 70]])
    a = Detections(boxes, torch.tensor([0.9, 0.5]), torch.tensor([1, 2]))
    assert agreement([a], [a]) == 1
    # One of two, seen from either side, and from the other none of the class.
    assert agreement([a], [Detections(boxes, a.scores, torch.tensor([1, 1]))]) == 0.5
    assert agreement([a], [a[:1]]) == pytest.approx(2 / 3)


def test_made_up_detections_are_reproducible() -> None:
    sizes = {"images": 2, "classes": 3, "objects_per_image": 2, "detections_per_image": 5}
    assert made_up(**sizes, seed=3) == made_up(**sizes, seed=3)
    assert len(made_up(**sizes, seed=3)[1]) == 10


def test_serve(tmp_path: Path) -> None:
    overrides = [*MODEL, "data.shorter_sides=[48]", "inference.post_processing.score_threshold=0"]
    report = run(
        "serve", tmp_path, f"serve.overrides={as_list(overrides)}", "serve.height=48",
        "serve.width=64", "serve.classes=3", "serve.images=3", "serve.clients=[2]",
    )  # fmt: skip
    own, served = report["rows"]
    assert (own["ratio"], served["name"]) == (None, "served, 2 clients")
    assert served["ratio"] == pytest.approx(own["median_s"] / served["median_s"])
