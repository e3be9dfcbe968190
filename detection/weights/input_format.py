"""What weights were trained to read: it travels with them, and a mismatch is an error.

Weights that see pixels in another order or scale, or that stride elsewhere, lose accuracy without a
word: nothing in their shapes tells.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

# Between the pixels of torchvision's weights, of deviation 1, and those of MSRA's, of deviation 60.
# On natural images the variance of conv1's outputs is a few times (pixel deviation)^2 |w|^2: the
# median over the filters is 1.4 (MSRA's ResNet-50, per unit of pixel variance).
_LARGE_PIXELS = 80.0


@dataclass(frozen=True, kw_only=True)
class InputFormat:
    """``order``, ``mean``, ``std``: as in PixelFormat.

    ``stride_in_1x1``: as in ResNet; None for a network without bottlenecks.
    """

    order: str
    mean: list[float]
    std: list[float]
    stride_in_1x1: bool | None

    @classmethod
    def of_model(
        cls, model_config: Mapping[str, Any], weights: Mapping[str, Tensor]
    ) -> InputFormat:
        """Out of what the checkpoint of a detector or of a classifier holds.

        Of a classifier that subtracts a mean image (PerPixelMean) it is the mean colour.
        """
        pixels, backbone = model_config["pixels"], model_config["backbone"]
        image = weights.get("pixels.mean", torch.empty(0))
        if image.ndim == 3:
            pixels = {"order": "BGR", "mean": image.mean(dim=(0, 1)).tolist(), "std": [1.0] * 3}
        return cls(
            order=pixels["order"],
            mean=list(pixels["mean"]),
            std=list(pixels["std"]),
            stride_in_1x1=backbone.get("stride_in_1x1"),
        )

    def __str__(self) -> str:
        """As overrides of the configuration."""
        lists = {"mean": self.mean, "std": self.std}
        shown = [f"model.pixels.order={self.order}"]
        for name, values in lists.items():
            shown.append(f"model.pixels.{name}=[{','.join(f'{value:g}' for value in values)}]")
        if self.stride_in_1x1 is not None:
            stride = "true" if self.stride_in_1x1 else "false"
            step = 2 if self.stride_in_1x1 else 1
            shown.append(f"model.backbone.stride_in_1x1={stride} model.backbone.bin_step={step}")
        return " ".join(shown)


_BGR_MEAN = [103.53, 116.28, 123.675]
MSRA = InputFormat(order="BGR", mean=_BGR_MEAN, std=[1.0, 1.0, 1.0], stride_in_1x1=True)
TORCHVISION = InputFormat(
    order="RGB", mean=_BGR_MEAN[::-1], std=[58.395, 57.12, 57.375], stride_in_1x1=False
)


class Pixels(Protocol):
    """PixelFormat."""

    mean: Tensor
    std: Tensor

    @property
    def order(self) -> str: ...


def check_input_format(given: InputFormat, *, pixels: Pixels, backbone: Any, source: str) -> None:
    """Raises ValueError, with the remedy, if a model reads other input than its weights did.

    ``pixels``, ``backbone``: the model's.
    Means may differ by a grey level, as those that py-faster-rcnn, detectron2 and Keras subtract
    for the same MSRA weights do.
    """
    stride = getattr(backbone, "stride_in_1x1", None)
    same = (
        given.order == pixels.order
        and all(abs(a - b) < 1 for a, b in zip(given.mean, pixels.mean.tolist(), strict=True))
        and all(0.95 < a / b < 1.05 for a, b in zip(given.std, pixels.std.tolist(), strict=True))
        and (stride is None or given.stride_in_1x1 in (None, stride))
    )
    if not same:
        configured = InputFormat(
            order=pixels.order,
            mean=pixels.mean.tolist(),
            std=pixels.std.tolist(),
            stride_in_1x1=stride,
        )
        raise ValueError(
            f"{source} was trained on other input than the model is configured for; it needs\n"
            f"  {given}\nand the configuration has\n  {configured}"
        )


def check_pixel_scale(weights: Mapping[str, Tensor], *, pixels: Pixels, source: str) -> None:
    """Raises ValueError if the numbers of a ResNet say that its pixels were scaled otherwise.

    For files that say nothing of their input.  ``weights``: our names.
    """
    large = reads_large_pixels(weights)
    configured = float(pixels.std.max()) < 2
    if large is not None and large != configured:
        raise ValueError(
            f"{source}: its conv1 was trained on {'pixels of 0 ... 255' if large else 'pixels'}"
            f"{' with the mean subtracted' if large else ' divided by their deviation'}, the model "
            f"is configured for std {pixels.std.tolist()}: choose model/pixels="
            f"{'msra' if large else 'torchvision'}, and with it model.backbone.stride_in_1x1="
            f"{'true model.backbone.bin_step=2' if large else 'false model.backbone.bin_step=1'}"
        )


def reads_large_pixels(weights: Mapping[str, Tensor]) -> bool | None:
    """Whether conv1 was trained on pixels of 0 ... 255 rather than on normalised ones.

    ``weights``: a ResNet's, our names.  None where it cannot be told: BN was never trained, or is
    folded into a scale and a shift.
    """
    names = ("conv1.conv.weight", "conv1.bn.running_mean", "conv1.bn.running_var")
    if not all(name in weights for name in names):
        return None
    weight, mean, variance = (weights[name].float() for name in names)
    if not bool(mean.any()):
        return None
    power = weight.square().sum(dim=(1, 2, 3)).clamp(min=1e-12)
    return float((variance / power).median()) > _LARGE_PIXELS


def from_description(described: Mapping[str, str]) -> InputFormat | None:
    """Of a safetensors file with, for example, ``input: BGR, mean 103.5 116.3 123.7, std 1``.

    and ``stride_2: 1x1 convolution``; None where one of them is missing or reads otherwise.
    """
    text = described.get("input", "")
    order = re.search(r"\b(BGR|RGB)\b", text)
    stride = re.match(r"(1x1|3x3)", described.get("stride_2", ""))
    mean, std = _numbers(text, "mean"), _numbers(text, "std")
    if not order or not stride or len(mean) != 3 or len(std) not in (1, 3):
        return None
    return InputFormat(
        order=order[1],
        mean=mean,
        std=std * (3 // len(std)),
        stride_in_1x1=stride[1] == "1x1",
    )


def _numbers(text: str, word: str) -> list[float]:
    """The numbers that follow ``word``: "mean subtracted 1 2 3" -> 1, 2, 3."""
    found = re.search(rf"\b{word}\b[a-z: ]*((?:\d+(?:\.\d+)?[ /]*)+)", text)
    return [float(number) for number in re.split(r"[ /]+", found[1].strip())] if found else []
