"""What a checkpoint file holds, and how a model comes out of it without running the file's code.

A checkpoint carries all that detecting needs: the weights, the resolved configuration of the
model, the class names and the resizing of the input.  Files are read with ``weights_only=True``,
and only classes inside ``detection.`` are instantiated.
"""

from __future__ import annotations

import functools
import importlib
import pickle
import re
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from detection import __version__
from detection.atomic_write import atomic_write

Kind = TypeVar("Kind", bound="_File")

# The halves of a detector, each of which can be trained without the other.
HALVES = ("rpn", "fast_rcnn")

# Classes that have moved: the name in the file -> the name now.
MOVED = {
    "detection.inference.detector.PostProcessing": (
        "detection.inference.post_processing.PostProcessing"
    ),
}

# What constructors did before they had these arguments: for checkpoints of that time.
EARLIER: dict[str, dict[str, Any]] = {
    "detection.inference.post_processing.PostProcessing": {"voting_iou": None},
    "detection.inference.refine.Refinement": {"minimum_score": 0.0},
    "detection.model.rpn.AnchorSampling": {"divide_by": "drawn"},
    "detection.model.roi_head.RegionSampling": {"divide_by": "image"},
    "detection.model.faster_rcnn.FasterRCNN": {"context": False},
    "detection.model.roi_head.RoIHead": {"pooling": "roi_pool"},
}


@dataclass(frozen=True, kw_only=True)
class _File:
    """``model_config``: ``_target_`` trees of plain values that :func:`build` turns into the model.

    ``training``: what else its training says of it, and what resuming needs (optimizer, iteration).
    """

    weights: dict[str, Tensor]
    model_config: dict[str, Any]
    class_names: list[str]
    training: dict[str, Any] = field(default_factory=dict)
    version: str = __version__

    def save(self, path: Path) -> None:
        """An interrupted save leaves the old file whole."""
        with atomic_write(path) as partial:
            torch.save(dict(vars(self)), partial)

    @classmethod
    def load(cls: type[Kind], path: Path) -> Kind:
        """Raises FileNotFoundError, or ValueError for a file that is no such checkpoint."""
        path = Path(path)
        if not path.is_file():
            raise FileNotFoundError(f"{path}: no such checkpoint")
        content = load_plain(path)
        needed = cls.__dataclass_fields__.keys()
        if isinstance(content, dict):
            content = _in_todays_words(content)
        if not isinstance(content, dict) or content.keys() != needed:
            raise ValueError(
                f"{path}: not a checkpoint of this package (expected the entries "
                f"{', '.join(needed)}); tools/import_weights.py source={path} output=... makes one "
                "of other packages' files; backbones and classifiers go into train_net.py weights="
            )
        return cls(**content)

    def without_training(self: Kind) -> Kind:
        """For detecting alone: without what resuming needs."""
        kept = {key: value for key, value in self.training.items() if key == "trained"}
        return replace(self, training=kept)

    def build_model(self) -> nn.Module:
        """The model with its weights, in evaluation mode on the CPU."""
        model = build(self.model_config)
        load_weights(model, self.weights, source="the checkpoint")
        return model.eval()


@dataclass(frozen=True, kw_only=True)
class Checkpoint(_File):
    """A detector.  ``resize``, ``inference``: configurations of its input and of what it does.

    ``category_ids``: of the data set that it was trained on, for results files.
    ``training["trained"]``: which of the HALVES are, where not both.
    """

    resize: dict[str, Any]
    inference: dict[str, Any]
    category_ids: list[int]

    @property
    def trained(self) -> tuple[str, ...]:
        """Those of the HALVES that have been trained."""
        return tuple(self.training.get("trained", HALVES))

    def check_trained(self, halves: Sequence[str], *, source: Path) -> None:
        """Raises ValueError if one of ``halves`` has not been trained yet."""
        if "rpn" in halves and "rpn" not in self.trained:
            raise ValueError(
                f"{source}: Fast R-CNN alone, its RPN has not been trained (part=fast_rcnn): "
                "test_net.py proposals_file= measures it on proposals of another; for a whole "
                "detector go on from it with train_net.py init= part=rpn shared_fixed=true"
            )
        if "fast_rcnn" in halves and "fast_rcnn" not in self.trained:
            raise ValueError(
                f"{source}: an RPN alone, its Fast R-CNN has not been trained (part=rpn): "
                "tools/propose.py writes its proposals and their recall, "
                "tools/train_alternating.py trains both halves"
            )


@dataclass(frozen=True, kw_only=True)
class ClassifierCheckpoint(_File):
    """A classifier.  ``views``: the configuration of what it is tested on."""

    views: dict[str, Any]


def is_classifier(content: Any) -> bool:
    """Whether the content of a file is a :class:`ClassifierCheckpoint`."""
    needed = ClassifierCheckpoint.__dataclass_fields__.keys()
    return isinstance(content, dict) and content.keys() == needed


def is_detector(content: Any) -> bool:
    """Whether the content of a file is a :class:`Checkpoint`."""
    needed = Checkpoint.__dataclass_fields__.keys()
    return isinstance(content, dict) and _in_todays_words(content).keys() == needed


