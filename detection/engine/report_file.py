"""report.html at the end of a training or a test: how good, on what, why not better, what next."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from pathlib import Path

from detection.evaluation.coco_arrays import GroundTruth
from detection.report.browser import open_in_browser
from detection.report.comparison import OtherRun
from detection.report.measure import Measured, measure_report
from detection.report.other_runs import read_run
from detection.report.page import write_report
from detection.version import __version__

log = logging.getLogger("test")

REPORT = "report.html"


def write_report_file(measured: Measured, folder: Path, *, opened: bool = False) -> None:
    """``folder``/report.html; ``opened``: in the browser, too.

    A run that came to its end is not lost with its report: what is wrong is a warning.
    """
    path = folder / REPORT
    path.unlink(missing_ok=True)  # that of a run before
    try:
        write_report(path, measure_report(measured))
    except Exception as error:
        log.warning("%s is not written: %s: %s", path, type(error).__name__, error)
        log.debug("", exc_info=True)
        return
    log.info("report: %s", path)
    if opened:
        open_in_browser(path)


def read_runs(paths: Sequence[Path], ground_truth: GroundTruth) -> list[OtherRun]:
    """The runs to compare with, each under the name of its folder, or its path if that is not one.

    Raises ValueError for what is no run, or one on other pictures.
    """
    runs = [read_run(path, ground_truth) for path in paths]
    names = [path.name for path in paths]
    named = [
        path.name if names.count(path.name) == 1 and path.name else str(path) for path in paths
    ]
    return [
        OtherRun(name=name, detections=run.detections, AP=run.AP)
        for name, run in zip(named, runs, strict=True)
    ]


def common_facts(*, seconds_per_image: float | None, device: str | None) -> dict[str, str]:
    """Of every report."""
    facts = {}
    if seconds_per_image is not None:
        digits = ".0f" if seconds_per_image >= 10 else ".2g"
        facts["seconds per picture"] = format(seconds_per_image, digits)
    if device is not None:
        facts["device"] = device
    return {
        **facts,
        "written": time.strftime("%Y-%m-%d %H:%M"),
        "version": f"detection {__version__}",
    }
