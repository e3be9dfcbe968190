"""A short run of the fuzzer; and that it can find something."""

from __future__ import annotations

import pytest

from tests.fuzz.run import run


@pytest.mark.slow
def test_mutated_inputs_are_read_or_refused_in_a_line() -> None:
    assert run(cases=150, seed=1) == []
