"""What a check has to say of a data set: which rules are broken, how often, and where."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from detection.data.audit.rules import RULES, SEVERITIES, Severity

# So many places of a rule are printed; the JSON has them all.
SHOWN = 5


@dataclass
class Remark:
    """``rule``: of RULES, broken at ``places`` in ``split``; "": in the data set as a whole."""

    rule: str
    split: str
    places: list[str] = field(default_factory=list)

    @property
    def severity(self) -> Severity:
        return RULES[self.rule].severity

    def lines(self) -> Iterator[str]:
        """For a reader, the first places alone."""
        rule = RULES[self.rule]
        where = f"{self.split}: " if self.split else ""
        remedy = f"; {rule.remedy}" if rule.remedy else ""
        head = f"{where}{len(self.places)} x {rule.what}{remedy}"
        places = self.places[:SHOWN]
        if rule.is_told:
            yield from (f"{where}{place}" for place in places)
        elif len(self.places) == 1:
            yield f"{head}: {places[0]}"
        else:
            yield f"{head}:"
            yield from (f"  {place}" for place in places)
        if len(self.places) > SHOWN:
            yield f"  ... and {len(self.places) - SHOWN} more"

    def entry(self) -> dict[str, Any]:
        rule = RULES[self.rule]
        return {
            "severity": rule.severity,
            "rule": self.rule,
            "split": self.split or None,
            "what": rule.what,
            "remedy": rule.remedy or None,
            "count": len(self.places),
            "places": self.places,
        }


class Remarks:
    """Is filled by the checks one after the other; nothing in it ends a check."""

    def __init__(self) -> None:
        self._remarks: dict[tuple[str, str], Remark] = {}

    def add(self, rule: str, split: str, *places: str) -> None:
        """``rule`` is broken at each of ``places``; without any there is nothing to say."""
        assert rule in RULES
        if places:
            remark = self._remarks.setdefault((rule, split), Remark(rule, split))
            remark.places.extend(places)

    def __iter__(self) -> Iterator[Remark]:
        """The worst first; in the order in which they were met."""
        for severity in SEVERITIES:
            yield from (one for one in self._remarks.values() if one.severity == severity)

    def of(self, severity: Severity) -> list[Remark]:
        return [one for one in self if one.severity == severity]

    def count(self, severity: Severity) -> int:
        """The places, not the rules."""
        return sum(len(one.places) for one in self.of(severity))

    def counted(self, severity: Severity) -> str:
        number = self.count(severity)
        return f"{number} {severity}{'' if number == 1 else 's'}"

    def text(self, *severities: Severity) -> str:
        """The remarks of these severities, a heading before each of them."""
        lines: list[str] = []
        for severity in severities:
            found = self.of(severity)
            if found:
                lines.append(f"{self.counted(severity)}:")
                lines += [f"  {line}" for one in found for line in one.lines()]
        return "\n".join(lines)
