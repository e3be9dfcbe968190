"""The first weights of a training: an ImageNet backbone, a whole detector, or random ones."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor, nn

from detection import safetensors_file
from detection.checkpoint import (
    Checkpoint,
    backbone_of_classifier,
    is_classifier,
    load_plain,
    load_weights,
)
from detection.model.faster_rcnn import FasterRCNN
from detection.weights.by_name import weights_file
from detection.weights.input_format import (
    InputFormat,
    Pixels,
    check_input_format,
    check_pixel_scale,
    from_description,
)
from detection.weights.torchvision import from_torchvision

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class InitialWeights:
    """Where the first weights of a detector come from.

    ``backbone``: a file of an ImageNet network.  ``detector``: a checkpoint of a whole detector.
    Neither: random weights.  Both may be names, see :func:`detection.weights.by_name.weights_file`.
    ``new_classes``: whether ``detector`` may know other classes; the head's layers that depend on
    them keep their random weights then.
    Raises ValueError if both are given.
    """

    backbone: Path | None
    detector: Path | None
    new_classes: bool

    def __post_init__(self) -> None:
        if self.backbone and self.detector:
            raise ValueError("weights= (a backbone) and init= (a detector) exclude each other")

    def load_into(self, model: FasterRCNN, class_names: Sequence[str]) -> tuple[str, ...]:
        """Fills ``model``, a detector of ``class_names``; returns which networks were trained.

        Raises FileNotFoundError, or ValueError for weights that do not fit the model, its classes
        or the pixels that it is configured for.
        """
        if self.detector:
            path = weights_file(self.detector, kind="detector")
            return self._load_detector(model, class_names, path)
        if self.backbone:
            path = weights_file(self.backbone, kind="backbone")
            check_backbone_input(
                path,
                pixels=model.pixels,
                backbone=model.backbone,  # type: ignore[arg-type]
            )
            initialise_backbone(model.backbone, path)  # type: ignore[arg-type]
        else:
            log.warning("no weights= given: training starts from random weights")
        return ()

    def _load_detector(
        self, model: FasterRCNN, class_names: Sequence[str], path: Path
    ) -> tuple[str, ...]:
        given = Checkpoint.load(path)
        weights = given.weights
        if self.new_classes:
            of_classes = tuple(f"roi_head.{layer}." for layer in model.roi_head.class_layers)
            random = model.state_dict()
            weights = {
                name: random[name] if name.startswith(of_classes) else value
                for name, value in weights.items()
            }
        elif list(given.class_names) != list(class_names):
            raise ValueError(
                f"{path} knows the classes {', '.join(given.class_names)}; the data set has "
                f"{', '.join(class_names)}: to learn these on the other's layers, set "
                "init_new_classes=true"
            )
        load_weights(model, weights, source=str(path))
        check_input_format(
            InputFormat.of_model(given.model_config, given.weights),
            pixels=model.pixels,
            backbone=model.backbone,
            source=str(path),
        )
        untrained = ("fast_rcnn",) if self.new_classes else ()
        return tuple(network for network in given.trained if network not in untrained)


def read_weights(path: Path) -> dict[str, Tensor]:
    """A state dict out of a .safetensors or .pth/.pt file; nothing in the file is executed.

    Of a classifier's checkpoint it is the backbone's part.
    """
    _check_is_file(path)
    weights = backbone_of_classifier(load_plain(path))
    if not isinstance(weights, dict) or not all(isinstance(v, Tensor) for v in weights.values()):
        raise ValueError(
            f"{path}: weights= takes a state dict, names -> tensors, of an ImageNet network, or "
            "what tools/import_weights.py makes of one; a detector of this package goes into init="
        )
    return weights


def _check_is_file(path: Path) -> None:
    if not path.is_file():
        kind = "a folder" if path.is_dir() else "no such file of weights"
        raise FileNotFoundError(f"{path}: {kind}; weights= takes a .safetensors, .pth or .pt file")


def check_backbone_input(path: Path, *, pixels: Pixels, backbone: nn.Module) -> None:
    """Raises ValueError if a model reads other input than the weights in ``path`` were trained on.

    An imported file says what that was, a safetensors file may; of others the numbers tell the
    scale of the pixels, if their names are torchvision's or ours.
    """
    _check_is_file(path)
    described = None
    if is_classifier(content := load_plain(path)):
        described = InputFormat.of_model(content["model_config"], content["weights"])
    elif path.suffix == safetensors_file.SUFFIX:
        described = from_description(safetensors_file.metadata(path))
    if described:
        check_input_format(described, pixels=pixels, backbone=backbone, source=str(path))
    else:
        weights = _in_our_names(read_weights(path), backbone, path)[0]
        check_pixel_scale(weights, pixels=pixels, source=str(path))


def _in_our_names(
    weights: dict[str, Tensor], backbone: nn.Module, path: Path
) -> tuple[dict[str, Tensor], list[str]]:
    """(our names, the names left out); torchvision's names are translated."""
    if weights.keys() <= backbone.state_dict().keys():
        return weights, []
    try:
        return from_torchvision(weights)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def initialise_backbone(backbone: nn.Module, path: Path) -> None:
    """Loads ``path`` into ``backbone``: our own names, or torchvision's.

    Every parameter must be there, but for those that pre-training does not know: VGG-16's fc6 and
    fc7 (files of its convolutions alone are common), a BN behind conv5, and BN's batch counters.
    They keep their initialisation (said in the log).
    """
    weights = {name: value.float() for name, value in read_weights(path).items()}
    weights, left_out = _in_our_names(weights, backbone, path)
    fresh = [
        name
        for name in backbone.state_dict()
        if name not in weights
        and (name.startswith(("fc6.", "fc7.", "conv5_bn.")) or name.endswith("num_batches_tracked"))
    ]
    for name in fresh:
        weights[name] = backbone.state_dict()[name]
    load_weights(backbone, weights, source=str(path))
    log.info(
        "%s: %d tensors into the backbone%s%s",
        path,
        len(weights) - len(fresh),
        f"; left out: {', '.join(left_out)}" if left_out else "",
        f"; not in the file: {', '.join(fresh)}" if fresh else "",
    )
