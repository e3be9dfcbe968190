"""The page of a data set: boxes of every format; mini-batches that are those of training."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor

from detection.cli import show_data, shown_batches, train_net
from detection.cli.compose import compose_config, compose_unchecked
from detection.cli.run_config import as_default
from detection.model.faster_rcnn import FasterRCNN
from detection.model.targets import AnchorSampling, AnchorTargets, RegionSampling, RegionTargets
from detection.report.batch_record import ConsumedPicture, consumed
from detection.shapes.dataset import generate
from detection.structures import ImageBatch, Target

BOX = [10, 10, 34, 30]
COCO = {
    "images": [{"id": 1, "file_name": "a.png", "width": 64, "height": 48}],
    "categories": [{"id": 7, "name": "mug"}],
    "annotations": [{"id": 1, "image_id": 1, "category_id": 7, "bbox": [10, 10, 24, 20],
                     "area": 480, "iscrowd": 0}],
}  # fmt: skip
VOC = (
    "<annotation><filename>a.png</filename><size><width>64</width><height>48</height></size>"
    "<object><name>mug</name><difficult>1</difficult><bndbox><xmin>11</xmin><ymin>11</ymin>"
    "<xmax>34</xmax><ymax>30</ymax></bndbox></object></annotation>"
)
CVAT = (
    '<?xml version="1.0" encoding="utf-8"?><annotations><meta><job><labels><label><name>mug</name>'
    '</label></labels></job></meta><image id="0" name="a.png" width="64" height="48"><box '
    'label="mug" occluded="0" xtl="10" ytl="10" xbr="34" ybr="30"/></image></annotations>'
)
LABELME = {
    "version": "5.4.1", "imagePath": "a.png", "imageData": None, "imageHeight": 48,
    "imageWidth": 64, "shapes": [{"label": "mug", "points": [[10, 10], [34, 30]],
                                  "shape_type": "rectangle"}],
}  # fmt: skip
VIA = {"a.png1": {"filename": "a.png", "size": 1, "regions": [
    {"shape_attributes": {"name": "rect", "x": 10, "y": 10, "width": 24, "height": 20},
     "region_attributes": {"class": "mug"}}]}}  # fmt: skip
FORMATS: dict[str, dict[str, Any]] = {
    "COCO": {"instances.json": COCO, "a.png": None},
    "VOC": {"Annotations/a.xml": VOC, "JPEGImages/a.png": None,
            "ImageSets/Main/train.txt": "a\n"},
    "YOLO": {"data.yaml": "train: images\nnames: [mug]\n", "images/a.png": None,
             "labels/a.txt": f"0 {22 / 64} {20 / 48} {24 / 64} {20 / 48}\n"},
    "CSV": {"train.csv": "filename,xmin,ymin,xmax,ymax,class\na.png,10,10,34,30,mug\n",
            "a.png": None},
    "LabelMe": {"a.json": LABELME, "a.png": None},
    "VIA": {"via.json": VIA, "a.png": None},
    "CVAT": {"annotations.xml": CVAT, "images/a.png": None},
}  # fmt: skip
SMALL = [
    *("model/backbone=resnet_basic", "model.backbone.norm=trained"),
    *("model.backbone.frozen_stages=[]", "data.shorter_sides=[64,80]"),
    *("schedule=paper2015", "schedule.learning_rate.reference=0.00001", "schedule.batch_size=3"),
    *("model.rpn.training_proposals.after_nms=16", "model.rpn.test_proposals.after_nms=4"),
    *("model.roi_head.pooled_size=4", "model.roi_head.sampling.per_image=6"),
    *("model.rpn.sampling.cross_boundary=true", "model.rpn.anchors.sizes=[16,32]"),
    *("runtime=exact", "runtime.workers=0", "runtime.device=cpu"),
]


def write(root: Path, files: dict[str, Any]) -> Path:
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if content is None:
            assert cv2.imwrite(str(path), np.full((48, 64, 3), 128, np.uint8))
        else:
            path.write_text(content if isinstance(content, str) else json.dumps(content))
    return root


def show(root: Path, out: Path, *more: str) -> dict[str, Any]:
    """What the page's scripts draw."""
    show_data.main(compose_config("show_data", [f"data.root={root}", f"output_dir={out}", *more]))
    page = (out / "data.html").read_text()
    found = re.search(r'id="page-data">(.*?)</script>', page, re.DOTALL)
    assert found is not None
    data: dict[str, Any] = json.loads(found[1])
    return data


