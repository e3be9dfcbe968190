"""The rows of a measurement as tables in Markdown."""

from __future__ import annotations

from collections.abc import Sequence

from detection.benchmarks.measurement import Row


def as_markdown(rows: Sequence[Row]) -> str:
    """A table of the rows, and others of their stages and of their neighbours, if there are any.

    "of the limit": the fraction of the ceiling of arithmetic, or else of the memory bandwidth.
    """
    lines = [
        "| | type | median | min | max | memory | x fastest peer | of the limit |",
        "|---|---|--:|--:|--:|--:|--:|--:|",
    ]
    for row in rows:
        times = [_milliseconds(s) for s in (row.median_s, row.min_s, row.max_s)]
        memory = "" if row.peak_mb is None else f"{row.peak_mb:.0f} MB"
        ratio = "" if row.ratio is None else f"{row.ratio:.2f}"
        limit = row.fraction_of_ceiling or row.fraction_of_bandwidth
        fraction = "" if limit is None else f"{limit:.0%}"
        cells = [row.name, row.dtype, *times, memory, ratio, fraction]
        lines.append("| " + " | ".join(cells) + " |")
    staged = [row for row in rows if row.stages_s]
    names = list(dict.fromkeys(stage for row in staged for stage in row.stages_s))
    if staged:
        lines += ["", "| | type | " + " | ".join(names) + " | the rest |"]
        lines.append("|---|---|" + "--:|" * (len(names) + 1))
    for row in staged:
        times = [_milliseconds(row.stages_s[n]) if n in row.stages_s else "" for n in names]
        rest = _milliseconds(max(0.0, row.median_s - sum(row.stages_s.values())))
        lines.append("| " + " | ".join([row.name, row.dtype, *times, rest]) + " |")
    noted = [row for row in rows if "times_quiet" in row.facts]
    if noted:
        lines += ["", "| | times quiet | of the better precision | chosen |", "|---|--:|--:|---|"]
    for row in noted:
        chosen = [f"{k}={row.facts[k]}" for k in ("precision", "OMP_WAIT_POLICY", "threads")
                  if k in row.facts]  # fmt: skip
        better = row.facts.get("of_better")
        of_better = "" if better is None else f"{better:.2f}"
        cells = [row.name, f"{row.facts['times_quiet']:.2f}", of_better, ", ".join(chosen)]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _milliseconds(seconds: float) -> str:
    return f"{1000 * seconds:.{1 if seconds >= 0.01 else 3}f} ms"
