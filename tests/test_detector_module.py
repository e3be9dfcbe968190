"""The detector under training loops that are written for torchvision's detectors."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.data import DataLoader
from torchvision import tv_tensors

from detection import Detector, DetectorModule
from detection.data.transforms import Resize
from detection.shapes.outlines import CLASS_NAMES
from detection.shapes.scenes import Recipe, draw_scene
from detection.structures import Detections

SMALL = {
    "model/backbone": "resnet_basic",
    "model.backbone.norm": "trained",
    "model.backbone.frozen_stages": [],
    "model.rpn.hidden_channels": 32,
    "model.rpn.anchors.sizes": [16, 32, 64],
    "model.rpn.sampling.cross_boundary": True,
    "model.rpn.training_proposals.after_nms": 32,
    "model.rpn.test_proposals.after_nms": 8,
    "model.roi_head.pooled_size": 4,
    "model.roi_head.sampling.per_image": 16,
    "data.shorter_sides": [64],
    "inference.post_processing.per_image": 10,
    "inference.post_processing.score_threshold": 0.0,
}
Sample = tuple[Tensor, dict[str, Any]]
IMAGE = torch.rand(3, 32, 40, generator=torch.Generator().manual_seed(0))
TARGET = {"boxes": torch.tensor([[4.0, 4, 25, 20]]), "labels": torch.tensor([1])}
XYWH = tv_tensors.BoundingBoxes(TARGET["boxes"], format="XYWH", canvas_size=(32, 40))


@pytest.fixture(scope="module")
def new() -> DetectorModule:
    torch.manual_seed(0)
    return DetectorModule.new(CLASS_NAMES, **SMALL)


@pytest.fixture
def module(new: DetectorModule) -> DetectorModule:
    return copy.deepcopy(new).train()


def samples(count: int) -> list[Sample]:
    """Scenes of ``shapes`` as torchvision's data sets give them, of two sizes."""
    made = []
    for index in range(count):
        recipe = Recipe(
            seed=1,
            image_side=128 + 16 * (index % 2),
            max_objects=2,
            empty_fraction=0.0,
            typical_colours=1.0,
        )
        scene = draw_scene(recipe=recipe, split="train", index=index)
        boxes = [found.box for found in scene.objects]
        labels = [CLASS_NAMES.index(found.name) + 1 for found in scene.objects]
        target = {
            "boxes": torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4),
            "labels": torch.tensor(labels, dtype=torch.int64),
            "image_id": index,
            "area": torch.zeros(len(labels)),
            "iscrowd": torch.zeros(len(labels), dtype=torch.int64),
        }
        rgb = np.ascontiguousarray(scene.image[:, :, ::-1])
        made.append((torch.from_numpy(rgb).permute(2, 0, 1) / 255, target))
    return made


def train_one_epoch(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    data_loader: Iterable[Any],
    device: torch.device,
    epoch: int,
) -> list[float]:
    """The loop of vision/references/detection/engine.py, without its log."""
    model.train()
    lr_scheduler = None
    if epoch == 0:
        warmup_factor = 1.0 / 1000
        warmup_iters = min(1000, len(data_loader) - 1)  # type: ignore[arg-type]
        lr_scheduler = torch.optim.lr_scheduler.LinearLR(
            optimizer, start_factor=warmup_factor, total_iters=warmup_iters
        )
    seen = []
    for images, targets in data_loader:
        images = [image.to(device) for image in images]
        targets = [
            {k: v.to(device) if isinstance(v, torch.Tensor) else v for k, v in t.items()}
            for t in targets
        ]
        with torch.amp.autocast("cuda", enabled=False):
            loss_dict = model(images, targets)
            losses = sum(loss for loss in loss_dict.values())
        loss_value = losses.item()
        assert math.isfinite(loss_value)
        optimizer.zero_grad()
        losses.backward()
        optimizer.step()
        if lr_scheduler is not None:
            lr_scheduler.step()
        seen.append(loss_value)
    return seen