@pytest.mark.parametrize("name", FORMATS)
def test_the_boxes_of_every_format(tmp_path: Path, name: str) -> None:
    data = show(write(tmp_path / "data", FORMATS[name]), tmp_path / "out")
    (picture,) = data["pictures"]
    assert (picture["file_name"], picture["width"], picture["height"]) == ("a.png", 64, 48)
    (box,) = picture["objects"]
    assert (box["name"], box["size"]) == ("mug", "small")
    assert box["box"] == pytest.approx(BOX)
    difficult = ["difficult", "ignored"] if name == "VOC" else []
    assert (box["flags"], box["dashed"]) == (difficult, bool(difficult))


def test_what_is_refused_is_listed_and_the_rest_shown(tmp_path: Path) -> None:
    broken = json.loads(json.dumps(COCO))
    broken["annotations"].append(broken["annotations"][0] | {"id": 2, "bbox": [90, 5, 10, 10]})
    data = show(write(tmp_path / "d", {"instances.json": broken, "a.png": None}), tmp_path / "out")
    assert len(data["pictures"][0]["objects"]) == 1
    page = (tmp_path / "out" / "data.html").read_text()
    assert 'class="refused">1 \N{MULTIPLICATION SIGN}' in page


def test_nothing_that_can_be_read_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"instances\.json"):
        show(write(tmp_path / "d", {"instances.json": "{", "a.png": None}), tmp_path / "out")
    assert not (tmp_path / "out" / "data.html").exists()


def test_a_page_that_is_there_is_not_overwritten_unasked(tmp_path: Path) -> None:
    root = write(tmp_path / "data", FORMATS["COCO"])
    show(root, tmp_path / "out")
    with pytest.raises(ValueError, match="overwrite=true"):
        show(root, tmp_path / "out")
    show(root, tmp_path / "out", "overwrite=true")


@pytest.mark.parametrize(
    ("given", "rule"),
    [
        (["anchors=true"], "anchors=true: are those of mini-batches"),
        (["batches=1", "checkpoint=a.pt"], "is for regions=true"),
        (["batches=1", "regions=true", "checkpoint=a.pt", "init=b.pt"], "takes its place"),
    ],
)
def test_keys_that_need_others(given: list[str], rule: str) -> None:
    with pytest.raises(ValueError, match=rule):
        compose_config("show_data", ["data.root=somewhere", *given])


def test_the_page_is_opened_when_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    monkeypatch.setattr("webbrowser.open", lambda address: bool(opened.append(address)) or True)
    show(write(tmp_path / "data", FORMATS["COCO"]), tmp_path / "out", "open=true")
    assert opened == [(tmp_path / "out" / "data.html").as_uri()]


