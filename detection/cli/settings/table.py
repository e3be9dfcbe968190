"""Which settings belong to which file of configs/."""

from __future__ import annotations

import importlib

from detection.cli.settings.node import Node

# File of configs/ -> (file of this folder, its class).  A command imports the one that it needs.
SETTINGS = {
    "alternating": ("train", "Alternating"),
    "benchmark": ("benchmark", "Benchmark"),
    "bn_statistics": ("classifier", "BNStatistics"),
    "check": ("files", "Check"),
    "classifier": ("classifier", "TrainClassifier"),
    "compare": ("comparisons", "Compare"),
    "degradation": ("comparisons", "Degradation"),
    "demo": ("comparisons", "Demo"),
    "detect": ("detector", "Detect"),
    "env": ("files", "Env"),
    "export_weights": ("files", "ExportWeights"),
    "import_weights": ("files", "ImportWeights"),
    "localizer": ("localizer", "TrainLocalizer"),
    "plot_curves": ("files", "PlotCurves"),
    "propose": ("detector", "Propose"),
    "responses": ("classifier", "Responses"),
    "serve": ("serve", "Serve"),
    "show_data": ("show_data", "ShowData"),
    "test": ("detector", "Test"),
    "test_classifier": ("classifier", "TestClassifier"),
    "test_localizer": ("localizer", "TestLocalizer"),
    "train": ("train", "TrainNet"),
    "weights": ("files", "Weights"),
}


def settings_of(config: str) -> type[Node] | None:
    """The class of configs/<config>.yaml; None for a file of the user's own."""
    if config not in SETTINGS:
        return None
    module, name = SETTINGS[config]
    return getattr(importlib.import_module(f"detection.cli.settings.{module}"), name)
