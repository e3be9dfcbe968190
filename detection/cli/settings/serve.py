"""The keys of serve.yaml."""

from typing import Annotated, Literal

from annotated_types import Ge, Le

from detection.cli.settings.detector import InPlaceOf
from detection.cli.settings.kinds import (
    NOT_REPEATED,
    Count,
    Images,
    Packages,
    Positive,
    Text,
    TextOrTexts,
    Thresholds,
    Whole,
)
from detection.cli.settings.node import Node
from detection.cli.settings.runtime import Runtime

Preset = Literal["single", "refine", "refine_vote", "multi_scale", "paper", "full", "modern_c4"]


class Limits(Node):
    waiting: Annotated[Whole, Ge(1), Le(10_000)]
    max_bytes: Count
    max_pixels: Count
    upload_seconds: Positive
    answer_seconds: Positive


class Serve(InPlaceOf):
    score_threshold: Thresholds | None
    runtime: Runtime
    checkpoint: TextOrTexts
    trust: Packages
    host: Text
    port: Annotated[Whole, Ge(0), Le(65_535)]
    names: Annotated[list[Text], NOT_REPEATED]
    open: bool
    steps: Annotated[list[Preset], NOT_REPEATED]
    batch_size: Images
    limits: Limits
