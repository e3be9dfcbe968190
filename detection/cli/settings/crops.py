"""``data.crop`` and ``views``: what a classifier sees of a picture."""

from collections.abc import Iterator, Set
from typing import Annotated, Any, ClassVar

from annotated_types import Ge, Le

from detection.cli.settings.kinds import (
    Colour,
    Fraction,
    Lengths,
    NotNegative,
    Pixels,
    RangeOfPixels,
    Whole,
)
from detection.cli.settings.node import Built, OneOf, Rule


class ScaleCrop(Built):
    target: ClassVar = "detection.classification.crops.ScaleCrop"
    side: Pixels
    shorter_sides: RangeOfPixels
    flip_probability: Fraction
    colour_std: NotNegative

    def broken(self, given: Set[str]) -> Iterator[Rule]:
        low, high = self.shorter_sides
        if not self.side <= low <= high:
            yield Rule(
                "shorter_sides",
                f"must be the lowest and the highest, in this order, and not below the crop's "
                f"side, {self.side}",
            )


class PaddedCrop(Built):
    target: ClassVar = "detection.classification.crops.PaddedCrop"
    side: Pixels
    padding: Annotated[Whole, Ge(0), Le(20_000)]
    flip_probability: Fraction
    fill: Colour


class CentreCrop(Built):
    target: ClassVar = "detection.classification.crops.CentreCrop"
    side: Pixels
    shorter_side: Pixels

    def broken(self, given: Set[str]) -> Iterator[Rule]:
        if self.side > self.shorter_side:
            yield Rule(
                "side",
                f"a crop does not fit into a picture whose shorter side is {self.shorter_side}: "
                "write at most shorter_side",
            )


class TenCrop(CentreCrop):
    target: ClassVar = "detection.classification.crops.TenCrop"


class FullyConvolutionalViews(Built):
    target: ClassVar = "detection.classification.crops.FullyConvolutionalViews"
    shorter_sides: Lengths


Crop = Annotated[Any, OneOf(ScaleCrop, PaddedCrop)]
Views = Annotated[Any, OneOf(CentreCrop, TenCrop, FullyConvolutionalViews)]
