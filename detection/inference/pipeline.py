"""From arrays to tensors: the networks of a detector and the steps around them (appendices A, B).

The path of an image: resize (once, or to several scales) -> ``propose`` (shared features, 300
proposals) -> ``classify`` (class probabilities and boxes of each; merged over scales, mirror images
and models where there are several) -> refinement (300 more for each pass) -> score threshold ->
class-wise NMS -> the best few -> voting -> pixels of the original image, clipped to it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar, get_args

import numpy as np
import torch
from numpy.typing import NDArray

from detection import boxes as box_ops
from detection.data.transforms import Resize, to_batch_pixels
from detection.inference.device import find_device
from detection.inference.ensemble import mean_classifier, union_of_proposals
from detection.inference.multi_scale import Preparation
from detection.inference.one_model import run_model
from detection.inference.steps import Inference
from detection.model.faster_rcnn import FasterRCNN
from detection.precision import Precision, autocast
from detection.structures import Detections, ImageBatch, Proposals, RegionPredictions

Own = TypeVar("Own", bound="Pipeline")


class Pipeline:
    """The models and the steps; ``detect_arrays`` and ``detect_prepared`` run them.

    It keeps nothing of a call, so several threads may call it at the same time.  ``to``
    and ``precision`` are set between calls.
    """

    def __init__(
        self,
        *,
        models: Sequence[FasterRCNN],
        class_names: Sequence[str],
        category_ids: Sequence[int],
        resize: Resize,
        inference: Inference,
        device: torch.device,
        precision: Precision,
    ) -> None:
        if len(resize.shorter_sides) != 1:
            raise ValueError(f"testing needs one shorter side, got {list(resize.shorter_sides)}")
        self.models = [model.eval() for model in models]
        self.class_names = tuple(class_names)
        self.category_ids = tuple(category_ids)
        self.resize = resize
        self.inference = inference
        self.device = device
        self.precision = precision

    @property
    def precision(self) -> Precision:
        """What the network computes in, "fp32" or "bf16"; it can be set at any time."""
        return self._precision

    @precision.setter
    def precision(self, precision: Precision) -> None:
        if precision not in get_args(Precision):
            raise ValueError(f"precision must be fp32 or bf16, got {precision!r}")
        self._precision = precision

    def to(self: Own, device: torch.device | str) -> Own:
        """Moves all models to ``device`` ("auto", "cpu", "cuda", "cuda:1"); returns itself."""
        self.device = find_device(device)
        for model in self.models:
            model.to(self.device)
        return self

    def detect_arrays(self, images: Sequence[NDArray[np.uint8]]) -> list[Detections]:
        """Images uint8 [H, W, 3], BGR, upright -> detections in their pixels, on the CPU."""
        if not images:
            return []
        sizes = [(image.shape[0], image.shape[1]) for image in images]
        return self.detect_prepared([self.preparation(image) for image in images], sizes)

    @property
    def model(self) -> FasterRCNN:
        """The one model.  Raises ValueError if this is an ensemble."""
        if len(self.models) != 1:
            raise ValueError(f"needs one model, not an ensemble of {len(self.models)}")
        return self.models[0]

    @property
    def preparation(self) -> Preparation:
        """What is done to each image first.  It can be sent to other processes."""
        return Preparation(self.resize, self.inference.multi_scale)

    @torch.inference_mode()
    def detect_prepared(
        self,
        images: Sequence[Sequence[NDArray[np.uint8]]],
        original_sizes: Sequence[tuple[int, int]],
        proposals: Sequence[torch.Tensor] | None = None,
        *,
        taken: list[Proposals] | None = None,
    ) -> list[Detections]:
        """Images out of :attr:`preparation` -> detections in pixels of the original images.

        The network sees images of one size together, and never padding: what is found in an image
        does not depend on the others.
        ``proposals``: float32 [P, 4] in each original image, in place of the RPN's (Fast R-CNN).
        ``taken``: gets those of one model's RPN, of each image in its original pixels.
        Raises ValueError if they are not of as many images.
        """
        if proposals is not None and len(proposals) != len(images):
            raise ValueError(f"{len(images)} images, but proposals of {len(proposals)}")
        groups: dict[tuple[tuple[int, ...], ...], list[int]] = {}
        for place, scales in enumerate(images):
            groups.setdefault(tuple(scale.shape for scale in scales), []).append(place)
        found: dict[int, Detections] = {}
        proposed: dict[int, Proposals] = {}
        for places in groups.values():
            detections, own = self._detect_of_one_size(
                [images[place] for place in places],
                [original_sizes[place] for place in places],
                None if proposals is None else [proposals[place] for place in places],
                wants_proposals=taken is not None,
            )
            found.update(zip(places, detections, strict=True))
            proposed.update(zip(places, own, strict=bool(own)))
        if taken is not None:
            taken += [proposed[place] for place in sorted(proposed)]
        return [found[place] for place in range(len(images))]

    def _detect_of_one_size(
        self,
        images: Sequence[Sequence[NDArray[np.uint8]]],
        original_sizes: Sequence[tuple[int, int]],
        proposals: Sequence[torch.Tensor] | None,
        *,
        wants_proposals: bool,
    ) -> tuple[list[Detections], list[Proposals]]:
        """The second: what one model's RPN has proposed, in original pixels, where it is wanted."""
        scales = [self._batch(scale) for scale in zip(*images, strict=True)]
        sizes = scales[0].sizes
        with autocast(self.device, self.precision):
            # All features are computed here, and nowhere below.
            outputs = [
                run_model(
                    model,
                    scales,
                    multi_scale=self.inference.multi_scale,
                    flip=self.inference.flip,
                    propose=proposals is None,
                )
                for model in self.models
            ]
            if proposals is None:
                regions = union_of_proposals([output.proposals for output in outputs])
            else:
                given = zip(proposals, original_sizes, sizes, strict=True)
                regions = [box_ops.rescale(*image).to(self.device) for image in given]
            classify = mean_classifier([output.classify for output in outputs])
            predictions = self.inference.refinement(classify(regions), classify)
        found = [
            self.finish(prediction, size, original)
            for prediction, size, original in zip(predictions, sizes, original_sizes, strict=True)
        ]
        if not wants_proposals or proposals is not None or len(self.models) > 1:
            return found, []
        shapes = zip(outputs[0].proposals, sizes, original_sizes, strict=True)
        return found, [proposed.in_original(size, original) for proposed, size, original in shapes]

    def _batch(self, images: Sequence[NDArray[np.uint8]]) -> ImageBatch:
        sizes = [(image.shape[0], image.shape[1]) for image in images]
        return ImageBatch(to_batch_pixels(images), sizes).to(self.device)

    def finish(
        self, prediction: RegionPredictions, size: tuple[int, int], original: tuple[int, int]
    ) -> Detections:
        """The detections of one image, in pixels of the original one and inside it, on the CPU.

        ``size``, ``original``: height and width of the image as the model saw it, and as it was.
        """
        # bf16 has 8 bits: a box averaged in it would move in steps of pixels.
        with torch.autocast(self.device.type, enabled=False):
            detections = self.inference.post_processing(prediction)
        # Clipped last: regression clips, too, but averaging, voting and rescaling round, after
        # which a box may leave its image by some units in the last place.
        boxes = box_ops.clip(box_ops.rescale(detections.boxes, size, original), original)
        found = Detections(boxes, detections.scores, detections.labels)
        # A box outside the image is clipped to an area of zero and detects nothing.
        return found[(boxes[:, 2:] > boxes[:, :2]).all(dim=1)].cpu()
