"""Class names as a shell and the command line take them."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Sequence

_PLAIN = re.compile(r"[A-Za-z0-9_./-]+( [A-Za-z0-9_./-]+)*")


def classes_override(names: Sequence[str]) -> str:
    """'data.classes=[stop sign,car]', to be copied into a shell as it stands."""
    words = [n if _PLAIN.fullmatch(n) else json.dumps(n, ensure_ascii=False) for n in names]
    return shlex.quote(f"data.classes=[{','.join(words)}]")
