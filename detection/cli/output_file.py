"""The one file that a command writes, ``output=``."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from omegaconf import DictConfig


def output_file(config: DictConfig, reads: Iterable[Path]) -> Path:
    """``config.output``; ValueError if the command ``reads`` it, or if it is there already.

    ``config.overwrite`` allows the latter.
    """
    output = Path(config.output)
    for path in reads:
        same = path.samefile(output) if path.exists() and output.exists() else False
        if same or path.resolve() == output.resolve():
            raise ValueError(
                f"output={output} is read, too, and would be overwritten; choose another file"
            )
    if output.exists() and not config.overwrite:
        raise ValueError(
            f"{output} exists: replace it with overwrite=true, or choose another output"
        )
    return output
