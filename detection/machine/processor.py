"""The processor and the memory of this machine, by name."""

from __future__ import annotations

import platform
import re
from pathlib import Path

# What convolutions and matrix products run on, as /proc/cpuinfo calls it.
INSTRUCTIONS = (
    *("avx2", "fma", "avx512f", "avx512_vnni", "avx512_bf16", "avx512_fp16", "avx_ne_convert"),
    *("amx_tile", "amx_bf16", "amx_int8", "asimd", "asimddp", "sve", "sve2", "bf16", "i8mm"),
)
COMPUTES_BF16 = ("avx512_bf16", "avx_ne_convert", "amx_bf16", "bf16")


def processor_name(root: Path = Path("/")) -> str:
    """As its maker calls it, where the kernel says so; else the architecture."""
    found = _cpuinfo("model name", root)
    return found or platform.processor() or platform.machine() or "unknown"


def instruction_sets(root: Path = Path("/")) -> tuple[str, ...]:
    """Those of INSTRUCTIONS that the processor has; () where the kernel does not say."""
    flags = f"{_cpuinfo('flags', root)} {_cpuinfo('Features', root)}".split()
    return tuple(name for name in INSTRUCTIONS if name in flags)


def memory(root: Path = Path("/")) -> tuple[float, float] | None:
    """(all, available) in GB; None where the kernel does not say."""
    try:
        lines = (root / "proc/meminfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    values = dict(line.split(":", 1) for line in lines if ":" in line)
    try:
        total, free = (values[key].split()[0] for key in ("MemTotal", "MemAvailable"))
    except (KeyError, IndexError):
        return None
    return int(total) / 1e6, int(free) / 1e6


def _cpuinfo(key: str, root: Path) -> str:
    try:
        text = (root / "proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    found = re.search(rf"^{key}\s*:\s*(.*)$", text, re.MULTILINE)
    return found[1].strip() if found else ""
