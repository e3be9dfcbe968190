"""A short run of the soak test: that it measures, and that it can find a leak."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.soak.run import MOST_GROWTH, growth, watch

# 40 MB more while it counts ten lines; the sleeps are for the samples, five a second where the
# machine is quiet.  It waits longer at the end of each quarter that is compared: a busy machine
# samples late.
HOARDER = """
import sys, time
kept = []
with open(sys.argv[1], "w") as file:
    for number in range(10):
        kept.append(bytearray(b"x" * (4 << 20)))
        print(number, file=file, flush=True)
        time.sleep(2 if number in (4, 9) else 0.25)
"""


def test_what_grows_is_a_leak() -> None:
    flat = [(done, 100.0 + done % 2) for done in range(1, 41)]
    before, after = growth(flat, 40)
    assert after / before - 1 <= MOST_GROWTH
    before, after = growth([(done, 100.0 + done / 8) for done in range(1, 41)], 40)
    assert (before, after) == (100.0 + 15.5 / 8, 100.0 + 35.5 / 8)
    assert after / before - 1 > MOST_GROWTH
    # What it takes to begin with, as its caches fill, is none.
    early = [(done, min(60.0 + 10 * done, 100.0)) for done in range(1, 41)]
    assert growth(early, 40) == (100.0, 100.0)


@pytest.mark.slow
def test_memory_is_that_of_the_process_while_it_works(tmp_path: Path) -> None:
    program, lines = tmp_path / "hoarder.py", tmp_path / "lines"
    program.write_text(HOARDER)
    samples, peak = watch([str(program), str(lines)], lines, module=())
    before, after = growth(samples, 10)
    assert 12 < after - before < 40
    assert peak >= after


@pytest.mark.slow
def test_a_failure_is_said_with_its_words(tmp_path: Path) -> None:
    program = tmp_path / "failing.py"
    program.write_text("raise SystemExit('no such thing')")
    with pytest.raises(RuntimeError, match="no such thing"):
        watch([str(program)], tmp_path / "lines", module=())
