"""``model.pixels``: what is done to the pixels before a network."""

from typing import Annotated, ClassVar, Literal

from annotated_types import Len

from detection.cli.settings.kinds import Colour, Pixels, Positive
from detection.cli.settings.node import Built


class PixelFormat(Built):
    target: ClassVar = "detection.model.pixels.PixelFormat"
    order: Literal["BGR", "RGB"]
    mean: Colour
    std: Annotated[list[Positive], Len(3, 3)]


class PerPixelMean(Built):
    target: ClassVar = "detection.model.pixels.PerPixelMean"
    side: Pixels
