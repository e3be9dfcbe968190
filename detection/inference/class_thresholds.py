"""Score thresholds by the names of classes."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from numbers import Real


def class_thresholds(
    given: Mapping[str, float],
    class_names: Sequence[str],
    *,
    others: float | Sequence[float],
    key: str,
) -> tuple[float, ...]:
    """One threshold for each class: that of ``given``, or else that of ``others``.

    ``key``: what ``given`` is the value of, for messages.
    Raises ValueError for a name that is no class, naming the nearest one, and for what is not a
    number in [0, 1].
    """
    for name, value in given.items():
        if name not in class_names:
            folded = {known.casefold(): known for known in class_names}
            near = difflib.get_close_matches(name.casefold(), folded, n=1, cutoff=0.5)
            hint = f"; did you mean {folded[near[0]]!r}?" if near else f": {_some(class_names)}"
            raise ValueError(f"{key}: {name!r} is none of the detector's classes{hint}")
        is_number = isinstance(value, Real) and not isinstance(value, bool)
        if not is_number or not 0 <= value <= 1:
            raise ValueError(f"{key}: {name} must lie in [0, 1], got {value!r}")
    rest = list(others) if isinstance(others, Sequence) else [others] * len(class_names)
    return tuple(float(given.get(n, other)) for n, other in zip(class_names, rest, strict=True))


def _some(class_names: Sequence[str]) -> str:
    return ", ".join(class_names[:10]) + (" ..." if len(class_names) > 10 else "")
