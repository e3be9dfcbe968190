"""See detection/cli/train_localizer.py, or --help."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from detection.cli.commands import COMMANDS
from detection.cli.launch import launch

if __name__ == "__main__":
    launch(COMMANDS["train-localizer"], sys.argv)
