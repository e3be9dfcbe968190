"""All that is wrong with a configuration, in one error."""

from __future__ import annotations

from collections.abc import Iterable


class WrongConfiguration(ValueError):
    """``problems``: a line each.  ``overrides``: those that fit no key or file at all."""

    def __init__(self, problems: Iterable[str], *, overrides: Iterable[str] = ()) -> None:
        self.problems = [*problems]
        self.overrides = {*overrides}
        super().__init__(_together(self.problems))


def _together(problems: list[str]) -> str:
    if len(problems) == 1:
        return problems[0]
    lines = "".join(f"\n  {problem}" for problem in problems)
    return f"{len(problems)} values of the configuration are wrong:{lines}"
