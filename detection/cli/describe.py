"""Counts a detector's parameters and multiply-adds: python tools/describe.py experiment=NAME

Nothing is trained or read: it is the model of the configuration, by the keys of train_net.py;
--config outputs/train/config.yaml describes that of a run.  Convolutions and matrix products are
counted, BN, ReLU and pooling are not.
"""

from __future__ import annotations

import torch
from omegaconf import DictConfig

from detection.cli.objects import as_plain, make
from detection.data.findings import table
from detection.data.transforms import Resize
from detection.engine.cost import Cost, detector_cost
from detection.model.faster_rcnn import FasterRCNN

# A picture of which nothing is known is 3 high and 4 wide; COCO has 80 classes.
_PICTURE, _CLASSES = (300, 400), 80
_UNITS = ((1e9, "G"), (1e6, "M"), (1e3, "k"))


def main(config: DictConfig) -> None:
    named = len(config.data.classes or [])
    classes = config.model.num_classes or named or _CLASSES
    with torch.device("meta"):
        model = make(as_plain(config.model) | {"num_classes": classes})
    assert isinstance(model, FasterRCNN)
    side = config.data.test_shorter_side
    resize = Resize(shorter_sides=[side], longest=config.data.longest)
    height, width = resize.size(_PICTURE, side)
    cost = detector_cost(model, height=height, width=width)
    passes = 1 + config.inference.refinement.passes
    regions = passes * model.rpn.test_proposals.after_nms + model.has_context
    rows = [
        ("", "parameters", "that learn", "multiply-adds"),
        _row("shared layers, of a picture", cost.shared),
        _row("RPN, of a picture", cost.rpn),
        _row("layers of a region, of one", cost.regions),
        (
            f"all, with {regions} regions",
            amount(cost.parameters),
            amount(cost.learnt),
            amount(cost.multiply_adds(regions)),
        ),
    ]
    print(f"{classes} classes, a picture of {height}x{width} pixels, {passes} passes of the head")
    print("\n".join(table(rows)))
    if config.schedule.recipe is not None:
        print("schedule=auto may choose other values: detection train DATA --dry-run says which")


def amount(number: int) -> str:
    """1234567 -> 1.23 M."""
    size, letter = next((unit for unit in _UNITS if number >= unit[0]), (1, ""))
    return f"{number / size:.3g} {letter}".strip()


def _row(name: str, cost: Cost) -> tuple[str, ...]:
    return name, amount(cost.parameters), amount(cost.learnt), amount(cost.multiply_adds)