class Spies:
    """What the first step of a training consumes."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.anchors: dict[int | None, AnchorTargets] = {}
        self.regions: dict[int | None, RegionTargets] = {}
        self.pictures: dict[int | None, tuple[Tensor, Tensor]] = {}
        of_anchors, of_regions = AnchorSampling.targets, RegionSampling.targets
        forward = FasterRCNN.forward

        def anchors(sampling: Any, boxes: Any, target: Target, size: Any) -> AnchorTargets:
            self.anchors[target.seed] = of_anchors(sampling, boxes, target, size)
            return self.anchors[target.seed]

        def regions(sampling: Any, boxes: Any, target: Target, weights: Any) -> RegionTargets:
            self.regions[target.seed] = of_regions(sampling, boxes, target, weights)
            return self.regions[target.seed]

        def step(model: FasterRCNN, images: ImageBatch, targets: list[Target]) -> Any:
            for target, pixels in zip(targets, images.pixels, strict=True):
                self.pictures[target.seed] = (pixels.clone(), target.boxes.clone())
            return forward(model, images, targets)

        monkeypatch.setattr(AnchorSampling, "targets", anchors)
        monkeypatch.setattr(RegionSampling, "targets", regions)
        monkeypatch.setattr(FasterRCNN, "forward", step)


@pytest.mark.slow
@pytest.mark.parametrize("norm", ["trained", "frozen"])
def test_a_shown_mini_batch_is_what_the_first_step_consumes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, norm: str
) -> None:
    root = tmp_path / "data"
    generate(root=root, splits={"train": 5, "val": 1}, seed=3, image_side=128)
    small = [*SMALL, f"model.backbone.norm={norm}", "schedule.rules.accumulate=2"]
    small += ["weights=random"] if norm == "frozen" else []
    with monkeypatch.context() as patch:
        spies = Spies(patch)
        given = [f"data.root={root}", f"output_dir={tmp_path / 'run'}"]
        train_net.main(compose_config("train", [*given, *small, "schedule.rules.iterations=1"]))
    seen: list[ConsumedPicture] = []

    def record(*arguments: Any, **named: Any) -> list[ConsumedPicture]:
        found = consumed(*arguments, **named)
        seen.extend(found)
        return found

    monkeypatch.setattr(shown_batches, "consumed", record)
    asked = ("batches=1", "anchors=true", "regions=true")
    data = show(root, tmp_path / "out", *small, *asked)

    assert len(seen) == 3
    assert {one.target.seed for one in seen} == spies.pictures.keys()
    for one, shown in zip(seen, data["batches"], strict=True):
        pixels, boxes = spies.pictures[one.target.seed]
        height, width = one.size
        assert torch.equal(one.pixels[:height, :width], pixels[:height, :width])
        assert torch.equal(one.target.boxes, boxes)
        assert one.anchors is not None
        assert one.regions is not None
        anchors, regions = spies.anchors[one.target.seed], spies.regions[one.target.seed]
        assert torch.equal(one.anchors.learnt.sampled.index, anchors.sampled.index)
        assert torch.equal(one.anchors.learnt.deltas, anchors.deltas)
        assert torch.equal(one.regions.boxes, regions.boxes)
        assert torch.equal(one.regions.labels, regions.labels)
        # And what the page draws is that.
        positive = anchors.sampled.index[anchors.sampled.positive & anchors.sampled.valid]
        drawn = torch.tensor([box["box"] for box in shown["anchors"]]).reshape(-1, 4)
        assert torch.allclose(drawn, one.anchors.anchors[positive], atol=0.051)
        drawn = torch.tensor([box["box"] for box in shown["regions"]])
        assert torch.allclose(drawn, regions.boxes[regions.sampled.valid], atol=0.051)
        padded = one.pixels.shape[:2] != one.size
        assert padded == any("padded" in fact for fact in shown["facts"])
    assert norm == "frozen" or any(one.pixels.shape[:2] != one.size for one in seen)

    # The file that the run has kept leads to them again.
    with as_default(tmp_path / "run" / "config.yaml", "show_data") as keys:
        more = [f"output_dir={tmp_path / 'again'}", "batches=1", "anchors=true"]
        config = compose_unchecked("show_data", more, given=keys)
    again = shown_batches.shown_batches(config)
    for picture, shown in zip(again.pictures, data["batches"], strict=True):
        assert (picture.jpeg, len(picture.anchors)) == (shown["jpeg"], len(shown["anchors"]))
        assert [[*one.box] for one in picture.anchors] == [one["box"] for one in shown["anchors"]]


@pytest.mark.slow
def test_the_regions_of_a_checkpoint(example_files: Path, tmp_path: Path) -> None:
    """Its own network and weights, in place of those that training would start from."""
    asked = ["batches=1", "regions=true", f"checkpoint={example_files / 'best.pt'}"]
    small = ["schedule=paper2015", "schedule.batch_size=2", "data.shorter_sides=[160]"]
    small += ["runtime=exact", "runtime.workers=0", "runtime.device=cpu"]
    # Another random start, which the checkpoint replaces.
    first, second = (
        show(example_files / "data", tmp_path / str(std), *asked, *small,
             f"model.roi_head.class_init_std={std}")
        for std in (0.01, 0.5)
    )  # fmt: skip
    regions = [picture["regions"] for picture in first["batches"]]
    assert regions == [picture["regions"] for picture in second["batches"]]
    assert [len(boxes) for boxes in regions] == [8, 8]  # as its own configuration says
    page = (tmp_path / "0.5" / "data.html").read_text()
    assert "sampled from the proposals of" in page