def backbone_of_classifier(content: Any) -> Any:
    """The backbone's weights, if ``content`` is a classifier's; anything else as it is."""
    if not is_classifier(content):
        return content
    return {
        name.removeprefix("backbone."): value
        for name, value in content["weights"].items()
        # A fixed BN counts no batches.
        if name.startswith("backbone.") and not name.endswith("num_batches_tracked")
    }


def _in_todays_words(content: dict[str, Any]) -> dict[str, Any]:
    """In files of an earlier version ``post_processing`` stood in the place of ``inference``."""
    content = dict(content)
    if "post_processing" in content and "inference" not in content:
        content["inference"] = {
            "_target_": "detection.inference.detector.Inference",
            "multi_scale": {
                "_target_": "detection.inference.multi_scale.MultiScale",
                "shorter_sides": [],
                "longest": 0,
                "region_side": 224,
                "maximum": "region_features",
            },
            "flip": False,
            "refinement": {
                "_target_": "detection.inference.refine.Refinement",
                "passes": 0,
                "regions": "best_class",
            },
            "post_processing": content.pop("post_processing"),
        }
    return content


def load_plain(path: Path) -> Any:
    """``torch.load`` of tensors and plain values onto the CPU; the file's code is never run.

    Raises ValueError for everything that cannot be read so.
    """
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except OSError:
        raise
    except pickle.UnpicklingError as error:
        named = re.search(r"GLOBAL (\S+)", str(error))
        what = f" ({named[1]})" if named else ""
        reason = f"it holds more than tensors and plain values{what}, and may run code when loaded"
    except Exception as error:  # Foreign bytes are opcodes to the unpickler: anything may come out.
        reason = f"not written by torch.save, or damaged ({type(error).__name__}: {error})"
    if path.suffix == ".pkl":
        reason += "; tools/import_weights.py reads pickles of weights, and runs nothing in them"
    raise ValueError(f"{path}: not a readable file of weights: {reason}")


def is_checkpoint(path: Path) -> bool:
    """Whether ``path`` is one of ours; ValueError for a torch file that may not be read."""
    if not path.is_file() or not zipfile.is_zipfile(path):
        return False
    content = load_plain(path)
    return is_classifier(content) or is_detector(content)


def load_weights(
    model: nn.Module,
    weights: Mapping[str, Tensor],
    *,
    source: str,
) -> None:
    """``load_state_dict`` with an error for people: see :func:`check_weights`."""
    check_weights(model, weights, source=source)
    model.load_state_dict(weights)


def check_weights(
    model: nn.Module,
    weights: Mapping[str, Tensor],
    *,
    source: str,
    show: Callable[[str], str] = str,
) -> None:
    """Raises ValueError that says what is missing, unknown or misshapen.

    ``show``: what the error calls a parameter.
    """
    own = model.state_dict()
    problems = [f"{show(name)} is missing" for name in own.keys() - weights.keys()]
    problems += [f"{show(name)} is unknown to the model" for name in weights.keys() - own.keys()]
    problems += [
        f"{show(name)} is {list(weights[name].shape)}, the model needs {list(own[name].shape)}"
        for name in own.keys() & weights.keys()
        if own[name].shape != weights[name].shape
    ]
    if problems:
        shown = "\n  ".join(sorted(problems)[:5])
        raise ValueError(
            f"{source} does not fit the model, it is of another architecture "
            f"({len(problems)} of {len(own)} tensors differ):\n  {shown}\n"
            "set model.backbone.depth, or model=, to what the weights were trained with"
        )


def build(config: Any) -> Any:
    """``hydra.utils.instantiate`` for files one need not trust: ``_target_`` inside detection only.

    Understands ``_target_`` and ``_partial_`` in nested mappings and lists.
    """
    if isinstance(config, (list, tuple)):
        return [build(item) for item in config]
    if not isinstance(config, Mapping):
        return config
    arguments = {
        key: build(value) for key, value in config.items() if key not in ("_target_", "_partial_")
    }
    if "_target_" not in config:
        return arguments
    target = str(config["_target_"])
    target = MOVED.get(target, target)
    arguments = EARLIER.get(target, {}) | arguments
    module, _, name = target.rpartition(".")
    if not module.startswith("detection."):
        raise ValueError(f"the checkpoint names {target!r}: only detection.* may be instantiated")
    try:
        factory = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError):
        raise ValueError(
            f"the checkpoint names {target!r}, which this version ({__version__}) does not have"
        ) from None
    if not isinstance(factory, type):
        raise ValueError(f"the checkpoint names {target!r}, which is no class")
    # A class that the module only imported (a Path, a SummaryWriter) is not one of ours.
    if not factory.__module__.startswith("detection."):
        raise ValueError(f"the checkpoint names {target!r}: only detection.* may be instantiated")
    if config.get("_partial_"):
        return functools.partial(factory, **arguments)
    try:
        return factory(**arguments)
    except TypeError as error:
        raise ValueError(
            f"{target} does not take what the checkpoint gives it ({error}): it was written by "
            f"another version than {__version__}"
        ) from None
