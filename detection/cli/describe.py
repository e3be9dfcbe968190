"""Counts a detector's parameters and multiply-adds: python tools/describe.py experiment=NAME

Nothing is trained or read: it is the model of the configuration, by the keys of train_net.py;
--config outputs/train/config.yaml describes that of a run.  Convolutions and matrix products are
counted, BN, ReLU and pooling are not.  The last line is of a picture in a test, by the steps of
``inference``: box refinement, several scales, the mirror image.
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
_UNITS = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))


def main(config: DictConfig) -> None:
    named = len(config.data.classes or [])
    classes = config.model.num_classes or named or _CLASSES
    with torch.device("meta"):
        model = make(as_plain(config.model) | {"num_classes": classes})
    assert isinstance(model, FasterRCNN)
    steps = config.inference
    base = _size(config.data.test_shorter_side, config.data.longest)
    scales = [_size(side, steps.multi_scale.longest) for side in steps.multi_scale.shorter_sides]
    costs = {size: detector_cost(model, height=size[0], width=size[1]) for size in {base, *scales}}
    cost = costs[base]
    looks = 2 if steps.flip else 1  # at the picture, and at its mirror image
    # Shared layers besides those for the RPN, which takes the upright picture at the base scale.
    further = [size for size in scales if size != base] + (looks - 1) * (scales or [base])
    regions, again = model.rpn.test_proposals.after_nms, steps.refinement.passes
    of_each = classes if steps.refinement.regions == "every_class" else 1
    through = regions * (1 + again * of_each) + model.has_context
    # A region goes through conv5 at each of its two scales, unless these are merged before.
    times = 2 if scales and steps.multi_scale.maximum == "region_features" else 1
    through *= times * looks
    rows = [
        ("", "parameters", "that learn", "multiply-adds"),
        _row("shared layers, of a picture", cost.shared),
        _row("RPN, of a picture", cost.rpn),
        _row("layers of a region, of one", cost.regions),
        (
            f"all, with {through} regions",
            amount(cost.parameters),
            amount(cost.learnt),
            amount(
                cost.multiply_adds(through)
                + sum(costs[size].shared.multiply_adds for size in further)
            ),
        ),
    ]
    print(
        f"{classes} classes, a picture of {base[0]}x{base[1]} pixels"
        + (f" and {len(scales)} scales of it" if scales else "")
        + (", with its mirror image" if steps.flip else "")
        + f", {1 + again} passes of the head"
    )
    print("\n".join(table(rows)))
    if config.schedule.recipe is not None:
        print("schedule=auto may choose other values: detection train DATA --dry-run says which")


def _size(shorter_side: int, longest: int) -> tuple[int, int]:
    """(height, width) of the picture in a test."""
    resize = Resize(shorter_sides=[shorter_side], longest=longest)
    return resize.size(_PICTURE, shorter_side)


def amount(number: int) -> str:
    """1234567 -> 1.23 M."""
    size, letter = next((unit for unit in _UNITS if number >= unit[0]), (1, ""))
    return f"{number / size:.3g} {letter}".strip()


def _row(name: str, cost: Cost) -> tuple[str, ...]:
    return name, amount(cost.parameters), amount(cost.learnt), amount(cost.multiply_adds)
