"""What a checkpoint file holds, and how a model comes out of it without running the file's code.

A checkpoint carries all that detecting needs: the weights, the resolved configuration of the
model, the class names and the resizing of the input.  Files are read with ``weights_only=True``,
and :mod:`detection.build` builds no class that is not trusted.
"""

from __future__ import annotations

import pickle
import re
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from detection import safetensors_file, torch_file
from detection.atomic_write import atomic_write
from detection.blank_weights import BlankWeights
from detection.build import build, packages_of
from detection.damage import check_archive, check_finite, is_archive, seal_archive
from detection.declared_sizes import (
    Allowance,
    check_archive_sizes,
    check_storage_sizes,
    check_tensor_sizes,
)
from detection.earlier_versions import current_content
from detection.load_weights import load_weights
from detection.version import __version__

Kind = TypeVar("Kind", bound="_File")

# The two networks of a detector (Ren et al. 2015, section 3.2), each of which can be trained alone.
NETWORKS = ("rpn", "fast_rcnn")


@dataclass(frozen=True, kw_only=True)
class _File:
    """``model_config``: what :func:`detection.build.build` makes the model of.

    ``training``: what else its training says of it, and what resuming needs (optimizer, iteration).
    """

    weights: dict[str, Tensor]
    model_config: dict[str, Any]
    class_names: list[str]
    training: dict[str, Any] = field(default_factory=dict)
    version: str = __version__

    def save(self, path: Path) -> None:
        """An interrupted save leaves the old file whole.

        ``path``: .pt, or .safetensors, which holds nothing that resuming needs: ValueError.
        So are weights that are not finite.
        """
        check_finite(self.weights, source=f"{path} is not written")
        with atomic_write(path) as partial:
            if path.suffix == safetensors_file.SUFFIX:
                safetensors_file.write(dict(vars(self)), partial)
            else:
                torch_file.save(dict(vars(self)), partial)
                seal_archive(partial)

    @classmethod
    def load(cls: type[Kind], path: Path) -> Kind:
        """FileNotFoundError; ValueError for a file that is no such checkpoint, or damaged."""
        path = Path(path)
        if not path.is_file():
            inside = path / "best.pt"
            what = ": no such checkpoint"
            if path.is_dir():
                take = f"take {inside}" if inside.is_file() else "a checkpoint is a file"
                what = f" is a folder: {take}"
            raise FileNotFoundError(f"{path}{what}")
        content = load_plain(path)
        needed = cls.__dataclass_fields__.keys()
        if isinstance(content, dict):
            content = current_content(content)
        is_ours = isinstance(content, dict) and content.keys() == needed
        if not is_ours or not isinstance(content["weights"], dict):
            raise ValueError(
                f"{path}: not a checkpoint of this package (expected the entries "
                f"{', '.join(needed)}); detection import {path} model.pt makes one of other "
                "packages' files; backbones and classifiers go into detection train weights="
            )
        check_finite(content["weights"], source=str(path))
        return cls(**content)

    def without_training(self: Kind) -> Kind:
        """For detecting alone: without what resuming needs."""
        kept = {key: value for key, value in self.training.items() if key == "trained"}
        return replace(self, training=kept)

    def build_model(self, *, trust: Sequence[str] = ()) -> nn.Module:
        """The model with its weights, in evaluation mode on the CPU.

        ``trust``: other packages that its classes may come from; see :func:`detection.build.build`.
        """
        # What others compute when they are made is not known.
        allowance = Allowance(self.weights, source="the checkpoint")
        with nullcontext() if packages_of(self.model_config) else BlankWeights(allowance):
            model = build(self.model_config, trust=trust)
        load_weights(model, self.weights, source="the checkpoint")
        return model.eval()


@dataclass(frozen=True, kw_only=True)
class Checkpoint(_File):
    """A detector.  ``resize``, ``inference``: configurations of its input and of what it does.

    ``category_ids``: of the data set that it was trained on, for results files.
    ``training["trained"]``: which of the NETWORKS are, where not both.
    """

    resize: dict[str, Any]
    inference: dict[str, Any]
    category_ids: list[int]

    @property
    def trained(self) -> tuple[str, ...]:
        """Those of the NETWORKS that have been trained."""
        return tuple(self.training.get("trained", NETWORKS))

    def check_trained(self, networks: Sequence[str], *, source: Path) -> None:
        """Raises ValueError if one of ``networks`` has not been trained yet."""
        if "rpn" in networks and "rpn" not in self.trained:
            raise ValueError(
                f"{source}: Fast R-CNN alone, its RPN has not been trained (train_only=fast_rcnn): "
                "detection test proposals_file= measures it on proposals of another; for a whole "
                "detector go on from it with detection train init= train_only=rpn shared_fixed=true"
            )
        if "fast_rcnn" in networks and "fast_rcnn" not in self.trained:
            raise ValueError(
                f"{source}: an RPN alone, its Fast R-CNN has not been trained (train_only=rpn): "
                "detection propose writes its proposals and their recall, "
                "detection train-alternating trains both networks"
            )


def trained_networks(
    before: Sequence[str], *, train_only: str | None, shared_fixed: bool
) -> tuple[str, ...]:
    """Which of the NETWORKS a training leaves trained, if those of ``before`` were at first.

    ``train_only``: the network that is trained; None: both.  ``shared_fixed``: whether the layers
    that both use stay as they are; if not, the other network was trained on layers that change.
    """
    if train_only is None:
        return NETWORKS
    if not shared_fixed:
        return (train_only,)
    return tuple(network for network in NETWORKS if network in (*before, train_only))


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
    return isinstance(content, dict) and current_content(content).keys() == needed


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


def load_plain(path: Path) -> Any:
    """Tensors and plain values on the CPU, by ``torch.load`` or out of a .safetensors file.

    No code of it is run.  Raises ValueError for what cannot be read so.
    """
    if path.suffix == safetensors_file.SUFFIX:
        return safetensors_file.read(path)
    if is_archive(path):
        check_archive_sizes(path)
        check_archive(path)
    else:
        check_storage_sizes(path)
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except OSError:
        raise
    except pickle.UnpicklingError as error:
        named = re.search(r"GLOBAL (\S+)", str(error))
        what = f" ({named[1]})" if named else ""
        reason = f"it holds more than tensors and plain values{what}, and may run code when loaded"
    except Exception as error:  # Foreign bytes are opcodes to the unpickler: anything may come out.
        reason = f"not written by torch.save, or damaged ({type(error).__name__}: {error})"
    else:
        check_tensor_sizes(path, content)
        return content
    if path.suffix == ".pkl":
        reason += (
            f"; detection import {path} model.pt reads pickles of weights and runs nothing in them"
        )
    raise ValueError(f"{path}: not a readable file of weights: {reason}")


def is_checkpoint(path: Path) -> bool:
    """Whether ``path`` is one of ours; ValueError for a file that may not be read."""
    if path.suffix == safetensors_file.SUFFIX and path.is_file():
        return safetensors_file.is_checkpoint_file(path)
    if not path.is_file() or not is_archive(path):
        return False
    content = load_plain(path)
    return is_classifier(content) or is_detector(content)