@pytest.mark.slow
def test_torchvisions_own_loop_trains_it(module: DetectorModule, device: torch.device) -> None:
    model = module.to(device)
    loader = DataLoader(
        samples(4) * 5,  # type: ignore[arg-type]
        batch_size=2,
        collate_fn=lambda batch: tuple(zip(*batch, strict=True)),
    )
    params = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.SGD(params, lr=0.005, momentum=0.9, weight_decay=0.0005)
    losses = [
        loss
        for epoch in range(2)
        for loss in train_one_epoch(model, optimizer, loader, device, epoch)
    ]
    assert len(losses) == 20
    assert sum(losses[-4:]) < 0.8 * sum(losses[:4])
    model.eval()
    with torch.no_grad():
        (found,) = model([samples(1)[0][0].to(device)])
    assert {name: tensor.device.type for name, tensor in found.items()} == dict.fromkeys(
        ("boxes", "labels", "scores"), device.type
    )
    assert len(found["boxes"]) == len(found["labels"]) == len(found["scores"]) > 0
    assert int(found["labels"].min()) >= 1


def test_losses_have_torchvisions_names_and_gradients(module: DetectorModule) -> None:
    losses = module([IMAGE, IMAGE[:, :25]], [TARGET, TARGET])
    assert sorted(losses) == [
        "loss_box_reg",
        "loss_classifier",
        "loss_objectness",
        "loss_rpn_box_reg",
    ]
    sum(losses.values()).backward()
    assert all(p.grad is not None for p in module.parameters() if p.requires_grad)


def test_images_and_boxes_are_resized_as_for_the_commands(
    module: DetectorModule, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Any] = []
    losses = type(module.model).forward
    monkeypatch.setattr(
        type(module.model),
        "forward",
        lambda self, *given: seen.append(given) or losses(self, *given),
    )
    module([IMAGE], [{**TARGET, "iscrowd": torch.tensor([1])}])
    ((batch, (target,)),) = seen
    assert batch.sizes == [(64, 80)]
    assert target.boxes.tolist() == [[8, 8, 50, 40]]  # twice
    assert target.ignored.tolist() == [True]
    array = (255 * IMAGE).round().to(torch.uint8).flip(0).permute(1, 2, 0).numpy()
    expected = Resize(shorter_sides=[64], longest=1000)(np.ascontiguousarray(array), 64)
    assert int(np.abs(batch.pixels[0].numpy().astype(int) - expected).max()) <= 1


def test_an_image_without_objects_is_background(module: DetectorModule) -> None:
    empty = {"boxes": torch.zeros(0, 4), "labels": torch.zeros(0, dtype=torch.int64)}
    losses = module([IMAGE], [empty])
    assert losses["loss_box_reg"] == losses["loss_rpn_box_reg"] == 0
    assert losses["loss_classifier"] > 0


@pytest.mark.parametrize(
    ("image", "changes", "words"),
    [
        (IMAGE, {"boxes": None}, r"targets\[0\] has no boxes"),
        (IMAGE, {"labels": None}, r"targets\[0\] has no labels"),
        (IMAGE, {"boxes": torch.tensor([[8.0, 8, 8, 40]])}, "positive width and height; found"),
        (IMAGE, {"boxes": torch.tensor([[8.0, 8, math.nan, 40]])}, "positive width and height"),
        (
            IMAGE,
            {"boxes": torch.tensor([[8, 8, 50, 40]])},
            r"a float tensor \[N, 4\], got torch.int",
        ),
        (IMAGE, {"boxes": torch.rand(4)}, r"float tensor \[N, 4\], got .*\[4\]"),
        (IMAGE, {"labels": torch.tensor([0])}, r"labels are 1 \.\.\. 7, 0 is background; found 0"),
        (IMAGE, {"labels": torch.tensor([8])}, r"labels are 1 \.\.\. 7, .*found 8"),
        (
            IMAGE,
            {"labels": torch.tensor([1, 2])},
            r"int64 \[N\] for 1 boxes, got .*\[2\]",
        ),
        (IMAGE, {"labels": torch.tensor([1.0])}, "got torch.float32"),
        (255 * IMAGE, {}, r"images\[0\] has values .* expected \[0, 1\]"),
        (IMAGE - 0.5, {}, "not normalised"),
        ((255 * IMAGE).to(torch.uint8), {}, r"a float tensor \[3, height, width\].*torch.uint8"),
        (IMAGE[:1], {}, r"got torch.float32 \[1, 32, 40\]"),
        (IMAGE[:, :0], {}, r"got torch.float32 \[3, 0, 40\]"),
        (IMAGE.numpy(), {}, r"images\[0\] must be a float tensor .* got ndarray"),
        (IMAGE, {"boxes": [[8.0, 8, 50, 40]]}, r"targets\[0\]: boxes must be a tensor, got list"),
        (IMAGE, {"boxes": XYWH}, r"boxes must be \(x1, y1, x2, y2\), got those of .*XYWH"),
    ],
)
def test_wrong_input_is_refused_in_one_line(
    new: DetectorModule, image: Tensor, changes: dict[str, Any], words: str
) -> None:
    target = {key: value for key, value in {**TARGET, **changes}.items() if value is not None}
    with pytest.raises(ValueError, match=words) as caught:
        new.train()([image], [target])
    assert "\n" not in str(caught.value)


