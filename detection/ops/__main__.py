"""``python -m detection.ops``: which kernels are built, for what, and whether they work here."""

from __future__ import annotations

import platform
import sys
from typing import Any

import torch
import torchvision

from detection.ops import extension
from detection.ops.nms import first_survivors
from detection.ops.roi_pool import roi_align, roi_pool


def main() -> int:
    """Prints what is built and the result of a self-test; returns 0 if all that is built works."""
    out = sys.stdout.write
    out(f"torch {torch.__version__}, torchvision {torchvision.__version__}, ")
    out(f"Python {platform.python_version()}, {platform.machine()}\n")
    for name, facts in (("CPU kernels", extension.cpu), ("CUDA kernels", extension.cuda)):
        said = facts if isinstance(facts, str) else ", ".join(f"{k}: {v}" for k, v in facts.items())
        out(f"{name}: {said}\n")
    devices = [torch.device("cpu")]
    if torch.cuda.is_available():
        devices.append(torch.device("cuda"))
        out(f"GPU: {torch.cuda.get_device_name()} (sm_")
        out("".join(map(str, torch.cuda.get_device_capability())) + ")\n")
    else:
        out("GPU: none at hand\n")
    # A binary that cannot be loaded is a failure; one that was not built is not.
    failed = any(
        isinstance(facts, str) and extension.CANNOT_BE_LOADED in facts
        for facts in (extension.cpu, extension.cuda)
    )
    for device in devices:
        kernels = "compiled kernels" if extension.serves(device) else "torchvision's operators"
        problems = self_test(device)
        failed = failed or bool(problems)
        out(f"self-test on {device}, {kernels}: {'; '.join(problems) or 'passed'}\n")
    return int(failed)


def self_test(device: torch.device) -> list[str]:
    """Compares the operators and their gradients with torchvision's; returns what differs."""
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(2, 24, 19, 25, generator=generator)
    corners = torch.rand(50, 2, 2, generator=generator) * 500 - 50
    rois = torch.cat((torch.arange(50)[:, None] % 2, corners.amin(1), corners.amax(1)), 1)
    problems = []
    for name, ours, theirs in (
        ("roi_pool", roi_pool, torchvision.ops.roi_pool),
        ("roi_align", roi_align, torchvision.ops.roi_align),
    ):
        arguments: tuple[Any, ...] = (7, 1 / 16) if name == "roi_pool" else (7, 1 / 16, 0, True)
        expected_input = features.clone().requires_grad_()
        expected = theirs(expected_input, rois, *arguments)
        expected.square().sum().backward()
        for layout in (torch.contiguous_format, torch.channels_last):
            given = features.to(device, copy=True).contiguous(memory_format=layout)
            given.requires_grad_()
            pooled = ours(given, rois.to(device), *arguments)
            pooled.square().sum().backward()
            # torchvision's own CUDA kernels round differently from its CPU kernels.
            same = torch.allclose if name == "roi_align" else torch.equal
            if not same(pooled.detach().cpu(), expected.detach()):
                problems.append(f"{name} differs from torchvision's ({layout})")
            assert given.grad is not None
            assert expected_input.grad is not None
            if not torch.allclose(given.grad.cpu(), expected_input.grad, rtol=1e-4, atol=1e-4):
                problems.append(f"{name}'s gradient differs from torchvision's ({layout})")
            half = ours(given.detach().bfloat16(), rois.to(device), *arguments)
            if not torch.allclose(half.float(), pooled.detach(), rtol=1e-2, atol=1e-2):
                problems.append(f"{name} differs in bfloat16 ({layout})")
    corners = torch.rand(3, 500, 2, 2, generator=generator) * 200
    boxes = torch.cat((corners.amin(2), corners.amax(2)), 2)
    usable = torch.rand(3, 500, generator=generator) < 0.9
    found = first_survivors(boxes.to(device), usable.to(device), 0.5, 100)
    for own, own_usable, survivors in zip(boxes, usable, found, strict=True):
        index = own_usable.nonzero()[:, 0]
        falling = -torch.arange(len(index)).float()
        expected = index[torchvision.ops.nms(own[index], falling, 0.5)][:100]
        if not survivors.cpu().equal(expected):
            problems.append("the first survivors of NMS differ from torchvision's")
    return problems


if __name__ == "__main__":
    sys.exit(main())
