"""``model.backbone``: the networks of the paper."""

from collections.abc import Iterator, Set
from typing import Annotated, ClassVar, Literal

from annotated_types import Len
from pydantic import AfterValidator

from detection.cli.settings.kinds import WHOLE, BelowOne, Bins, Channels, Stages, Whole, Words
from detection.cli.settings.node import Built, Rule

Norm = Literal["frozen", "trained", "trained_extra"]
Shortcut = Literal["A", "B", "C", "none"]


def _six_n_plus_two(depth: int) -> int:
    if not 8 <= depth <= 5000 or (depth - 2) % 6:
        raise ValueError("not 6n + 2")
    return depth


class ResNet(Built):
    target: ClassVar = "detection.model.resnet.ResNet"
    depth: Annotated[Literal[18, 34, 50, 101, 152], WHOLE]
    stride_in_1x1: bool
    norm: Norm
    frozen_stages: Stages
    bin_step: Annotated[Literal[1, 2], WHOLE]
    shortcut: Shortcut = "B"

    def broken(self, given: Set[str]) -> Iterator[Rule]:
        if self.bin_step == 2 and (self.depth < 50 or not self.stride_in_1x1):
            yield Rule(
                "bin_step",
                f"leaves out bins that conv5_1 of ResNet-{self.depth} reads: it needs 50 layers or "
                "more, and stride_in_1x1=true; write model.backbone.bin_step=1",
            )


class VGG16(Built):
    target: ClassVar = "detection.model.vgg.VGG16"
    frozen_stages: Stages
    dropout: BelowOne
    pooled_size: Bins


class VGG19(VGG16):
    target: ClassVar = "detection.model.vgg.VGG19"


class CifarResNet(Built):
    target: ClassVar = "detection.classification.cifar.CifarResNet"
    depth: Annotated[
        Whole, AfterValidator(_six_n_plus_two), Words("6n + 2: 20, 32, 44, 56, 110 or 1202")
    ]
    widths: Annotated[list[Channels], Len(3, 3)]
    shortcut: Shortcut
    norm: Norm
