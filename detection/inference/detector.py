"""From photos to detections with a trained model (He et al. 2015, appendices A and B).

The path of an image: resize (once, or to several scales) -> ``propose`` (shared features, 300
proposals) -> ``classify`` (class probabilities and boxes of each; merged over scales, mirror images
and models where there are several) -> refinement (300 more for each pass) -> score threshold ->
class-wise NMS -> the best few -> voting -> pixels of the original image, clipped to it.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from detection import boxes as box_ops
from detection.build import build
from detection.checkpoint import NETWORKS
from detection.data.transforms import Resize, to_batch_pixels
from detection.inference.ensemble import mean_classifier, union_of_proposals
from detection.inference.flip import mirror, upright_classifier
from detection.inference.load import load_checkpoints, load_model
from detection.inference.multi_scale import Preparation
from detection.inference.steps import (
    MultiScaleStep,
    PostProcessingStep,
    RefinementStep,
    RegionClassifier,
    check_step,
)
from detection.model.faster_rcnn import FasterRCNN
from detection.precision import Precision, autocast
from detection.structures import Detections, ImageBatch, Proposals, RegionPredictions


@dataclass(frozen=True, kw_only=True)
class Inference:
    """The steps of appendix B that a trained model is used with.

    A step can be of any class that has the methods in :mod:`detection.inference.steps`.
    ``flip``: whether the predictions are averaged with those of the mirror image.
    Raises ValueError for a step without these methods.
    """

    multi_scale: MultiScaleStep
    flip: bool
    refinement: RefinementStep
    post_processing: PostProcessingStep

    def __post_init__(self) -> None:
        check_step(self.multi_scale, MultiScaleStep, key="inference.multi_scale")
        check_step(self.refinement, RefinementStep, key="inference.refinement")
        check_step(self.post_processing, PostProcessingStep, key="inference.post_processing")


class Detector:
    """A trained model, or an ensemble of several, ready to detect.

    ``class_names[label - 1]`` and ``category_ids[label - 1]`` belong to a detection's label.
    ``resize``: to the base scale, that of the proposals.
    ``precision``: "bf16" runs the network under autocast.  On a GPU torch computes convolutions in
    TF32, also under "fp32", unless ``torch.backends.cudnn.allow_tf32`` is false.  The commands in
    ``tools/`` set it to false.
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

    @classmethod
    def load(
        cls,
        paths: Path | str | Sequence[Path | str],
        *,
        device: torch.device | str = "cpu",
        precision: Precision = "fp32",
        winograd: bool | Collection[int] = True,
        inference: Inference | None = None,
        resize: Resize | None = None,
        networks: Sequence[str] = NETWORKS,
        trust: Sequence[str] = (),
    ) -> Detector:
        """A detector from a checkpoint, which needs nothing else, or an ensemble of several.

        ``inference``, ``resize``: in place of those stored in the checkpoint.
        ``winograd``: see :func:`detection.model.frozen_bn.use_winograd`.
        ``networks``: those of its two that will be asked, "rpn" and "fast_rcnn".
        ``trust``: other packages that its classes may come from, see :mod:`detection.build`.
        Raises ValueError if one of them has not been trained, if the checkpoints' classes differ,
        or their ``inference`` or ``resize`` while none is given.
        """
        checkpoints = load_checkpoints(
            paths,
            networks=networks,
            same_inference=inference is None,
            same_resize=resize is None,
            trust=trust,
        )
        first = checkpoints[0]
        models = [load_model(each, winograd=winograd, trust=trust) for each in checkpoints]
        return cls(
            models=[model.to(device) for model in models],
            class_names=first.class_names,
            category_ids=first.category_ids,
            resize=resize or build(first.resize),
            inference=inference or build(first.inference, trust=trust),
            device=torch.device(device),
            precision=precision,
        )

    def __call__(self, images: Sequence[NDArray[np.uint8]]) -> list[Detections]:
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
    ) -> list[Detections]:
        """Images out of :attr:`preparation` -> detections in pixels of the original images.

        ``proposals``: float32 [P, 4] in each original image, in place of the RPN's (Fast R-CNN).
        Raises ValueError if they are not of as many images.
        """
        if proposals is not None and len(proposals) != len(images):
            raise ValueError(f"{len(images)} images, but proposals of {len(proposals)}")
        scales = [self._batch(scale) for scale in zip(*images, strict=True)]
        sizes = scales[0].sizes
        with autocast(self.device, self.precision):
            # All features are computed here, and nowhere below.
            outputs = [
                self._run_model(model, scales, propose=proposals is None) for model in self.models
            ]
            if proposals is None:
                regions = union_of_proposals([output.proposals for output in outputs])
            else:
                given = zip(proposals, original_sizes, sizes, strict=True)
                regions = [box_ops.rescale(*image).to(self.device) for image in given]
            classify = mean_classifier([output.classify for output in outputs])
            predictions = self.inference.refinement(classify(regions), classify)
        return [
            self.finish(prediction, size, original)
            for prediction, size, original in zip(predictions, sizes, original_sizes, strict=True)
        ]

    def _batch(self, images: Sequence[NDArray[np.uint8]]) -> ImageBatch:
        sizes = [(image.shape[0], image.shape[1]) for image in images]
        return ImageBatch(to_batch_pixels(images), sizes).to(self.device)

    def _run_model(
        self, model: FasterRCNN, scales: list[ImageBatch], *, propose: bool
    ) -> _ModelOutput:
        """One model's proposals, from the base scale as it is, and its ``classify``."""
        base, *others = scales
        features, proposals = model.propose(base) if propose else (None, [])
        classifiers = [self._classifier(model, base, others, features)]
        if self.inference.flip:
            flipped, *flipped_others = [mirror(batch) for batch in scales]
            classify_mirrored = self._classifier(model, flipped, flipped_others)
            classifiers.append(upright_classifier(classify_mirrored, base.sizes))
        return _ModelOutput(proposals, mean_classifier(classifiers))

    def _classifier(
        self,
        model: FasterRCNN,
        base: ImageBatch,
        others: list[ImageBatch],
        features: torch.Tensor | None = None,
    ) -> RegionClassifier:
        """Classifies regions on the base scale or, where there are ``others``, on those.

        ``features``: of the base scale, if they have been computed.  They also serve for a scale
        that equals the base scale.
        """
        if others:
            maps = [
                features
                if features is not None and batch.sizes == base.sizes
                else model.features(batch)
                for batch in others
            ]
            map_sizes = [batch.sizes for batch in others]
            return self.inference.multi_scale.classifier(model, maps, map_sizes, base.sizes)
        return model.classifier(model.features(base) if features is None else features, base.sizes)

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


@dataclass(frozen=True)
class _ModelOutput:
    """What one model makes of a mini-batch: ``proposals`` of each image, and its ``classify``.

    There are no ``proposals`` where others are given.
    """

    proposals: list[Proposals]
    classify: RegionClassifier
