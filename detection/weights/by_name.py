"""Weights by name: ``coco_r101_c4`` in the place of a file."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from detection.checkpoint import Checkpoint, ClassifierCheckpoint
from detection.user_path import user_path
from detection.weights.cache import kept_file
from detection.weights.download import published_file
from detection.weights.input_format import InputFormat
from detection.weights.published import PUBLISHED, Kind, Published, check_name

log = logging.getLogger(__name__)

# What takes weights of which kind, for messages.
_TAKEN_BY = {
    "detector": "checkpoint= and init= take it",
    "backbone": "weights= takes it",
}


def weights_file(given: Path | str, *, kind: Kind | None = None) -> Path:
    """The file that ``given`` means: a path, or a name in :data:`PUBLISHED`.

    A file of that very name in the working directory wins over the name.  Published weights are
    downloaded at their first use, checked, imported and kept, see :func:`kept_file`; of several
    processes one does so.
    ``kind``: the only kind that will do.
    Raises FileNotFoundError for a word that is neither a file nor a name, and ValueError for
    weights of another kind and for those that cannot be had.
    """
    path, name = user_path(given), str(given)
    row = PUBLISHED.get(name)
    if path.is_file():
        if row is not None:
            log.info("%s: the file of this name, and not the published weights", path)
        return path
    if row is None:
        check_name(name)
        return path
    if kind not in (None, row.kind):
        raise ValueError(f"{name} is a {row.kind}, and not a {kind}: {_TAKEN_BY[row.kind]}")
    kept = kept_file(row)
    if not kept.is_file():
        with _alone(kept):
            if not kept.is_file():
                _keep(row, kept)
    return kept


def _keep(row: Published, kept: Path) -> None:
    # Of all that call this file few import anything, and torchvision's detectors take long to load.
    from detection.weights.import_weights import import_weights
    from detection.weights.presets import classifier_preset, detector_preset

    with published_file(row, work=kept.with_name(f".{row.name}.download")) as file:
        checkpoint = import_weights(
            file,
            detector=detector_preset,
            classifier=classifier_preset,
            pixels=None,
            stride_in_1x1=None,
            class_names=None,
        )
        if not _is_what_it_says(checkpoint, row):
            raise ValueError(f"{file}: not {row.what}, which {row.name} stands for")
    checkpoint.save(kept)
    log.info("%s: kept as %s", row.name, kept)


def _is_what_it_says(checkpoint: Checkpoint | ClassifierCheckpoint, row: Published) -> bool:
    found = InputFormat.of_model(checkpoint.model_config, checkpoint.weights)
    return (
        isinstance(checkpoint, Checkpoint) == (row.kind == "detector")
        and checkpoint.model_config["backbone"]["depth"] == row.depth
        and found.stride_in_1x1 == row.stride_in_1x1
        and (found.order == "RGB") == (row.pixels == "torchvision")
        and row.num_classes in (None, checkpoint.model_config["num_classes"])
    )


@contextmanager
def _alone(kept: Path) -> Iterator[None]:
    """Within it no other process makes ``kept``."""
    try:
        kept.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(kept.with_name(f".{kept.name}.lock"))
        try:
            lock.acquire(timeout=0)
        except Timeout:
            log.info("%s: waiting for another process, which makes it", kept)
            lock.acquire()
    except OSError as error:
        raise ValueError(
            f"{kept.parent} cannot be written to ({error}): the environment variable TORCH_HOME "
            "names another folder for torch's cache"
        ) from None
    try:
        yield
    finally:
        lock.release()
