"""Reads a data set once, pictures and all, and lists what is wrong with it.

python tools/check_dataset.py data.root=/path/to/dataset
"""

from __future__ import annotations

import logging
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from omegaconf import DictConfig
from tqdm import tqdm

from detection.cli.objects import formats, open_split
from detection.data.dataset import Example
from detection.data.formats.open import available_splits
from detection.data.image import read_image
from detection.data.loader import check_size

log = logging.getLogger("check")


def main(config: DictConfig) -> None:
    root = Path(config.data.root)
    splits = list(config.splits) if config.splits else available_splits(root, formats(config.data))
    problems: list[str] = []
    for split in splits or [config.data.train_split]:
        try:
            dataset = open_split(config.data, split)
        except (FileNotFoundError, ValueError) as error:
            problems.append(str(error))
            continue
        log.info("%s", dataset.report())
        with ThreadPoolExecutor(max(config.workers, 1)) as pool:
            checks = pool.map(_problem, dataset.examples)
            found = tqdm(checks, total=len(dataset), unit="img", desc=split)
            problems += [problem for problem in found if problem]
    if len(problems) == 1:
        raise ValueError(problems[0])
    if problems:
        raise ValueError("\n".join([f"{len(problems)} problems:", *problems]))
    log.info("nothing wrong in %s", ", ".join(splits))


def _problem(example: Example) -> str | None:
    try:
        check_size(read_image(example.path), example)
    except (OSError, ValueError) as error:
        return str(error)
    return None
