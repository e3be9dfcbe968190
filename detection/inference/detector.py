"""From photos to detections with a trained model (He et al. 2015, appendices A and B).

The path of an image: resize (once, or to several scales) -> ``propose`` (shared features, 300
proposals) -> ``classify`` (class probabilities and boxes of each; merged over scales, mirror images
and models where there are several) -> refinement (300 more for each pass) -> score threshold ->
class-wise NMS -> the best few -> voting -> pixels of the original image, clipped to it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from detection import boxes as box_ops
from detection.checkpoint import HALVES, Checkpoint, build
from detection.data.transforms import Resize, to_batch_pixels
from detection.inference.ensemble import average, check_class_names, union
from detection.inference.flip import mirror, mirrored
from detection.inference.multi_scale import MultiScale, Preparation, multi_scale_classifier
from detection.inference.refine import Classify, Refinement
from detection.inference.vote import vote
from detection.model.faster_rcnn import FasterRCNN
from detection.model.frozen_bn import fold, use_winograd
from detection.ops.nms import class_wise_nms
from detection.precision import autocast
from detection.structures import Detections, ImageBatch, Proposals, RegionPredictions

Precision = Literal["fp32", "bf16"]


@dataclass(frozen=True, kw_only=True)
class PostProcessing:
    """``score_threshold``: below this a detection is not worth keeping.

    ``nms_iou``: detections of one class that overlap more are duplicates (0.3 in the paper).
    ``voting_iou``: those that overlap at least so much vote on the box (0.5); None: no voting.
    ``per_image``: at most so many detections are kept.
    """

    score_threshold: float
    nms_iou: float
    voting_iou: float | None
    per_image: int

    def __post_init__(self) -> None:
        if self.voting_iou is not None and not 0 < self.voting_iou <= 1:
            raise ValueError(f"voting_iou must lie in (0, 1] or be null, got {self.voting_iou}")

    def __call__(self, predictions: RegionPredictions) -> Detections:
        """The detections of one image, best first, in the pixels of ``predictions``."""
        scores = predictions.probabilities[:, 1:]  # [R, C], without background
        # Everything after the threshold works on the few that pass it.
        region, label = (scores > self.score_threshold).nonzero(as_tuple=True)
        found = Detections(predictions.boxes[region, label], scores[region, label], label + 1)
        kept = class_wise_nms(found.boxes, found.scores, found.labels, self.nms_iou)
        # Voting moves boxes and no score: the best are the same before it.
        best = found[kept[: self.per_image]]
        return best if self.voting_iou is None else vote(best, found, self.voting_iou)


@dataclass(frozen=True, kw_only=True)
class Inference:
    """How a trained model is asked: the steps of appendix B, each of them to be left out.

    ``flip``: the predictions are averaged with those of the mirror image.
    """

    multi_scale: MultiScale
    flip: bool
    refinement: Refinement
    post_processing: PostProcessing


class Detector:
    """A trained model, or an ensemble of several, ready to detect.

    ``class_names[label - 1]`` and ``category_ids[label - 1]`` belong to a detection's label.
    ``resize``: to the base scale, that of the proposals.
    ``precision``: "bf16" runs the network under autocast.  Of fp32 on a GPU, torch makes TF32 in
    convolutions unless ``torch.backends.cudnn.allow_tf32`` is false, as in all of ``tools/``.
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
        winograd: bool = True,
        inference: Inference | None = None,
        resize: Resize | None = None,
        halves: Sequence[str] = HALVES,
    ) -> Detector:
        """A detector from a checkpoint, which needs nothing else, or an ensemble of several.

        ``inference``, ``resize``: in place of those stored in the checkpoint.
        ``winograd``: see :func:`detection.model.frozen_bn.use_winograd`.
        ``halves``: those that will be asked, "rpn" or "fast_rcnn".
        Raises ValueError if one of them has not been trained, if the checkpoints' classes differ,
        or their ``inference`` or ``resize`` while none is given.
        """
        files = [Path(path) for path in ([paths] if isinstance(paths, (str, Path)) else paths)]
        if not files:
            raise ValueError("no checkpoint given: name one, or several for an ensemble")
        checkpoints = [Checkpoint.load(file) for file in files]
        first = checkpoints[0]
        names = [checkpoint.class_names for checkpoint in checkpoints]
        check_class_names(names, [str(file) for file in files])
        for file, checkpoint in zip(files, checkpoints, strict=True):
            checkpoint.check_trained(halves, source=file)
            # Built: what an older file leaves unsaid is what a newer one says.
            if inference is None and build(checkpoint.inference) != build(first.inference):
                raise ValueError(
                    f"{file} was validated with other steps of inference than {files[0]}: say "
                    "which ones the ensemble is to take, with inference="
                )
            if resize is None and checkpoint.resize != first.resize:
                raise ValueError(
                    f"{file} was trained on images of another size than {files[0]} "
                    f"({_sides(checkpoint)} and {_sides(first)}): say which one all of them are to "
                    "see, with shorter_side= and longest="
                )
        return cls(
            models=[_folded(checkpoint, winograd).to(device) for checkpoint in checkpoints],
            class_names=first.class_names,
            category_ids=first.category_ids,
            resize=resize or build(first.resize),
            inference=inference or build(first.inference),
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
        """What is done to each image first; apart from the rest so that other processes can."""
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
            views = [self._look(model, scales, propose=proposals is None) for model in self.models]
            if proposals is None:
                regions = union([view.proposals for view in views])
            else:
                given = zip(proposals, original_sizes, sizes, strict=True)
                regions = [box_ops.rescale(*image).to(self.device) for image in given]
            classify = average([view.classify for view in views])
            predictions = self.inference.refinement(classify(regions), classify)
        return [
            self.finish(prediction, size, original)
            for prediction, size, original in zip(predictions, sizes, original_sizes, strict=True)
        ]

    def _batch(self, images: Sequence[NDArray[np.uint8]]) -> ImageBatch:
        sizes = [(image.shape[0], image.shape[1]) for image in images]
        return ImageBatch(to_batch_pixels(images), sizes).to(self.device)

    def _look(self, model: FasterRCNN, scales: list[ImageBatch], *, propose: bool) -> _View:
        """One model's proposals, from the base scale as it is, and its ``classify``."""
        base, *others = scales
        features, proposals = model.propose(base) if propose else (None, [])
        classifiers = [self._classifier(model, base, others, features)]
        if self.inference.flip:
            flipped, *flipped_others = [mirror(batch) for batch in scales]
            flipped_classifier = self._classifier(model, flipped, flipped_others)
            classifiers.append(mirrored(flipped_classifier, base.sizes))
        return _View(proposals, average(classifiers))

    def _classifier(
        self,
        model: FasterRCNN,
        base: ImageBatch,
        others: list[ImageBatch],
        features: torch.Tensor | None = None,
    ) -> Classify:
        """On the base scale or, where there are others, on them.

        ``features``: of the base scale, if they have been computed; a scale equal to it needs no
        computing either.
        """
        if others:
            maps = [
                features
                if features is not None and batch.sizes == base.sizes
                else model.features(batch)
                for batch in others
            ]
            map_sizes = [batch.sizes for batch in others]
            rule = self.inference.multi_scale
            return multi_scale_classifier(model, maps, map_sizes, base.sizes, rule)
        own = model.features(base) if features is None else features
        return model.classifier(own, base.sizes)

    def finish(
        self, prediction: RegionPredictions, size: tuple[int, int], original: tuple[int, int]
    ) -> Detections:
        """The detections of one image, in pixels of the original one and inside it, on the CPU.

        ``size``, ``original``: height and width of the image as the model saw it, and as it was.
        """
        # bf16 has 8 bits: a box averaged in it would move in steps of pixels.
        with torch.autocast(self.device.type, enabled=False):
            detections = self.inference.post_processing(prediction)
        # Clipped last: regression clips, but averaging, voting and rescaling round, and a box
        # may leave its image by 1e-5 of the image's side.
        boxes = box_ops.clip(box_ops.rescale(detections.boxes, size, original), original)
        found = Detections(boxes, detections.scores, detections.labels)
        # A box that was regressed out of its image and cut to nothing detects nothing.
        return found[(boxes[:, 2:] > boxes[:, :2]).all(dim=1)].cpu()


@dataclass(frozen=True)
class _View:
    """What one model makes of a mini-batch: ``proposals`` of each image, and its ``classify``.

    There are no ``proposals`` where others are given.
    """

    proposals: list[Proposals]
    classify: Classify


def _folded(checkpoint: Checkpoint, winograd: bool) -> FasterRCNN:
    model = checkpoint.build_model()
    assert isinstance(model, FasterRCNN)
    use_winograd(model, winograd)
    fold(model)
    return model


def _sides(checkpoint: Checkpoint) -> str:
    resize = checkpoint.resize
    return f"shorter side {resize['shorter_sides'][0]}, longest {resize['longest']}"
