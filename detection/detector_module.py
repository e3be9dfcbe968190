"""The detector as a module with torchvision's detection interface, for training loops of one's own.

Loops for ``torchvision.models.detection.fasterrcnn_resnet50_fpn`` take it unchanged.  So its return
type depends on the mode and its losses have torchvision's names, unlike anywhere else here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from detection import boxes as box_ops
from detection.build import build, packages_of
from detection.checkpoint import Checkpoint
from detection.cli.detector_run import checkpoint_template, first_weights
from detection.cli.from_python import configuration
from detection.cli.objects import make
from detection.data.image_input import to_image
from detection.data.sample_range import ROUNDING
from detection.data.torchvision_target import to_target
from detection.data.transforms import Resize
from detection.inference.pipeline import Pipeline
from detection.model.faster_rcnn import FasterRCNN
from detection.model.frozen_bn import use_winograd
from detection.structures import ImageBatch
from detection.weights.by_name import weights_file

# Ours -> torchvision's.
LOSS_NAMES = {
    "head_class": "loss_classifier",
    "head_box": "loss_box_reg",
    "rpn_objectness": "loss_objectness",
    "rpn_box": "loss_rpn_box_reg",
}


class DetectorModule(nn.Module):
    """``model(images, targets)``: losses in training, detections in evaluation.

    ``images``: a list of float tensors [3, H, W], RGB in [0, 1], of any sizes: they are resized
    inside, as the configuration says (``data.shorter_sides``, ``data.longest``).  Flips, crops,
    colours and ``data.size_step`` are the training loop's, as in torchvision.
    ``targets``: a dict for each image with ``boxes``, float [N, 4], (x1, y1, x2, y2) in its pixels,
    and ``labels``, int64 [N], 1 ... C (0 is background); ``iscrowd`` [N], if there, marks objects
    that are ignored.  N may be 0.

    In training it returns a dict of four losses to be summed, in evaluation for each image a dict
    of ``boxes`` [D, 4] in its pixels, ``labels`` [D] and ``scores`` [D], best first, on its device.

        >>> from detection import DetectorModule
        >>> model = DetectorModule.load("best.pt").train()
        >>> image = torch.rand(3, 96, 128)
        >>> target = {"boxes": torch.tensor([[8.0, 8, 70, 60]]), "labels": torch.tensor([1])}
        >>> losses = model([image], [target])
        >>> sorted(losses)
        ['loss_box_reg', 'loss_classifier', 'loss_objectness', 'loss_rpn_box_reg']
        >>> sum(losses.values()).backward()
        >>> sorted(model.eval()([image])[0])
        ['boxes', 'labels', 'scores']
    """

    def __init__(
        self, model: FasterRCNN, *, template: Checkpoint, resize: Resize, trust: Sequence[str] = ()
    ) -> None:
        """``template``: what its checkpoints say besides the weights.

        ``resize``: for training, which draws one of several shorter sides for each image.
        ``trust``: other packages that the template's classes may come from.
        """
        super().__init__()
        self.model = model
        self.class_names = tuple(template.class_names)
        self._template = replace(template, weights={}).without_training()
        self._resize = resize
        self._test_resize: Resize = build(template.resize)
        self._inference = build(template.inference, trust=trust)
        use_winograd(model, True)

    @classmethod
    def new(
        cls,
        class_names: Sequence[str],
        *,
        weights: str | PathLike[str] | None = None,
        **overrides: Any,
    ) -> DetectorModule:
        """One that is to be trained, of the model that configs/train.yaml and ``overrides`` say.

        ``weights``: of the backbone.  ``overrides``: keys of docs/configuration.md, as in
        :func:`detection.train`; those of ``schedule`` and ``runtime`` are the loop's business.

            >>> from detection import DetectorModule
            >>> small = {"model/backbone": "resnet_basic", "model.rpn.hidden_channels": 32}
            >>> len(DetectorModule.new(["cat", "dog"], **small).class_names)
            2
        """
        names = [] if isinstance(class_names, str) else list(class_names)
        texts = all(isinstance(name, str) and name.strip() for name in names)
        if not names or not texts or len({*names}) != len(names):
            raise ValueError(f"class_names must be a list of different names, got {class_names!r}")
        config = configuration(
            "train", overrides, paths={"weights": weights}, may_lack=["data.root"]
        )
        ids = range(1, len(class_names) + 1)
        template = checkpoint_template(config, class_names, ids)
        model = make(template.model_config)
        first_weights(config).load_into(model, class_names)
        sides = list(config.data.shorter_sides)
        resize = Resize(shorter_sides=sides, longest=config.data.longest)
        # The caller's own configuration is trusted.
        return cls(
            model, template=template, resize=resize, trust=sorted(packages_of(template.inference))
        )

    @classmethod
    def load(cls, path: str | PathLike[str], *, trust: Sequence[str] = ()) -> DetectorModule:
        """That of a checkpoint, to be trained on: in training mode, as every new module.

        ``path``: a file, or a name such as "coco_r50_c4", as for :meth:`detection.Detector.load`;
        ``trust``: see there.
        """
        checkpoint = Checkpoint.load(weights_file(Path(path), kind="detector"))
        model = checkpoint.build_model(trust=trust)
        assert isinstance(model, FasterRCNN)
        loaded = cls(model, template=checkpoint, resize=build(checkpoint.resize), trust=trust)
        return loaded.train()

    def save(self, path: str | PathLike[str]) -> None:
        """A checkpoint that ``Detector.load`` and all commands take."""
        replace(self._template, weights=self.model.state_dict()).save(Path(path))

    def forward(
        self, images: Sequence[Tensor], targets: Sequence[Mapping[str, Tensor]] | None = None
    ) -> dict[str, Tensor] | list[dict[str, Tensor]]:
        """See the class.  Raises ValueError for images and targets that are not as it says."""
        images = list(images)
        _check_images(images)
        if not self.training:
            return self._detect(images)
        if targets is None:
            raise ValueError("targets are needed in training; model.eval() detects without")
        return self._losses(images, list(targets))

    @property
    def _device(self) -> torch.device:
        return next(self.model.parameters()).device

    def _losses(
        self, images: list[Tensor], targets: list[Mapping[str, Tensor]]
    ) -> dict[str, Tensor]:
        if len(images) != len(targets) or not images:
            raise ValueError(f"{len(images)} images, but {len(targets)} targets")
        device = self._device
        resized, moved = [], []
        for index, (image, given) in enumerate(zip(images, targets, strict=True)):
            target = to_target(given, index=index, num_classes=len(self.class_names)).to(device)
            new, before = self._resized(image.to(device)), _size(image)
            boxes = box_ops.rescale(target.boxes, before, _size(new))
            resized.append(new)
            moved.append(replace(target, boxes=boxes))
        losses = self.model(_batch(resized), moved)
        return {LOSS_NAMES[name]: loss for name, loss in vars(losses).items()}

    def _resized(self, image: Tensor) -> Tensor:
        """Float [3, H, W] in [0, 1] -> uint8 [3, H', W'], as Resize does it, but on the device."""
        sides = self._resize.shorter_sides
        shorter = sides[int(torch.randint(len(sides), ()))] if len(sides) > 1 else sides[0]
        size = self._resize.size(_size(image), shorter)
        pixels = F.interpolate(255 * image[None].float(), size, mode="bilinear")
        return _to_bytes(pixels[0])

    def _detect(self, images: list[Tensor]) -> list[dict[str, Tensor]]:
        pipeline = Pipeline(
            models=[self.model],
            class_names=self.class_names,
            category_ids=self._template.category_ids,
            resize=self._test_resize,
            inference=self._inference,
            device=self._device,
            precision="fp32",
        )
        # In bytes: DETECTION_SAMPLE_RANGE is of files and arrays, and would scale floats otherwise.
        found = pipeline.detect_arrays([to_image(_to_bytes(255 * i.float())) for i in images])
        # Clones: those of inference mode may not be changed in place.
        return [
            {name: tensor.clone().to(image.device) for name, tensor in vars(detections).items()}
            for image, detections in zip(images, found, strict=True)
        ]


def _to_bytes(pixels: Tensor) -> Tensor:
    return pixels.detach().round().clamp(0, 255).to(torch.uint8)


def _check_images(images: list[Tensor]) -> None:
    for index, image in enumerate(images):
        where = f"images[{index}]"
        if not isinstance(image, Tensor):
            raise ValueError(
                f"{where} must be a float tensor [3, height, width], got {type(image).__name__}"
            )
        if (
            not image.is_floating_point()
            or not image.numel()
            or image.ndim != 3
            or image.shape[0] != 3
        ):
            raise ValueError(
                f"{where} must be a float tensor [3, height, width], RGB in [0, 1], got "
                f"{image.dtype} {list(image.shape)}"
            )
        low, high = float(image.detach().min()), float(image.detach().max())
        if not (low > -ROUNDING and high < 1 + ROUNDING):
            raise ValueError(
                f"{where} has values {low:.4g} ... {high:.4g}: expected [0, 1], not normalised"
            )


def _size(image: Tensor) -> tuple[int, int]:
    return image.shape[-2], image.shape[-1]


def _batch(images: list[Tensor]) -> ImageBatch:
    """Uint8 [3, H, W], RGB -> the padded batch, BGR."""
    sizes = [_size(image) for image in images]
    height, width = (max(side) for side in zip(*sizes, strict=True))
    pixels = images[0].new_zeros(len(images), height, width, 3)
    for padded, image in zip(pixels, images, strict=True):
        padded[: image.shape[1], : image.shape[2]] = image.flip(0).permute(1, 2, 0)
    return ImageBatch(pixels, sizes)
