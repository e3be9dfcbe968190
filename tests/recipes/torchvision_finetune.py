"""torchvision's fine-tuning of Faster R-CNN with a feature pyramid, on the data of a run of ours.

As torchvision's tutorial and references/detection have it: SGD at 0.005 for 2 pictures with
momentum 0.9 and decay 0.0005, linear warm-up over the first epoch, mirror images, three trainable
stages, the shorter side 800; the rate falls tenfold after each third of the time, as after each 3
of 10 epochs.  The backbone's weights are the file's, with its pixels (BGR, mean) and strides.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import torch
from omegaconf import OmegaConf
from safetensors.torch import load_file
from torch import Tensor, nn
from torchvision.models import resnet50
from torchvision.models.detection import FasterRCNN
from torchvision.models.detection.backbone_utils import _resnet_fpn_extractor
from torchvision.ops import FrozenBatchNorm2d

from detection.cli.data_sets import open_split
from detection.data.dataset import DetectionDataset, Example
from detection.data.image import read_image
from detection.engine.evaluate import measure
from detection.structures import Detections

_MEAN = (103.939, 116.779, 123.68)


def network(weights: Path, classes: int) -> FasterRCNN:
    body = resnet50(weights=None, norm_layer=FrozenBatchNorm2d)
    held = {name: value.float() for name, value in load_file(weights).items()}
    held = {name: value for name, value in held.items() if "num_batches" not in name}
    body.load_state_dict(held, strict=False)
    assert not set(body.state_dict()) - set(held) - {"fc.weight", "fc.bias"}
    for layer in (body.layer2, body.layer3, body.layer4):
        layer[0].conv1.stride, layer[0].conv2.stride = (2, 2), (1, 1)
    return FasterRCNN(
        _resnet_fpn_extractor(body, 3), num_classes=classes + 1, image_mean=list(_MEAN),
        image_std=[1.0, 1.0, 1.0],
    )  # fmt: skip


def read(example: Example) -> Tensor:
    return torch.from_numpy(read_image(example.path)).permute(2, 0, 1).float()


def train(model: nn.Module, dataset: DetectionDataset, seconds: float, seed: int) -> int:
    """Returns the number of steps."""
    examples = [example for example in dataset.examples if len(example.boxes)]
    parameters = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.SGD(parameters, lr=0.005, momentum=0.9, weight_decay=0.0005)
    rng = random.Random(seed)
    model.train()
    steps_of_an_epoch = max(1, len(examples) // 2)
    began, step = time.monotonic(), 0
    order: list[Example] = []
    while (part := (time.monotonic() - began) / seconds) < 1:
        if len(order) < 2:
            order = rng.sample(examples, len(examples)) + order
        warm = min(1.0, (step + 1) / min(1000, steps_of_an_epoch))
        for group in optimizer.param_groups:
            group["lr"] = 0.005 * warm * 0.1 ** int(3 * part)
        images, targets = [], []
        for example in (order.pop(), order.pop() if order else rng.choice(examples)):
            image, boxes = read(example), torch.from_numpy(example.boxes).float()
            if rng.random() < 0.5:
                image = image.flip(-1)
                boxes = torch.stack(
                    (image.shape[-1] - boxes[:, 2], boxes[:, 1], image.shape[-1] - boxes[:, 0],
                     boxes[:, 3]), dim=1,
                )  # fmt: skip
            images.append(image)
            targets.append({"boxes": boxes, "labels": torch.from_numpy(example.labels).long()})
        loss = sum(model(images, targets).values())
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        step += 1
    return step


@torch.inference_mode()
def detect(model: nn.Module, dataset: DetectionDataset) -> list[dict[str, object]]:
    model.eval()
    found: list[dict[str, object]] = []
    for example in dataset.examples:
        (one,) = model([read(example)])
        result = Detections(one["boxes"], one["scores"], one["labels"])
        for (x1, y1, x2, y2), score, label in zip(
            result.boxes.tolist(), result.scores.tolist(), result.labels.tolist(), strict=True
        ):
            category = dataset.category_ids[label - 1]
            found.append({"image_id": example.image_id, "category_id": category,
                          "bbox": [x1, y1, x2 - x1, y2 - y1], "score": score})  # fmt: skip
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path, help="the folder of our run: its split is taken")
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--output", type=Path, required=True)
    given = parser.parse_args()
    torch.manual_seed(given.seed)
    data = OmegaConf.load(given.run / "config.yaml").data
    if (given.run / "split.json").is_file():
        data.split_file = str(given.run / "split.json")
    trained, tested = (open_split(data, split) for split in (data.train_split, data.val_split))
    model = network(given.weights, len(trained.class_names))
    began = time.monotonic()
    steps = train(model, trained, given.seconds, given.seed)
    seconds = time.monotonic() - began
    scores = measure(tested.to_coco(), detect(model, tested), backend="hotcoco")
    given.output.parent.mkdir(parents=True, exist_ok=True)
    content = {
        "coco": {"AP": scores.coco.AP, "AP50": scores.coco.AP50},
        "seconds": seconds,
        "steps": steps,
    }
    given.output.write_text(json.dumps(content), encoding="utf-8")


if __name__ == "__main__":
    main()
