"""What a program calls: photos of any kind in, named results out.

:mod:`detection.inference.pipeline` says what lies between.
"""

from __future__ import annotations

import copy
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import replace
from os import PathLike
from typing import Literal, overload

import torch
from torch import Tensor

from detection.build import build
from detection.checkpoint import NETWORKS
from detection.data.image_input import ImageInput, is_image_input
from detection.data.transforms import Resize
from detection.inference.device import find_device
from detection.inference.load import load_checkpoints, load_model
from detection.inference.photos import check_options, each, is_folder, photo_batches, read_photo
from detection.inference.pipeline import Pipeline
from detection.inference.region_vectors import regions_of, vectors
from detection.inference.result import Result
from detection.inference.steps import (
    Inference as Inference,
)  # the name that checkpoints have for it
from detection.inference.threshold import CallThreshold, Threshold
from detection.inference.tiles import TiledDetector
from detection.model.region_cache import REGIONS_AT_ONCE
from detection.precision import Precision, autocast


class Detector(Pipeline):
    """A trained model, or an ensemble of several, ready to detect.

    ``class_names[label - 1]`` and ``category_ids[label - 1]`` belong to a detection's label.
    ``resize``: to the base scale, that of the proposals.
    ``precision``: "bf16" runs the network under autocast.  On a GPU torch computes convolutions in
    TF32, also under "fp32", unless ``torch.backends.cudnn.allow_tf32`` is false.  The commands in
    ``tools/`` set it to false.

    Several threads may call one detector; it can be pickled and copied (``copy.deepcopy``).

        >>> from detection import Detector
        >>> detector = Detector.load("best.pt")
        >>> result = detector("photo.jpg", threshold=0.1)
        >>> for found in result:
        ...     line = f"{found.class_name} {found.score:.2f} {found.box}"
        >>> for result in detector("photos/"):
        ...     result.save(f"drawn/{result.path.name}")
        >>> detector.precision = "bf16"
        >>> detector.to("cpu")
        <Detector: 7 classes (circle, cross, moon, ...) on cpu in bf16>
    """

    @classmethod
    def load(
        cls,
        paths: str | PathLike[str] | Sequence[str | PathLike[str]],
        *,
        device: torch.device | str = "auto",
        precision: Precision = "fp32",
        winograd: bool | Collection[int] = True,
        regions_at_once: int = REGIONS_AT_ONCE,
        inference: Inference | None = None,
        resize: Resize | None = None,
        networks: Sequence[str] = NETWORKS,
        trust: Sequence[str] = (),
    ) -> Detector:
        """A detector from a checkpoint, which needs nothing else, or an ensemble of several.

        ``paths``: a .pt file, or a name that ``detection weights`` lists ("coco_r101_c4"), which is
        downloaded at its first use; several make an ensemble.
        ``device``: "auto" is a CUDA GPU if there is one.
        ``inference``, ``resize``: in place of those stored in the checkpoint.
        ``winograd``: see :func:`detection.model.frozen_bn.use_winograd`.
        ``regions_at_once``: see :func:`detection.model.region_cache.in_chunks`.
        ``networks``: those of its two that will be asked, "rpn" and "fast_rcnn".
        ``trust``: other packages that its classes may come from, see :mod:`detection.build`.
        Raises ValueError if one of them has not been trained, if the checkpoints' classes differ,
        or their ``inference`` or ``resize`` while none is given.
        """
        chosen = find_device(device)
        checkpoints = load_checkpoints(
            paths,
            networks=networks,
            same_inference=inference is None,
            same_resize=resize is None,
            trust=trust,
        )
        first = checkpoints[0]
        models = [
            load_model(each, winograd=winograd, regions_at_once=regions_at_once, trust=trust)
            for each in checkpoints
        ]
        return cls(
            models=[model.to(chosen) for model in models],
            class_names=first.class_names,
            category_ids=first.category_ids,
            resize=resize or build(first.resize),
            inference=inference or build(first.inference, trust=trust),
            device=chosen,
            precision=precision,
        )

    # A text and a tensor are iterable too: the first signature that fits counts.
    @overload
    def __call__(  # type: ignore[overload-overlap]
        self,
        photos: ImageInput,
        *,
        threshold: Threshold | None = None,
        tile: int | None = None,
        tile_overlap: float | None = None,
        bgr: bool = False,
        batch_size: int = 1,
        errors: Literal["raise", "warn"] = "raise",
    ) -> Result: ...
    @overload
    def __call__(
        self,
        photos: Iterable[ImageInput],
        *,
        threshold: Threshold | None = None,
        tile: int | None = None,
        tile_overlap: float | None = None,
        bgr: bool = False,
        batch_size: int = 1,
        errors: Literal["raise", "warn"] = "raise",
    ) -> Iterator[Result]: ...
    def __call__(
        self,
        photos: ImageInput | Iterable[ImageInput],
        *,
        threshold: Threshold | None = None,
        tile: int | None = None,
        tile_overlap: float | None = None,
        bgr: bool = False,
        batch_size: int = 1,
        errors: Literal["raise", "warn"] = "raise",
    ) -> Result | Iterator[Result]:
        """The detections in a photo; of a list, an iterator or a folder an iterator over them.

        ``photos``: see :func:`detection.data.image_input.to_image`.  In typed code a folder is
        given to :meth:`stream`, because a type checker takes every path for a file.
        ``threshold``: the lowest score, in [0, 1], of all or of classes by their names
        ({"person": 0.7}); by default that of the post-processing.
        ``tile``, ``tile_overlap``: see pictures larger than so many pixels in overlapping tiles,
        too (:mod:`detection.inference.tiles`), by a quarter if it is not said.
        ``bgr``: whether arrays and tensors have OpenCV's order of channels, and not RGB.
        ``batch_size``: photos that go through the network together, in an iterator.
        ``errors``: in an iterator, "warn" logs a photo that cannot be read and leaves it out.
        Raises FileNotFoundError, TypeError and ValueError as ``to_image`` does.
        """
        check_options(batch_size, errors)
        if is_image_input(photos) and not is_folder(photos):
            photos, batch_size, errors, is_one = [photos], 1, "raise", True
        else:
            is_one = False
        found = self.stream(
            photos,
            threshold=threshold,
            tile=tile,
            tile_overlap=tile_overlap,
            bgr=bgr,
            batch_size=batch_size,
            errors=errors,
        )
        return next(found) if is_one else found

    def stream(
        self,
        photos: ImageInput | Iterable[ImageInput],
        *,
        threshold: Threshold | None = None,
        tile: int | None = None,
        tile_overlap: float | None = None,
        bgr: bool = False,
        batch_size: int = 1,
        errors: Literal["raise", "warn"] = "raise",
    ) -> Iterator[Result]:
        """As :meth:`__call__`, but always an iterator: photos are read as results are asked for."""
        read = photo_batches(each(photos), batch_size=batch_size, bgr=bgr, errors=errors)
        wanted = CallThreshold.of(threshold, self.inference.post_processing, self.class_names)
        detector = copy.copy(self)
        detector.inference = replace(self.inference, post_processing=wanted.step)
        detect = detector.detect_arrays
        if tile is not None:
            overlap = 0.25 if tile_overlap is None else tile_overlap
            detect = TiledDetector(
                detector, tile=tile, overlap=overlap, batch_size=batch_size
            ).__call__
        elif tile_overlap is not None:
            raise ValueError(f"tile_overlap={tile_overlap} is of tile=: give both, or none")
        return (
            Result(
                # Out of inference mode, whose tensors may not be changed in place.
                wanted(detections).clone(),
                self.class_names,
                self.category_ids,
                photo.image,
                photo.path,
            )
            for batch in read
            for photo, detections in zip(
                batch, detect([photo.image for photo in batch]), strict=True
            )
        )

    def features(self, photo: ImageInput, boxes: object, *, bgr: bool = False) -> Tensor:
        """Conv5's vectors of regions, float32 [R, region_channels]: 2048 of a ResNet-50 or deeper.

        ``boxes``: [R, 4], (x1, y1, x2, y2) in pixels of the photo: a result's, or any others.
        They are cut to the photo.  Raises ValueError for boxes without an area in it, and for an
        ensemble, whose models have different features.

            >>> from detection import Detector
            >>> detector = Detector.load("best.pt")
            >>> result = detector("photo.jpg")
            >>> detector.features("photo.jpg", result.boxes).shape[0] == len(result)
            True
        """
        image = read_photo(photo, bgr=bgr).image
        size = (image.shape[0], image.shape[1])
        regions = regions_of(boxes, size)
        seen = self._batch([self.resize(image, self.resize.shorter_sides[0])])
        with torch.inference_mode(), autocast(self.device, self.precision):
            found = vectors(self.model, seen, regions, size)
        return found.float().cpu().clone()

    def __repr__(self) -> str:
        some = ", ".join(self.class_names[:3]) + ", ..." * (len(self.class_names) > 3)
        models = "" if len(self.models) == 1 else f" of {len(self.models)} models"
        where = f"on {self.device} in {self.precision}"
        return f"<Detector{models}: {len(self.class_names)} classes ({some}) {where}>"
