"""What a reader finds out about a data set: what it repaired, and what it must refuse."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field

# The number of faults that a message lists.
SHOWN = 10
# Of one kind of repair, how many examples are kept.
KEPT = 500
# The faults of `collected`; None outside of it.
_COLLECTED: ContextVar[list[str] | None] = ContextVar("_COLLECTED", default=None)


@contextmanager
def collected() -> Iterator[list[str]]:
    """Within it faults are collected, and their objects left out, where they are raised otherwise.

    For a check, which is to find all of them: a reader would end at the first kind.
    """
    faults: list[str] = []
    token = _COLLECTED.set(faults)
    try:
        yield faults
    finally:
        _COLLECTED.reset(token)


def collect(faults: Iterable[str]) -> bool:
    """Whether the faults are collected; otherwise the caller raises them."""
    found = _COLLECTED.get()
    if found is None:
        return False
    found.extend(faults)
    return True


@dataclass(frozen=True)
class Oddity:
    """``count`` times something was otherwise than expected; ``example`` is the first of them.

    ``others``: those that follow it, a limited number.
    """

    kind: str
    count: int
    example: str
    others: tuple[str, ...] = field(default=(), compare=False, repr=False)

    def __str__(self) -> str:
        return f"{self.count} x {self.kind}: {self.example}"


class Findings:
    """Is filled while a data set is read, then `finish` is called once."""

    def __init__(self) -> None:
        self._counts: dict[str, int] = {}
        self._examples: dict[str, list[str]] = {}
        self._faults: list[str] = []

    def repaired(self, kind: str, example: str) -> None:
        """A safe repair was made, or something was left out that is no statement."""
        examples = self._examples.setdefault(kind, [])
        self._counts[kind] = self._counts.get(kind, 0) + 1
        if len(examples) < KEPT:
            examples.append(example)

    def all_repaired(self, kind: str, examples: Iterable[str]) -> None:
        for example in examples:
            self.repaired(kind, example)

    def refuse(self, fault: str) -> None:
        """``fault``: the file, the object, the rule and the value."""
        self._faults.append(fault)

    @property
    def oddities(self) -> tuple[Oddity, ...]:
        """In the order in which they were met first."""
        return tuple(
            Oddity(kind, self._counts[kind], first, tuple(others))
            for kind, (first, *others) in self._examples.items()
        )

    @property
    def has_faults(self) -> bool:
        return bool(self._faults)

    def finish(self) -> None:
        """Raises ValueError with all faults, if there are any."""
        if not self._faults or collect(self._faults):
            self._faults.clear()
            return
        if len(self._faults) == 1:
            raise ValueError(self._faults[0])
        shown = "\n  ".join(self._faults[:SHOWN])
        more = len(self._faults) - SHOWN
        tail = f"\n  ... and {more} more" if more > 0 else ""
        raise ValueError(f"{len(self._faults)} faults in the annotations:\n  {shown}{tail}")


def table(rows: Sequence[Sequence[object]]) -> list[str]:
    """The lines of a table; the first row is its head.  Numbers stand at the right."""
    texts = [[str(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*texts, strict=True)]
    right = [
        all(isinstance(cell, int) for cell in column) for column in zip(*rows[1:], strict=True)
    ]
    right = right or [False] * len(widths)
    return [
        "  "
        + "  ".join(
            text.rjust(width) if number else text.ljust(width)
            for text, width, number in zip(line, widths, right, strict=True)
        ).rstrip()
        for line in texts
    ]
