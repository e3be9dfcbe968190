"""The first weights of a training: an ImageNet backbone, a whole detector, or random ones."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import nn

from detection.checkpoint import Checkpoint
from detection.load_weights import load_weights
from detection.model.faster_rcnn import FasterRCNN
from detection.model.frozen_bn import FrozenBN
from detection.weights.architecture import resnet_depth
from detection.weights.backbone_file import BackboneFile, read_backbone
from detection.weights.by_name import weights_file
from detection.weights.class_rows import match_classes, move_rows
from detection.weights.import_log import listed
from detection.weights.input_format import (
    InputFormat,
    Pixels,
    check_input_format,
    check_pixel_scale,
)

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class InitialWeights:
    """Where the first weights of a detector come from.

    ``backbone``: a file of an ImageNet network; ``entry``: which of several networks in it, by its
    name or a part of it, None: see :func:`detection.weights.layouts.choose`.  ``detector``: a
    checkpoint of a whole detector.  Neither: random weights.  Both may be names, see
    :func:`detection.weights.by_name.weights_file`.
    ``new_classes``: whether ``detector`` may know none of the data set's classes.
    Raises ValueError if both are given, ``entry`` without ``backbone``, or ``new_classes`` without
    ``detector``.
    """

    backbone: Path | None
    entry: str | None
    detector: Path | None
    new_classes: bool

    def __post_init__(self) -> None:
        if self.backbone and self.detector:
            raise ValueError("weights= (a backbone) and init= (a detector) exclude each other")
        if self.entry is not None and not self.backbone:
            raise ValueError(
                f"weights_entry={self.entry} chooses a network in the file of weights=, and no "
                "weights= is given: give it, or leave weights_entry out"
            )
        if self.new_classes and not self.detector:
            raise ValueError(
                "init_new_classes=true says that the detector of init= may know none of the data "
                "set's classes, and no init= is given: give it, or leave init_new_classes out"
            )

    @property
    def are_random(self) -> bool:
        """Whether there are none."""
        return self.backbone is None and self.detector is None

    def load_into(self, model: FasterRCNN, class_names: Sequence[str]) -> tuple[str, ...]:
        """Fills ``model``, a detector of ``class_names``; returns which networks were trained.

        Raises FileNotFoundError, or ValueError for weights that do not fit the model, its classes
        or the pixels that it is configured for.
        """
        if self.detector:
            detector = weights_file(self.detector, kind="detector")
            return self._load_detector(model, class_names, detector)
        if self.backbone:
            path = weights_file(self.backbone, kind="backbone")
            file = read_backbone(path, model.backbone, entry=self.entry)  # type: ignore[arg-type]
            check_backbone_input(file, pixels=model.pixels, backbone=model.backbone)  # type: ignore[arg-type]
            initialise_backbone(model.backbone, file)  # type: ignore[arg-type]
        else:
            log.warning("no weights= given: training starts from random weights")
        return ()

    def _load_detector(
        self, model: FasterRCNN, class_names: Sequence[str], path: Path
    ) -> tuple[str, ...]:
        given = Checkpoint.load(path)
        match = match_classes(given.class_names, class_names)
        if not match.known and not self.new_classes:
            raise ValueError(
                f"{path} knows none of the data set's classes ({', '.join(class_names)}), but "
                f"{', '.join(given.class_names)}: if that is meant, set init_new_classes=true; "
                "their layers start anew then"
            )
        if list(given.class_names) != list(class_names):
            log.info("%s: %s", path, match)
        weights = move_rows(given, model, match, source=path)
        load_weights(model, weights, source=str(path))
        check_input_format(
            InputFormat.of_model(given.model_config, given.weights),
            pixels=model.pixels,
            backbone=model.backbone,
            source=str(path),
        )
        untrained = ("fast_rcnn",) if match.new else ()
        return tuple(network for network in given.trained if network not in untrained)


def check_random_start(backbone: nn.Module) -> None:
    """Raises ValueError if a training from random weights would leave some as they are.

    Layers that are fixed at random numbers, and BN that is fixed as the identity, are for ImageNet
    weights: without them most trainings end at a loss that is no number, or at a low AP.  A
    backbone of the user's own may have brought its weights.
    """
    if not type(backbone).__module__.startswith("detection."):
        return
    fixed = [name for name, p in backbone.named_parameters() if not p.requires_grad]
    problems = []
    if fixed:
        layers = dict.fromkeys(name.partition(".")[0] for name in fixed)
        problems.append(f"{', '.join(layers)} fixed at random numbers ({len(fixed)} tensors)")
    if any(isinstance(layer, FrozenBN) for layer in backbone.modules()):
        problems.append("BN fixed as the identity")
    if problems:
        raise ValueError(
            f"no weights= are given: training would start from random weights, with "
            f"{' and '.join(problems)}. Give weights= (detection weights lists them) or init=; or "
            "let all layers learn, with model.backbone.frozen_stages=[] and, where it has BN, "
            "model.backbone.norm=trained; weights=random trains it as it is"
        )


def check_backbone_input(file: BackboneFile, *, pixels: Pixels, backbone: nn.Module) -> None:
    """Raises ValueError if a model reads other input than the weights in ``file`` were trained on.

    An imported file says what that was, others may; else the numbers tell the scale of the pixels.
    The error has all the keys that the file needs, the depth of a ResNet as well.
    """
    source = str(file.path)
    depth = _depth_of(backbone)
    deeper = (
        f"model.backbone.depth={file.depth}" if depth and file.depth not in (None, depth) else ""
    )
    try:
        check_pixel_scale(file.weights, pixels=pixels, source=source)
        if file.input:
            check_input_format(file.input, pixels=pixels, backbone=backbone, source=source)
    except ValueError as error:
        raise ValueError(f"{error} {deeper}".rstrip()) from None
    if deeper:
        raise ValueError(
            f"{source}: a ResNet-{file.depth}, and the model is a ResNet-{depth}: set {deeper}"
        )


def _depth_of(backbone: nn.Module) -> int | None:
    try:
        return resnet_depth(backbone.state_dict(), path=Path("the model"))
    except ValueError:
        return None


def initialise_backbone(backbone: nn.Module, file: BackboneFile) -> None:
    """Loads ``file`` into ``backbone``.

    Every parameter must be there, but for those that pre-training does not know: VGG-16's fc6 and
    fc7 (files of its convolutions alone are common), a BN behind conv5, and BN's batch counters.
    They keep their initialisation (said in the log).
    """
    own = backbone.state_dict()
    fresh = [
        name
        for name in own
        if name not in file.weights
        and (name.startswith(("fc6.", "fc7.", "conv5_bn.")) or name.endswith("num_batches_tracked"))
    ]
    weights = file.weights | {name: own[name] for name in fresh}
    load_weights(backbone, weights, source=str(file.path))
    if file.choice:
        log.warning("%s: %s", file.path, file.choice)
    log.info(
        "%s: %d tensors into the backbone%s%s",
        file.path,
        len(file.weights),
        f"; left out: {listed(file.left_out)}" if file.left_out else "",
        f"; not in the file: {listed(fresh)}" if fresh else "",
    )
