"""Suite `ops`: RoI pooling, RoIAlign and the proposals' NMS, compared with torchvision's."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torchvision
from torch import Tensor

from detection.benchmarks.measurement import Case
from detection.ops.nms import first_survivors
from detection.ops.roi_pool import roi_align, roi_pool


def cases(
    *,
    device: torch.device,
    rois: int,
    channels: int,
    height: int,
    width: int,
    stride: int,
    output_size: int,
    dtypes: Sequence[str],
    layouts: Sequence[str],
    images: int,
    candidates: int,
    proposals: int,
    seed: int,
) -> Iterator[list[Case]]:
    """A group for each operator, layout, bin step and direction; torchvision's run in float32.

    One more group is NMS of ``candidates`` boxes of each of ``images``, down to ``proposals``.

    With a bin step of 2, torchvision pools all bins and its result is subsampled.  A group is
    made only when it is asked for, because all groups together hold gigabytes.  All cases are
    ``rehearsed``, see :class:`Case`.
    """
    generator = torch.Generator().manual_seed(seed)
    size = torch.tensor([width, height]) * float(stride)
    centres, sides = (torch.rand(rois, 2, generator=generator) * size for _ in range(2))
    boxes = torch.cat((torch.zeros(rois, 1), centres - 0.3 * sides, centres + 0.3 * sides), 1)
    boxes[:, 1:] = torch.minimum(boxes[:, 1:].clamp(min=0), size.repeat(2))
    boxes = boxes.to(device)
    features = torch.randn(1, channels, height, width, generator=generator).relu_().to(device)
    for layout in layouts:
        given = features.contiguous(memory_format=_layout(layout))
        for operator in ("roi_pool", "roi_align"):
            call = _Operator(operator, boxes, output_size, 1 / stride)
            for step in (1, 2):
                yield from _groups(call, given, layout, step, dtypes)
    yield _nms(images, candidates, proposals, device, generator)


def _layout(name: str) -> torch.memory_format:
    layouts = {"channels_last": torch.channels_last, "contiguous": torch.contiguous_format}
    if name not in layouts:
        raise ValueError(f"ops.layouts holds {name!r}; choose from {', '.join(layouts)}")
    return layouts[name]


@dataclass(frozen=True)
class _Operator:
    """One of the two operators with all its arguments but features and bin step."""

    name: str
    boxes: Tensor
    output_size: int
    scale: float

    def ours(self, features: Tensor, step: int) -> Tensor:
        if self.name == "roi_pool":
            return roi_pool(features, self.boxes, self.output_size, self.scale, step)
        return roi_align(features, self.boxes, self.output_size, self.scale, 0, True, step)

    def torchvisions(self, features: Tensor, step: int) -> Tensor:
        size, scale = self.output_size, self.scale
        if self.name == "roi_pool":
            pooled = torchvision.ops.roi_pool(features, self.boxes, size, scale)
        else:
            pooled = torchvision.ops.roi_align(features, self.boxes, size, scale, 0, True)
        return pooled[:, :, ::step, ::step]


def _groups(
    call: _Operator, features: Tensor, layout: str, step: int, dtypes: Sequence[str]
) -> Iterator[list[Case]]:
    where = f"{layout}, " + ("every bin" if step == 1 else "every second bin")
    theirs = _runs(lambda x: call.torchvisions(x, step), features)
    groups = {
        kind: [
            Case(
                f"torchvision {call.name}, {kind} ({where})",
                "float32",
                run,
                peer=True,
                rehearsed=True,
            )
        ]
        for kind, run in theirs.items()
    }
    for dtype in dtypes:
        given = features.to(getattr(torch, dtype))
        ours = _runs(lambda x: call.ours(x, step), given)
        # Rounding can change which of two cells is the maximum: torchvision gets rounded features.
        same = _runs(lambda x: call.torchvisions(x, step), given.float())
        pooled = ours["inference"]()
        _compare(f"{call.name} ({where})", pooled, same["inference"]())
        _compare(f"{call.name}'s gradient ({where})", ours["backward"]()[0], same["backward"]()[0])
        for kind, run in ours.items():
            traffic = _traffic(call.name, kind, given, pooled.numel())
            name = f"{call.name}, {kind} ({where})"
            groups[kind].append(Case(name, dtype, run, traffic=traffic, rehearsed=True))
    yield from groups.values()


def _runs(pool: Callable[[Tensor], Tensor], features: Tensor) -> dict[str, Callable[[], Any]]:
    """Functions by kind: pooling for inference, pooling for training, and the gradient."""
    differentiable = features.detach().clone().requires_grad_()
    kept = pool(differentiable)
    generator = torch.Generator().manual_seed(0)
    grad = torch.randn(kept.shape, generator=generator).to(kept.device, kept.dtype)
    if kept.stride(1) == 1:
        grad = grad.contiguous(memory_format=torch.channels_last)

    def inference() -> Tensor:
        with torch.no_grad():
            return pool(features)

    def training() -> Tensor:
        return pool(differentiable)

    def backward() -> tuple[Tensor, ...]:
        return torch.autograd.grad(kept, differentiable, grad, retain_graph=True)

    return {"inference": inference, "training": training, "backward": backward}


def _compare(name: str, ours: Tensor, expected: Tensor) -> None:
    """Raises AssertionError if the outputs differ by more than rounding does in this type."""
    tolerance = {torch.float32: 1e-4, torch.float16: 1e-2, torch.bfloat16: 5e-2}.get(ours.dtype, 0)
    difference = (ours.float() - expected.float()).abs().max()
    if difference > tolerance * expected.abs().max():
        raise AssertionError(f"{name} in {ours.dtype} is off torchvision's by {difference:.3g}")


def _traffic(name: str, kind: str, features: Tensor, pooled: int) -> int:
    """Bytes of the feature map, of the pooled numbers and of RoIPool's argmax, each once."""
    with_argmax = name == "roi_pool" and kind != "inference"
    cells = features.shape[2] * features.shape[3]
    argmax = (1 if cells <= 0xFF else 2 if cells <= 0xFFFF else 4) if with_argmax else 0
    return (features.numel() + pooled) * features.element_size() + pooled * argmax


