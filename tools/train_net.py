"""See detection/cli/train_net.py, or --help."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from detection.cli.launch import launch
from detection.cli.train_net import main

if __name__ == "__main__":
    launch(main, config="train")
