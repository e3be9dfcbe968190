"""The one file that a command writes, ``output=``."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from omegaconf import DictConfig


def output_file(config: DictConfig, reads: Iterable[Path]) -> Path:
    """``config.output``; raises ValueError if it is one of the files that the command ``reads``."""
    output = Path(config.output)
    for path in reads:
        same = path.samefile(output) if path.exists() and output.exists() else False
        if same or path.resolve() == output.resolve():
            raise ValueError(
                f"output={output} is read, too, and would be overwritten; choose another file"
            )
    return output
