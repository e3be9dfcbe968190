"""A data set as one page to look at: python tools/show_data.py data.root=/path/to/dataset

Its pictures with their boxes, what is in it, what its reader repaired or refuses.  With batches=2
also mini-batches as training gets them: the training's own loader, augmentation and recipe.

Leaves in output_dir: data.html
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from omegaconf import DictConfig

from detection.cli.data_sets import formats, open_split
from detection.cli.given import texts
from detection.cli.shown_batches import shown_batches
from detection.data.audit.audit import unions_of
from detection.data.findings import collected
from detection.data.formats.open import available_splits
from detection.data.picture_files import listed_once
from detection.engine.output_folder import OutputFolder
from detection.report.browser import open_in_browser
from detection.report.data_page import write_data_page
from detection.report.measure_data import CHARACTERS, Look, measure_data
from detection.report.reader_findings import SplitFindings
from detection.user_path import user_path
from detection.version import __version__

log = logging.getLogger("show")

PAGE = "data.html"


def main(config: DictConfig) -> None:
    path = Path(config.output_dir) / PAGE
    reads = [Path(name) for name in (config.checkpoint, config.weights, config.init) if name]
    folder = OutputFolder(
        path=path.parent, command="show_data", files=(PAGE,), reads=reads, can_resume=False
    )
    with folder.taken(overwrite=config.overwrite):
        splits = read_splits(config)
        batches = shown_batches(config) if config.batches else None
        used = 0 if batches is None else len(json.dumps(asdict(batches)))
        look = Look(
            most=config.max_images,
            seed=config.seed,
            ignore_crowd=config.data.ignore_crowd,
            ignore_difficult=config.data.ignore_difficult,
            characters=CHARACTERS - used,
        )
        root = user_path(config.data.root)
        page = measure_data(root.resolve().name, _facts(root, splits), splits, look, batches)
        write_data_page(path, page)
    log.info("%s", path)
    if config.open:
        open_in_browser(path)


def read_splits(config: DictConfig) -> list[SplitFindings]:
    """The splits that ``config`` names, or all there are, each with what its reader refuses.

    Raises ValueError, with the first thing that is wrong, if none can be read.
    """
    data = config.data
    if config.split is None:
        root = user_path(data.root)
        names: Sequence[str] = available_splits(
            root, formats(data), allow_outside=data.allow_outside
        )
    else:
        names = texts(config.split)
    found = []
    with listed_once():
        for name in names or texts(data.train_split):
            dataset = None
            with collected() as faults:
                try:
                    dataset = open_split(data, name)
                except (OSError, ValueError) as error:
                    faults.append(str(error))
            found.append(SplitFindings(name, dataset, list(faults)))
    if config.split is None:
        # VOC's trainval would show all pictures a second time.
        paths = {
            one.split: {example.path for example in one.dataset.examples}
            for one in found
            if one.dataset is not None
        }
        unions = unions_of(paths)
        found = [one for one in found if one.split not in unions]
    if all(one.dataset is None for one in found):
        raise ValueError(found[0].refused[0])
    return found


def _facts(root: Path, splits: Sequence[SplitFindings]) -> dict[str, str]:
    read = [one.dataset for one in splits if one.dataset is not None]
    return {
        "data set": str(root),
        "format": ", ".join(dict.fromkeys(dataset.format for dataset in read)),
        "written": time.strftime("%Y-%m-%d %H:%M"),
        "version": f"detection {__version__}",
    }
