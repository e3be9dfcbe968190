"""What the files of others do not hold: the configurations that imported checkpoints start from.

They are those of configs/ (``experiment=modern_c4``, and configs/classifier.yaml), written into
presets.json by docs/generate_configuration.py, so that weights are imported below the door, too.
"""

from __future__ import annotations

import json
from pathlib import Path

from detection.weights.import_backbone import ClassifierPreset
from detection.weights.import_detector import DetectorPreset

_FILE = Path(__file__).with_name("presets.json")


def detector_preset() -> DetectorPreset:
    """``modern_c4``: the configuration of detectron2's C4 detectors."""
    return DetectorPreset(**json.loads(_FILE.read_text(encoding="utf-8"))["detector"])


def classifier_preset() -> ClassifierPreset:
    return ClassifierPreset(**json.loads(_FILE.read_text(encoding="utf-8"))["classifier"])
