"""See detection/benchmarks/benchmark.py, or --help."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from detection.cli.main import run

if __name__ == "__main__":
    run("benchmark", sys.argv[0], sys.argv[1:])
