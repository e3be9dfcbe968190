"""``runtime``: where and how a command computes."""

from typing import Annotated, Literal

from pydantic import StringConstraints

from detection.cli.settings.kinds import AsTyped, RegionsOrAuto, Winograd, Words, WorkersOrAuto
from detection.cli.settings.node import Node

Device = Annotated[
    str,
    StringConstraints(pattern=r"^(auto|cpu|cuda(:\d{1,3})?)$"),
    AsTyped(),
    Words("auto, cpu, cuda or cuda:<index>"),
]


class Runtime(Node):
    device: Device
    precision: Literal["auto", "fp32", "bf16"]
    deterministic: bool
    workers: WorkersOrAuto
    winograd: Winograd
    regions_at_once: RegionsOrAuto
