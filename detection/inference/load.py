"""The checkpoint files of a detector, or of an ensemble whose members fit together."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from os import PathLike, fspath
from pathlib import Path

from detection.build import build
from detection.checkpoint import Checkpoint
from detection.model.faster_rcnn import FasterRCNN
from detection.model.frozen_bn import fold, use_winograd
from detection.weights.by_name import weights_file
from detection.weights.other_files import check_is_no_picture


def load_checkpoints(
    paths: str | PathLike[str] | Sequence[str | PathLike[str]],
    *,
    networks: Sequence[str],
    same_inference: bool,
    same_resize: bool,
    trust: Sequence[str],
) -> list[Checkpoint]:
    """Reads one checkpoint, or those of an ensemble.

    ``paths``: files, or names as :func:`detection.weights.by_name.weights_file` takes them.
    ``networks``: which of a detector's two must have been trained, "rpn" or "fast_rcnn".
    ``same_inference``, ``same_resize``: whether all must agree on these.
    ``trust``: other packages that their classes may come from.
    Raises ValueError if one of the files has not trained ``networks``, or if they do not agree on
    the classes or on what they must.
    """
    given = [paths] if isinstance(paths, (str, PathLike)) else paths
    try:
        names = [fspath(path) for path in given]
    except TypeError:
        raise TypeError(
            f"a checkpoint is a path or a name, or a list of them, got {paths!r}"
        ) from None
    if "" in names:
        raise ValueError("a checkpoint's path is empty")
    files = [weights_file(name, kind="detector") for name in names]
    if not files:
        raise ValueError("no checkpoint given: name one, or several for an ensemble")
    for file in files:
        check_is_no_picture(file)
    checkpoints = [Checkpoint.load(file) for file in files]
    _check_class_names(files, checkpoints)
    for file, checkpoint in zip(files, checkpoints, strict=True):
        checkpoint.check_trained(networks, source=file)
    if same_inference:
        _check_inference(files, checkpoints, trust)
    if same_resize:
        _check_resize(files, checkpoints)
    return checkpoints


def load_model(
    checkpoint: Checkpoint,
    *,
    winograd: bool | Collection[int],
    regions_at_once: int,
    trust: Sequence[str],
) -> FasterRCNN:
    """The model for inference: BN folded into the convolutions, on the CPU.

    ``winograd``: see :func:`detection.model.frozen_bn.use_winograd`.
    ``regions_at_once``: see :func:`detection.model.region_cache.in_chunks`.
    ``trust``: other packages that its classes may come from.
    """
    model = checkpoint.build_model(trust=trust)
    assert isinstance(model, FasterRCNN)
    model.regions_at_once = regions_at_once
    use_winograd(model, winograd)
    fold(model)
    return model


def _check_class_names(files: Sequence[Path], checkpoints: Sequence[Checkpoint]) -> None:
    first = checkpoints[0].class_names
    for file, checkpoint in zip(files, checkpoints, strict=True):
        if list(checkpoint.class_names) != list(first):
            raise ValueError(
                f"{file} knows the classes {', '.join(checkpoint.class_names)}; {files[0]} knows "
                f"{', '.join(first)}: an ensemble needs the same classes in the same order; "
                "leave one out, or train them on the same data.classes"
            )


def _check_inference(
    files: Sequence[Path], checkpoints: Sequence[Checkpoint], trust: Sequence[str]
) -> None:
    # Built: what an older file leaves unsaid is what a newer one says.
    first = build(checkpoints[0].inference, trust=trust)
    for file, checkpoint in zip(files, checkpoints, strict=True):
        if build(checkpoint.inference, trust=trust) != first:
            raise ValueError(
                f"{file} was validated with other steps of inference than {files[0]}: say "
                "which ones the ensemble is to take, with inference="
            )


def _check_resize(files: Sequence[Path], checkpoints: Sequence[Checkpoint]) -> None:
    first = checkpoints[0]
    for file, checkpoint in zip(files, checkpoints, strict=True):
        if checkpoint.resize != first.resize:
            raise ValueError(
                f"{file} was trained on images of another size than {files[0]} "
                f"({_sides(checkpoint)} and {_sides(first)}): say which one all of them are to "
                "see, with shorter_side= and longest="
            )


def _sides(checkpoint: Checkpoint) -> str:
    resize = checkpoint.resize
    return f"shorter side {resize['shorter_sides'][0]}, longest {resize['longest']}"
