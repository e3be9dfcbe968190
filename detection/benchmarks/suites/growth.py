"""Suite `growth`: how the time and memory of one detector grow with one size at a time.

``facts`` of a row: ``of``, the size that grows, and ``value``, how large it is in this row.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from hydra.utils import instantiate

from detection.benchmarks.measurement import Case
from detection.benchmarks.networks import (
    build_model,
    for_inference,
    inference,
    training_config,
)
from detection.benchmarks.pictures import objects, pictures
from detection.inference.post_processing import PostProcessing
from detection.model.faster_rcnn import FasterRCNN
from detection.model.frozen_bn import use_winograd


def cases(
    *,
    device: torch.device,
    overrides: Sequence[str],
    height: int,
    width: int,
    seed: int,
    scales: Sequence[float],
    regions: Sequence[int],
    classes: Sequence[int],
    images: Sequence[int],
    objects_per_image: Sequence[int],
) -> Iterator[list[Case]]:
    """A group for each of the five sizes; the other sizes stay at their first value."""
    config = training_config(overrides)
    rule: PostProcessing = instantiate(config.inference.post_processing, _convert_="all")
    model = build_model(config, classes=classes[0], seed=seed).to(device)

    def detecting(network: FasterRCNN, number: int, scale: float) -> Callable[[], object]:
        batch = pictures(number, int(height * scale), int(width * scale), seed).to(device)
        return inference(for_inference(network, device, winograd=True), batch, rule, "float32")

    yield [_case("image scale", s, detecting(model, 1, s)) for s in scales]
    yield [_case("images at once", n, detecting(model, n, 1.0), items=n) for n in images]
    yield [
        _case("classes", n, detecting(build_model(config, classes=n, seed=seed), 1, 1.0))
        for n in classes
    ]
    yield [_case("regions", n, _classifying(model, n, height, width, seed)) for n in regions]
    yield [
        _case("objects per image", n, _training(model, n, height, width, seed))
        for n in objects_per_image
    ]


def _case(of: str, value: float, run: Callable[[], object], *, items: int = 1) -> Case:
    facts: dict[str, Any] = {"of": of, "value": value}
    return Case(f"{of}: {value:g}", "float32", run, items=items, facts=facts)


def _classifying(
    model: FasterRCNN, regions: int, height: int, width: int, seed: int
) -> Callable[[], object]:
    """The head alone, on ``regions`` boxes; a CPU computes boxes that pool the same cells once."""
    device = next(model.parameters()).device
    network = for_inference(model, device, winograd=True)
    batch = pictures(1, height, width, seed).to(device)
    boxes = objects(batch, per_image=regions, classes=1, seed=seed)[0].boxes.to(device)
    with torch.inference_mode():
        features = network.features(batch)

    @torch.inference_mode()
    def run() -> object:
        return network.classify(features, [boxes], batch.sizes)

    return run


def _training(
    model: FasterRCNN, number: int, height: int, width: int, seed: int
) -> Callable[[], object]:
    """A training step on ``number`` objects: losses and gradients, no update."""
    device = next(model.parameters()).device
    network = copy.deepcopy(model).train()
    use_winograd(network, True)
    batch = pictures(1, height, width, seed).to(device)
    classes = network.roi_head.num_classes
    targets = [
        target.to(device) for target in objects(batch, per_image=number, classes=classes, seed=seed)
    ]

    def run() -> None:
        network.zero_grad(set_to_none=True)
        network(batch, targets).total().backward()

    return run
