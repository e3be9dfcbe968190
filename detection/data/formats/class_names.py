"""Names of classes that differ in case alone: one `Person` among many `person`."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from detection.data.findings import Findings


def in_the_case_of(
    known: Sequence[str], names: Mapping[str, str], findings: Findings
) -> dict[str, str]:
    """Each name -> itself, or the one of ``known`` from which it differs in case alone.

    Of a data set with another class than ``known``, all stay what they are, for it has classes of
    its own.  ``names``: each with the place where it stands first.
    """
    folded = {name.casefold(): name for name in known}
    if not {name.casefold() for name in names} <= folded.keys():
        say_alike(names, findings)
        return {name: name for name in names}
    for name, where in names.items():
        if name not in known:
            meant = folded[name.casefold()]
            findings.repaired("class name in another case", f"{name!r} for {meant!r} in {where}")
    return {name: folded[name.casefold()] for name in names}


def say_alike(names: Iterable[str], findings: Findings) -> None:
    """Says which names could be one class; they stay several."""
    alike = defaultdict(list)
    for name in sorted(set(names)):
        alike[name.casefold()].append(name)
    for several in alike.values():
        if len(several) > 1:
            findings.repaired(
                "classes whose names differ in case alone, kept apart", ", ".join(several)
            )
