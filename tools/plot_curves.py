"""See detection/cli/plot_curves.py, or --help."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from detection.cli.launch import launch
from detection.cli.plot_curves import main

if __name__ == "__main__":
    launch(main, config="plot_curves")