def test_rounding_is_no_wrong_image(new: DetectorModule) -> None:
    ones = torch.full_like(IMAGE, 1 + 1e-6)  # as of one that was denormalised
    assert new.eval()([ones])[0]["boxes"].shape[1:] == (4,)
    assert len(new.train()([ones], [TARGET])) == 4


def test_images_are_scaled_alike_whatever_range_files_have(
    new: DetectorModule, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[np.ndarray] = []
    nothing = Detections(torch.empty(0, 4), torch.empty(0), torch.empty(0, dtype=torch.int64))
    monkeypatch.setattr(
        "detection.detector_module.Pipeline.detect_arrays",
        lambda self, images: seen.append(images[0]) or [nothing],
    )
    new.eval()
    for range_ in ("", "0,4095"):
        monkeypatch.setenv("DETECTION_SAMPLE_RANGE", range_)
        new([IMAGE])
    expected = (255 * IMAGE).round().to(torch.uint8).flip(0).permute(1, 2, 0).numpy()
    for image in seen:
        np.testing.assert_array_equal(image, expected)
    assert len(seen) == 2


def test_an_empty_tensor_of_no_shape_is_no_objects(new: DetectorModule) -> None:
    empty = {"boxes": torch.tensor([]), "labels": torch.tensor([])}
    assert new.train()([IMAGE], [empty])["loss_box_reg"].item() == 0


def test_published_detectors_have_names_here_too(new: DetectorModule) -> None:
    with pytest.raises(FileNotFoundError, match="did you mean coco_r101_c4"):
        DetectorModule.load("coco_r101_c5")


def test_an_average_of_the_weights_is_a_detector(new: DetectorModule, tmp_path: Path) -> None:
    average = AveragedModel(new, multi_avg_fn=get_ema_multi_avg_fn(0.9))
    average.update_parameters(new)
    average.module.save(tmp_path / "ema.pt")
    found = DetectorModule.load(tmp_path / "ema.pt").state_dict()
    assert all(torch.equal(found[name], value) for name, value in new.state_dict().items())


def test_targets_must_be_of_as_many_images(new: DetectorModule) -> None:
    with pytest.raises(ValueError, match="targets are needed in training"):
        new.train()([IMAGE])
    with pytest.raises(ValueError, match="1 images, but 2 targets"):
        new.train()([IMAGE], [TARGET, TARGET])


@pytest.mark.slow
def test_its_checkpoint_is_a_detector_that_finds_the_same(
    module: DetectorModule, tmp_path: Path
) -> None:
    path = tmp_path / "mine.pt"
    module.save(path)
    detector = Detector.load(path, winograd=False)
    assert detector.class_names == CLASS_NAMES
    (found,) = module.eval()([IMAGE])
    result = detector(IMAGE)
    torch.testing.assert_close(found["scores"], result.scores, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(found["boxes"], result.boxes, rtol=1e-4, atol=1e-2)
    found["boxes"].mul_(2)  # not a tensor of inference mode
    again = DetectorModule.load(path)
    assert all(part.training for part in again.modules())
    again.eval()
    assert torch.equal(again([IMAGE])[0]["scores"], found["scores"])


@pytest.mark.slow
def test_the_state_goes_there_and_back(module: DetectorModule) -> None:
    torch.manual_seed(1)
    other = DetectorModule.new(CLASS_NAMES, **SMALL).eval()
    assert not torch.equal(other([IMAGE])[0]["scores"], module.eval()([IMAGE])[0]["scores"])
    other.load_state_dict(module.state_dict())
    assert torch.equal(other([IMAGE])[0]["scores"], module([IMAGE])[0]["scores"])


@pytest.mark.parametrize("names", ["cat", ["cat", "cat"], [], [1, 2], [""]])
def test_class_names_are_a_list_of_different_ones(names: Any) -> None:
    with pytest.raises(ValueError, match="class_names must be a list of different names"):
        DetectorModule.new(names)


def test_an_unknown_key_is_named() -> None:
    with pytest.raises(ValueError, match="there is no key 'depth'; did you mean"):
        DetectorModule.new(["cat"], depth=50)
