"""Files of ``torch.save``, where the disk may be full."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch


class _Output:
    """Writes to a file, and keeps the error that torch turns into one of its own.

    ``fault``: the first one.
    """

    def __init__(self, path: Path) -> None:
        self._file = path.open("wb")
        self.fault: OSError | None = None

    def write(self, data: bytes) -> int:
        try:
            return self._file.write(data)
        except OSError as error:
            self.fault = self.fault or error
            raise

    def flush(self) -> None:
        self._file.flush()

    def close(self) -> None:
        self._file.close()


def save(content: Any, path: Path) -> None:
    """``torch.save``; OSError, as of any other file, where torch raises a RuntimeError."""
    output = _Output(path)
    try:
        torch.save(content, output)  # type: ignore[arg-type]
        output.flush()
    except RuntimeError:
        if output.fault is None:
            raise
        raise output.fault from None
    finally:
        output.close()
