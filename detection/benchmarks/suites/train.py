"""Suite `train`: one training step (losses, gradients, SGD), compared with the peers.

Compared first: the four losses and the gradients.  For this comparison all anchors and regions take
part, so that nothing is sampled at random.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from hydra.utils import instantiate
from torch import Tensor

from detection.benchmarks.arithmetic import gflop
from detection.benchmarks.measurement import Case
from detection.benchmarks.networks import (
    Peer,
    autocast,
    build_model,
    our_stages,
    peers,
    training_config,
)
from detection.benchmarks.peers.torchvision_c4 import TorchvisionC4
from detection.benchmarks.pictures import objects, pictures
from detection.benchmarks.stages import Stages
from detection.engine.optimizers import set_rate
from detection.inference.post_processing import PostProcessing
from detection.model.faster_rcnn import FasterRCNN
from detection.model.frozen_bn import use_winograd
from detection.model.roi_head import RoIHead
from detection.structures import ImageBatch, Target

# Relative to a loss, and to the norm of a gradient: of one image in float64.
TOLERANCE = 1e-6
# The same of the mini-batch in float32.  If several anchors have the highest IoU with an object, as
# all that contain it have, rounding decides which are positive.  In a small image, one of them
# changes the RPN's gradient by a percent.  torchvision divides by the anchors of all images.
TOLERANCE_FP32 = 5e-2
# The only one that torchvision's smooth L1 has.
SIGMA = 3.0
# The number of regions that go through conv5 when everything takes part.
COMPARED_PROPOSALS = 16


@dataclass
class _Step:
    """A training step, with a method for each stage.  ``losses`` computes the sum of the four."""

    losses: Callable[[], Tensor]
    optimizer: torch.optim.Optimizer
    device: torch.device
    dtype: str

    def __call__(self) -> None:
        self.optimizer.zero_grad(set_to_none=True)
        with autocast(self.device, self.dtype):
            total = self.losses()
        self.backward(total)
        self.update()

    def backward(self, total: Tensor) -> None:
        total.backward()

    def update(self) -> None:
        self.optimizer.step()

    def stages(self, forward: Stages) -> Stages:
        return {**forward, "backward": [(self, "backward")], "SGD": [(self, "update")]}


def cases(
    *,
    device: torch.device,
    overrides: Sequence[str],
    objects_per_image: int,
    classes: int,
    dtypes: Sequence[str],
    seed: int,
) -> Iterator[list[Case]]:
    """One group: the peers and our network in each of ``dtypes``.

    Our network runs with direct convolutions, on a CPU also with Winograd's.  The image size, batch
    size, sampling and SGD are those of the training configuration; images are 4:3.
    """
    config = training_config(overrides)
    height = min(config.data.shorter_sides[0], config.data.longest * 3 // 4)
    batch = pictures(config.schedule.batch_size, height, height * 4 // 3, seed).to(device)
    targets = [
        target.to(device)
        for target in objects(batch, per_image=objects_per_image, classes=classes, seed=seed)
    ]
    post_processing = instantiate(config.inference.post_processing, _convert_="all")
    model = build_model(config, classes=classes, seed=seed)
    assert isinstance(model.roi_head, RoIHead)
    model.rpn.sigma = model.roi_head.sigma = SIGMA
    model.rpn.sampling = replace(model.rpn.sampling, cross_boundary=True)
    model.to(device).train()
    others = {name: peer.to(device) for name, peer in peers(model, post_processing).items()}
    networks = {"this": model}
    if device.type == "cpu":
        networks["this, winograd"] = copy.deepcopy(model)
        use_winograd(networks["this, winograd"], True)
    _compare(model, batch, targets, post_processing, exact=True)
    for network in networks.values():
        _compare(network, batch, targets, post_processing, exact=False)
    result: list[Case] = []
    for dtype in dtypes:
        optimizer = instantiate(config.schedule.optimizer)
        steps = {
            name: peer_step(peer, batch, targets, dtype, config.schedule.optimizer)
            for name, peer in others.items()
        }
        operations = gflop(steps["torchvision as C4"])
        result += [
            Case(
                name, dtype, step, peer=True, gflop=operations, items=len(batch),
                stages=step.stages(others[name].stages()),
            )
            for name, step in steps.items()
        ]  # fmt: skip
        for name, network in networks.items():
            if dtype != "float32" and name == "this, winograd":
                continue
            step = our_step(network, batch, targets, dtype, optimizer(network))
            stages = step.stages(our_stages(network))
            result.append(
                Case(name, dtype, step, gflop=operations, items=len(batch), stages=stages)
            )
    yield result


def our_step(
    model: FasterRCNN,
    batch: ImageBatch,
    targets: list[Target],
    dtype: str,
    optimizer: torch.optim.Optimizer,
) -> _Step:
    set_rate(optimizer, 0.0)  # a step changes nothing, so every round does the same work
    return _Step(lambda: model(batch, targets).total(), optimizer, batch.pixels.device, dtype)


def peer_step(peer: Peer, batch: ImageBatch, targets: list[Target], dtype: str, rule: Any) -> _Step:
    optimizer = torch.optim.SGD(
        [p for p in peer.parameters() if p.requires_grad],
        lr=0.0,
        momentum=rule.momentum,
        weight_decay=rule.weight_decay,
    )
    return _Step(
        lambda: torch.stack(list(peer.losses(batch, targets).values())).sum(),
        optimizer,
        batch.pixels.device,
        dtype,
    )


def _compare(
    model: FasterRCNN,
    batch: ImageBatch,
    targets: list[Target],
    post_processing: PostProcessing,
    *,
    exact: bool,
) -> None:
    """Raises AssertionError if losses or gradients differ by more than rounding.

    ``exact``: of one image, in float64.
    """
    everything = 1 << 20
    model = copy.deepcopy(model)
    if exact:
        model = model.double()
        batch = ImageBatch(batch.pixels[:1], batch.sizes[:1])
        targets = [replace(targets[0], boxes=targets[0].boxes.double())]
    tolerance = TOLERANCE if exact else TOLERANCE_FP32
    rpn, head = model.rpn, model.roi_head
    assert isinstance(head, RoIHead)
    rpn.sampling = replace(rpn.sampling, per_image=everything, divide_by="sampled")
    rpn.training_proposals = replace(rpn.training_proposals, after_nms=COMPARED_PROPOSALS)
    head.sampling = replace(
        head.sampling, per_image=everything, foreground_fraction=1.0, background_iou=(0.0, 0.5)
    )
    peer = TorchvisionC4(model, post_processing).to(
        batch.pixels.device, model.roi_head.logits.weight.dtype
    )
    losses = model(batch, targets)
    theirs = peer.losses(batch, targets)
    for name, expected in theirs.items():
        _check(name, getattr(losses, name), expected, tolerance)
    losses.total().backward()
    torch.stack(list(theirs.values())).sum().backward()
    pairs = {
        "rpn.conv": "rpn.head.conv",
        "roi_head.logits": "roi_heads.box_predictor.cls_score",
        "backbone.conv4.0.conv_b.conv": "body.6.0.conv2",
        "backbone.conv5.0.conv_b.conv": "roi_heads.box_head.layer4.0.conv2",
    }
    for ours, other in pairs.items():
        weight = model.get_parameter(f"{ours}.weight")
        expected = peer.get_parameter(f"{other}.weight")
        if weight.grad is not None and expected.grad is not None:  # None in a frozen stage
            _check(f"the gradient of {ours}", weight.grad, expected.grad, tolerance)


def _check(name: str, ours: Tensor, theirs: Tensor, tolerance: float) -> None:
    difference = float((ours.detach() - theirs.detach()).norm() / theirs.detach().norm())
    if not difference <= tolerance:
        raise AssertionError(f"{name}: off torchvision's by {difference:.2g}")
