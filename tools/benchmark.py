"""See benchmarks/benchmark.py, or --help."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from detection.cli.commands import Command
from detection.cli.launch import launch

if __name__ == "__main__":
    # Not one of the package's commands: the peers' side of it stays in the repository.
    benchmark = Command(
        name="benchmark",
        module="benchmarks.benchmark",
        config="benchmark",
        help="times against peers",
    )
    launch(benchmark, sys.argv)
