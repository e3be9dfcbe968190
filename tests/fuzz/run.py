"""Mutated inputs over all readers: python tests/fuzz/run.py --cases 10000 --seed 0

Case n of a seed is always the same: --first n --cases 1 repeats it, and --keep FOLDER writes it.
Ends with 1 if something is wrong.
"""

from __future__ import annotations

import argparse
import faulthandler
import json
import random
import resource
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.fuzz.mutations import mutate
from tests.fuzz.readers import READERS
from tests.fuzz.seeds import Files, make_seeds
from tests.fuzz.watch import SECONDS, Watch

_OF_A_PROCESS = 500
# Address space beyond what the libraries have taken.
_ADDRESSES = 3 << 30


def make_case(seeds: dict[str, Files], seed: int, number: int) -> tuple[str, Files]:
    """The name of the seed and the mutated files."""
    rng = random.Random(f"{seed}-{number}")
    name = list(seeds)[number % len(seeds)]
    files = dict(seeds[name])
    for changed in rng.sample(sorted(files), rng.choice((1, min(2, len(files))))):
        files[changed] = mutate(files[changed], rng)
    return name, files


def work(first: int, last: int, seed: int) -> None:
    """A line of JSON before each case, with what was wrong with the one before."""
    seeds = make_seeds()
    watch = Watch()
    for name, files in seeds.items():  # whole: what is imported late is imported now
        watch.case(READERS[name.split()[0]], files)
    pages = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (pages + _ADDRESSES, pages + _ADDRESSES))
    for number in range(first, last):
        name, files = make_case(seeds, seed, number)
        print(json.dumps({"case": number, "of": name}), flush=True)
        faulthandler.dump_traceback_later(SECONDS * 2, exit=True)
        wrong = watch.case(READERS[name.split()[0]], files)
        faulthandler.cancel_dump_traceback_later()
        if wrong:
            print(json.dumps({"case": number, "of": name, "wrong": wrong}), flush=True)


def run(cases: int, seed: int, first: int = 0) -> list[str]:
    """What was found, a line each."""
    found: list[str] = []
    last = first + cases
    while first < last:
        end = min(first + _OF_A_PROCESS, last)
        command = [sys.executable, __file__, "--work", "--first", str(first)]
        command += ["--cases", str(end - first), "--seed", str(seed)]
        process = subprocess.run(command, capture_output=True, text=True)
        lines = [json.loads(line) for line in process.stdout.splitlines() if line[:2] == '{"']
        found += [f"{x['case']} ({x['of']}): {x['wrong']}" for x in lines if "wrong" in x]
        if process.returncode:
            said = (process.stderr.strip().splitlines() or [""])[-1]
            at = lines[-1] if lines else {"case": first, "of": "start"}
            found.append(f"{at['case']} ({at['of']}): ended with {process.returncode}: {said:.300}")
            end = at["case"] + 1
        first = end
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--keep", type=Path, help="write the case --first into this folder")
    parser.add_argument("--work", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.work:
        work(given.first, given.first + given.cases, given.seed)
        return 0
    if given.keep:
        for name, data in make_case(make_seeds(), given.seed, given.first)[1].items():
            (given.keep / name).parent.mkdir(parents=True, exist_ok=True)
            (given.keep / name).write_bytes(data)
        return 0
    started = time.monotonic()
    found = run(given.cases, given.seed, given.first)
    print("\n".join(found))
    kinds = Counter(line.partition("): ")[2][:60] for line in found)
    print("\n".join(f"{count} x {kind}" for kind, count in kinds.most_common()))
    print(f"{given.cases} cases, {len(found)} findings, {time.monotonic() - started:.0f} s")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
