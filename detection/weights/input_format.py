"""The input that weights were trained on: it is saved with them, and a mismatch is an error.

Weights that get pixels of another order or scale, or that stride in another convolution, lose
accuracy without any error, because the shapes of the weights are the same.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol

import torch
from torch import Tensor

# Separates the pixels of torchvision's weights (standard deviation 1) from those of MSRA's (60).
# On natural images the variance of conv1's outputs is a few times (pixel deviation)^2 |w|^2: the
# median over the filters is 1.4 (MSRA's ResNet-50, per unit of pixel variance).
_LARGE_PIXELS = 80.0


@dataclass(frozen=True, kw_only=True)
class InputFormat:
    """Pixels and stride of a network.

    ``order``, ``mean``, ``std``: as in PixelFormat.
    ``stride_in_1x1``: as in ResNet; None for a backbone that has no such choice.
    """

    order: str
    mean: list[float]
    std: list[float]
    stride_in_1x1: bool | None

    @classmethod
    def of_model(
        cls, model_config: Mapping[str, Any], weights: Mapping[str, Tensor]
    ) -> InputFormat:
        """From the contents of a detector's or a classifier's checkpoint.

        For a classifier that subtracts a mean image (PerPixelMean), the mean is its mean colour.
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

    def pixel_config(self) -> dict[str, Any]:
        """The configuration of the model's ``pixels``."""
        return {
            "_target_": "detection.model.pixels.PixelFormat",
            "order": self.order,
            "mean": list(self.mean),
            "std": list(self.std),
        }

    def description(self) -> dict[str, str]:
        """The metadata of a safetensors file; :func:`from_description` is the inverse."""
        mean, std = (" ".join(f"{x:.7g}" for x in values) for values in (self.mean, self.std))
        described = {"input": f"{self.order}, mean {mean}, std {std}"}
        if self.stride_in_1x1 is not None:
            described["stride_2"] = f"{'1x1' if self.stride_in_1x1 else '3x3'} convolution"
        return described

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


@dataclass(frozen=True, kw_only=True)
class GivenInput:
    """What the user says about a network's input; it replaces what the file says.

    ``pixels``: a mapping with "order", "mean" and "std".  None: as in the file.
    """

    pixels: Mapping[str, Any] | None
    stride_in_1x1: bool | None

    def completed(self, find: Callable[[], InputFormat]) -> InputFormat:
        """What is not given is taken from ``find()``, which is called only if needed."""
        given: dict[str, Any] = {}
        if self.pixels is not None:
            given = {key: self.pixels[key] for key in ("order", "mean", "std")}
        if self.stride_in_1x1 is not None:
            given["stride_in_1x1"] = self.stride_in_1x1
        complete = given.keys() == InputFormat.__dataclass_fields__.keys()
        return InputFormat(**given) if complete else replace(find(), **given)


class Pixels(Protocol):
    """See :mod:`detection.model.pixels`."""

    mean: Tensor
    std: Tensor

    @property
    def order(self) -> str: ...


def check_input_format(given: InputFormat, *, pixels: Pixels, backbone: Any, source: str) -> None:
    """Raises ValueError, with the remedy, if a model reads other input than its weights need.

    ``pixels``, ``backbone``: the model's.  The stride of a backbone without ``stride_in_1x1`` is
    not checked.
    Means may differ by a grey level: py-faster-rcnn, detectron2 and Keras subtract slightly
    different means for the same MSRA weights.
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
    """Raises ValueError if a ResNet's numbers show that its pixels had another scale.

    For files that do not describe their input.  ``weights``: our names.
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
    """Whether conv1 was trained on pixels of 0 ... 255 and not on normalised ones.

    ``weights``: a ResNet's, our names.  None if it cannot be told, because BN was never trained or
    is folded into a scale and a shift.
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
    """From the metadata of a safetensors file; None if an entry is missing or reads otherwise.

    For example ``input``: "BGR, mean 103.5 116.3 123.7, std 1", ``stride_2``: "1x1 convolution".
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


def of_pixel_buffers(weights: Mapping[str, Tensor]) -> InputFormat | None:
    """From ``pixel_mean`` and ``pixel_std`` of a detectron2 detector; None if they are not there.

    ImageNet's mean has more red than blue, which shows the order.  The stride follows: detectron2's
    networks stride in the 1x1 convolution where the pixels are not divided by their deviation.
    """
    if not {"pixel_mean", "pixel_std"} <= weights.keys():
        return None
    mean, std = (
        [round(float(value), 4) for value in weights[name].flatten().tolist()]
        for name in ("pixel_mean", "pixel_std")
    )
    return InputFormat(
        order="BGR" if mean[0] <= mean[2] else "RGB",
        mean=mean,
        std=std,
        stride_in_1x1=min(std) <= 2,
    )


def _numbers(text: str, word: str) -> list[float]:
    """The numbers that follow ``word``: "mean subtracted 1 2 3" -> 1, 2, 3."""
    found = re.search(rf"\b{word}\b[a-z: ]*((?:\d+(?:\.\d+)?[ /]*)+)", text)
    return [float(number) for number in re.split(r"[ /]+", found[1].strip())] if found else []