_NMS_IOU = 0.7  # of the paper's proposals


def _nms(
    images: int, candidates: int, proposals: int, device: torch.device, generator: torch.Generator
) -> list[Case]:
    """Half of the boxes lie around twenty objects of 1000 x 700 pixels, the others anywhere."""
    corners = torch.rand(images, 20, 2, generator=generator) * torch.tensor([800.0, 500.0])
    sides = 30 + 170 * torch.rand(images, 20, 2, generator=generator)
    objects = torch.cat((corners, corners + sides), 2)
    chosen = torch.randint(20, (images, candidates, 1), generator=generator).expand(-1, -1, 4)
    around = objects.gather(1, chosen)
    around += 12 * torch.randn(around.shape, generator=generator)
    corner = torch.rand(images, candidates, 2, generator=generator) * torch.tensor([900.0, 600.0])
    side = 20 + 80 * torch.rand(images, candidates, 2, generator=generator)
    anywhere = torch.cat((corner, corner + side), 2)
    half = torch.rand(images, candidates, 1, generator=generator) < 0.5
    boxes = torch.where(half, around, anywhere)
    usable = torch.ones(images, candidates, dtype=torch.bool)
    falling = -torch.arange(candidates).float()

    def theirs(boxes: Tensor, scores: Tensor) -> list[Tensor]:
        return [torchvision.ops.nms(own, scores, _NMS_IOU)[:proposals] for own in boxes]

    # On a GPU torchvision fuses products, which moves overlaps at the threshold: the CPU's count.
    expected = theirs(boxes, falling)
    boxes, usable, falling = boxes.to(device), usable.to(device), falling.to(device)
    found = first_survivors(boxes, usable, _NMS_IOU, proposals)
    if not all(ours.cpu().equal(own) for ours, own in zip(found, expected, strict=True)):
        raise AssertionError("the survivors of NMS are not torchvision's")
    what = f"NMS, {images} x {candidates} boxes to {proposals}"
    return [
        Case(f"torchvision {what}", "float32", lambda: theirs(boxes, falling), peer=True),
        Case(what, "float32", lambda: first_survivors(boxes, usable, _NMS_IOU, proposals)),
    ]
