"""From photos to detections with a trained model (He et al. 2015, appendix A).

The path of an image: resize -> ``propose`` (shared features, 300 proposals) -> ``classify`` (class
probabilities and boxes of each) -> score threshold -> class-wise NMS -> the best few -> pixels of
the original image.
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
from detection.checkpoint import Checkpoint, build
from detection.data.transforms import Resize, to_batch_pixels
from detection.model.faster_rcnn import FasterRCNN
from detection.model.frozen_bn import fold, use_winograd
from detection.ops.nms import class_wise_nms
from detection.structures import Detections, ImageBatch, RegionPredictions

Precision = Literal["fp32", "bf16"]


@dataclass(frozen=True, kw_only=True)
class PostProcessing:
    """``score_threshold``: below this a detection is not worth keeping.

    ``nms_iou``: detections of one class that overlap more are duplicates (0.3 in the paper).
    ``per_image``: at most so many detections are kept.
    """

    score_threshold: float
    nms_iou: float
    per_image: int

    def __call__(self, predictions: RegionPredictions) -> Detections:
        """The detections of one image, best first, in the pixels of ``predictions``."""
        scores = predictions.probabilities[:, 1:]  # [R, C], without background
        # Everything after the threshold works on the few that pass it.
        region, label = (scores > self.score_threshold).nonzero(as_tuple=True)
        found = Detections(predictions.boxes[region, label], scores[region, label], label + 1)
        kept = class_wise_nms(found.boxes, found.scores, found.labels, self.nms_iou)
        return found[kept[: self.per_image]]


class Detector:
    """A trained model, ready to detect.

    ``class_names[label - 1]`` and ``category_ids[label - 1]`` belong to a detection's label.
    ``precision``: "bf16" runs the network under autocast.
    """

    def __init__(
        self,
        *,
        model: FasterRCNN,
        class_names: Sequence[str],
        category_ids: Sequence[int],
        resize: Resize,
        post_processing: PostProcessing,
        device: torch.device,
        precision: Precision,
    ) -> None:
        if len(resize.shorter_sides) != 1:
            raise ValueError(f"testing needs one shorter side, got {list(resize.shorter_sides)}")
        self.model = model.eval()
        self.class_names = tuple(class_names)
        self.category_ids = tuple(category_ids)
        self.resize = resize
        self.post_processing = post_processing
        self.device = device
        self.precision = precision

    @classmethod
    def load(
        cls,
        path: Path | str,
        *,
        device: torch.device | str = "cpu",
        precision: Precision = "fp32",
        winograd: bool = True,
        post_processing: PostProcessing | None = None,
        resize: Resize | None = None,
    ) -> Detector:
        """A detector from a checkpoint, which needs nothing else.

        ``post_processing``, ``resize``: in place of those stored in the checkpoint.
        ``winograd``: see :func:`detection.model.frozen_bn.use_winograd`.
        """
        checkpoint = Checkpoint.load(Path(path))
        model = checkpoint.build_model()
        use_winograd(model, winograd)
        fold(model)
        assert isinstance(model, FasterRCNN)
        return cls(
            model=model.to(device),
            class_names=checkpoint.class_names,
            category_ids=checkpoint.category_ids,
            resize=resize or build(checkpoint.resize),
            post_processing=post_processing or build(checkpoint.post_processing),
            device=torch.device(device),
            precision=precision,
        )

    def __call__(self, images: Sequence[NDArray[np.uint8]]) -> list[Detections]:
        """Images uint8 [H, W, 3], BGR, upright -> detections in their pixels, on the CPU."""
        sizes = [(image.shape[0], image.shape[1]) for image in images]
        return self.detect_resized([self.prepare(image) for image in images], sizes)

    def prepare(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The resized image; apart from the rest so that other processes can do it."""
        return self.resize(image, self.resize.shorter_sides[0])

    @torch.inference_mode()
    def detect_resized(
        self, images: Sequence[NDArray[np.uint8]], original_sizes: Sequence[tuple[int, int]]
    ) -> list[Detections]:
        """Images out of :meth:`prepare` -> detections in pixels of the original images."""
        sizes = [(image.shape[0], image.shape[1]) for image in images]
        batch = ImageBatch(to_batch_pixels(images), sizes).to(self.device)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bf16"):
            features, proposals = self.model.propose(batch)
            regions = [image_proposals.boxes for image_proposals in proposals]
            predictions = self.model.classify(features, regions, sizes)
        return [
            self._to_original(self.post_processing(prediction), size, original)
            for prediction, size, original in zip(predictions, sizes, original_sizes, strict=True)
        ]

    @staticmethod
    def _to_original(
        detections: Detections, size: tuple[int, int], original: tuple[int, int]
    ) -> Detections:
        boxes = box_ops.rescale(detections.boxes, size, original)
        return Detections(boxes, detections.scores, detections.labels).cpu()
