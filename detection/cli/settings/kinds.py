"""The kinds of values: types with their ranges, which all settings are put together from.

An upper limit is where memory would burst, or a number can only be a slip of the keyboard.  These
files name their types in full, without ``from __future__ import annotations``: pydantic would
compile each one again, at each start.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, Literal

from annotated_types import Ge, Gt, Le, Len, Lt, MinLen
from pydantic import AfterValidator, AllowInfNan, BeforeValidator

# More of anything that is counted would take years.
MANY = 1_000_000_000


@dataclass(frozen=True)
class Words:
    """What a kind is called, where its type does not say it."""

    text: str


@dataclass(frozen=True)
class AsTyped:
    """A text even where it reads like a number, true or null: a class may be called 0."""


@dataclass(frozen=True)
class OrInfinity:
    """A number that may be .inf."""


def _whole(value: Any) -> Any:
    """9e3 is a whole number, too."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _as_list(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


def _without_duplicates(values: Sequence[Any]) -> Sequence[Any]:
    if len({repr(value) for value in values}) < len(values):
        raise ValueError("duplicates")
    return values


def _ascending(values: Sequence[float]) -> Sequence[float]:
    if any(low >= high for low, high in itertools.pairwise(values)):
        raise ValueError("not ascending")
    return values


def _text_or_texts(value: Any) -> Any:
    texts = value if isinstance(value, list) else [value]
    if not texts or not all(isinstance(text, str) and text for text in texts):
        raise ValueError("no text")
    return _without_duplicates(texts) and value


def _auto_or_whole(value: Any, *, least: int, most: int) -> Any:
    number = _whole(value)
    if value != "auto" and not (type(number) is int and least <= number <= most):
        raise ValueError("neither auto nor a number")
    return number


def _winograd(value: Any) -> Any:
    channels = value if isinstance(value, list) else []
    are_channels = all(type(each) is int and each > 0 for each in channels)
    if not (value == "auto" or isinstance(value, (bool, list))) or not are_channels:
        raise ValueError("neither auto, true, false nor channels")
    return _without_duplicates(channels) and value if channels else value


def _thresholds(value: Any) -> Any:
    """One fraction, or class name -> fraction."""
    each = list(value.values()) if isinstance(value, dict) else [value]
    numbers = [one for one in each if isinstance(one, (int, float)) and not isinstance(one, bool)]
    if not each or len(numbers) < len(each) or not all(0 <= one <= 1 for one in numbers):
        raise ValueError("no fractions")
    return value


NOT_REPEATED = AfterValidator(_without_duplicates)
ASCENDING = AfterValidator(_ascending)
WHOLE = BeforeValidator(_whole)
ALONE = BeforeValidator(_as_list)  # one item needs no brackets

Whole = Annotated[int, WHOLE]
Count = Annotated[Whole, Ge(1), Le(MANY)]
CountOrZero = Annotated[Whole, Ge(0), Le(MANY)]
Images = Annotated[Whole, Ge(1), Le(65_536)]  # of a mini-batch
Regions = Annotated[Whole, Ge(1), Le(1_000_000)]
Pixels = Annotated[Whole, Ge(1), Le(20_000)]
PixelsOrZero = Annotated[Whole, Ge(0), Le(20_000)]
Channels = Annotated[Whole, Ge(1), Le(16_384)]
Bins = Annotated[Whole, Ge(1), Le(64)]
Classes = Annotated[Whole, Ge(1), Le(100_000)]
Workers = Annotated[Whole, Ge(0), Le(512)]
WorkersOrAuto = Annotated[
    Any,
    AfterValidator(partial(_auto_or_whole, least=0, most=512)),
    Words("auto, or a whole number from 0 to 512"),
]
RegionsOrAuto = Annotated[
    Any,
    AfterValidator(partial(_auto_or_whole, least=1, most=1_000_000)),
    Words("auto, or a whole number from 1 to 1000000"),
]
Winograd = Annotated[
    Any,
    AfterValidator(_winograd),
    Words("auto, true, false, or a list [...] of numbers of channels without duplicates"),
]
Seed = Annotated[Whole, Ge(0), Le(4_294_967_295)]

Number = Annotated[float, AllowInfNan(False)]
Positive = Annotated[Number, Gt(0)]
PositiveOrInfinite = Annotated[float, AllowInfNan(True), Gt(0), OrInfinity()]
NotNegative = Annotated[Number, Ge(0)]
Fraction = Annotated[Number, Ge(0), Le(1)]
PositiveFraction = Annotated[Number, Gt(0), Le(1)]
Thresholds = Annotated[
    Any,
    AfterValidator(_thresholds),
    Words("a number from 0 to 1, or a table {class: number} of them"),
]
BelowOne = Annotated[Number, Ge(0), Lt(1)]
Level = Annotated[Number, Ge(0), Le(255)]  # of a pixel

Text = Annotated[str, MinLen(1), AsTyped()]
File = Annotated[str, MinLen(1), AsTyped(), Words("a file")]
Folder = Annotated[str, MinLen(1), AsTyped(), Words("a folder")]
Path = Annotated[str, MinLen(1), AsTyped(), Words("a file or a folder")]
TextOrTexts = Annotated[
    Any,
    AfterValidator(_text_or_texts),
    AsTyped(),
    Words("a text, or a list of texts without duplicates"),
]
Texts = Annotated[list[Text], MinLen(1), NOT_REPEATED]
Packages = Annotated[list[Text], NOT_REPEATED]
Overrides = list[Annotated[str, MinLen(1)]]

Lengths = Annotated[list[Pixels], Len(1, 100)]
LengthsAscending = Annotated[list[Pixels], Len(0, 100), ASCENDING]
Milestones = Annotated[list[Count], Len(0, 1000), ASCENDING]
RangeOfPixels = Annotated[list[Pixels], Len(2, 2)]
RangeOfIoU = Annotated[list[Fraction], Len(2, 2), ASCENDING]
Colour = Annotated[list[Level], Len(3, 3)]
Counts = Annotated[list[Count], Len(1, 100), NOT_REPEATED]

Stage = Literal["conv1", "conv2", "conv3", "conv4", "conv5"]
Stages = Annotated[list[Stage], NOT_REPEATED]
WrittenFormat = Literal["coco", "csv", "yolo", "voc", "crops"]
LoggerName = Literal["tensorboard", "wandb", "mlflow", "none"]
Loggers = Annotated[list[LoggerName], MinLen(1), ALONE, NOT_REPEATED]
Backend = Literal["hotcoco", "pycocotools"]
DType = Literal["float32", "bfloat16"]
DTypes = Annotated[list[DType], MinLen(1), NOT_REPEATED]
OperatorDTypes = Annotated[list[Literal[DType, "float16"]], MinLen(1), NOT_REPEATED]
