"""``data``: a detector's data set and what is done to its pictures."""

from collections.abc import Iterator, Set
from typing import Literal

from pydantic import ConfigDict, Field

from detection.cli.settings.kinds import (
    File,
    Folder,
    Fraction,
    Lengths,
    Pixels,
    PixelsOrZero,
    PositiveFraction,
    Text,
    TextOrTexts,
    Texts,
)
from detection.cli.settings.node import Node, Rule


class Format(Node):
    """A class of the user's, with whatever it takes; null: the format is recognised."""

    model_config = ConfigDict(extra="allow")
    target: Text | None = Field(alias="_target_")


class DetectionData(Node):
    root: Folder
    format: Format
    train_split: TextOrTexts
    val_split: TextOrTexts
    split_file: File | None
    classes: Texts | None
    allow_outside: bool
    invalid_boxes: Literal["clip", "error", "repair"]
    ignore_crowd: bool
    ignore_difficult: bool
    train_on_empty: bool
    repeat_threshold: Fraction
    shorter_sides: Lengths
    test_shorter_side: Pixels
    longest: Pixels
    size_step: PixelsOrZero
    flip_probability: Fraction
    crop_probability: Fraction
    crop_least: PositiveFraction
    colour: Fraction

    def broken(self, given: Set[str]) -> Iterator[Rule]:
        most = min(*self.shorter_sides, self.longest)
        if self.size_step > most:
            yield Rule(
                "size_step",
                f"pictures have sides of {most} pixels, fewer than one step: write at most {most}, "
                "or 0 for sides of any length",
            )
