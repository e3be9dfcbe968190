"""Proposals on disk: Fast R-CNN learns from them if the RPN is trained separately.

A safetensors file for I images with P proposals in all; those of an image are sorted, best first::

    boxes      uint16  [P, 4]   (x1, y1, x2, y2) in 65535ths of the image's width and height
    logits     float16 [P]      objectness
    ends       int64   [I]      the proposals of image i are ends[i - 1] ... ends[i]
    image_ids  int64   [I]
    names      uint8   [...]    the images' file names, one per line

A proposal takes 10 bytes and is exact to a hundredth of a pixel: 2,000 proposals for each of COCO's
80,000 training images take 1.6 GB.  Only the proposals that are asked for are read.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from detection.atomic_write import atomic_write
from detection.data.dataset import DetectionDataset, Example
from detection.structures import Proposals

STEPS = 65535


class ProposalsFile:
    """The proposals for ``dataset``, all of whose images must be in the file at ``path``.

    Raises FileNotFoundError; ValueError if it is another kind of file or is of other images.
    """

    def __init__(self, path: Path, dataset: DetectionDataset) -> None:
        self.path = Path(path)
        if not self.path.is_file():
            raise FileNotFoundError(
                f"{self.path}: no such file of proposals; detection propose writes one"
            )
        try:
            with safe_open(self.path, framework="numpy") as file:
                ends, image_ids, names = map(file.get_tensor, ("ends", "image_ids", "names"))
        except SafetensorError as error:
            raise ValueError(f"{self.path}: not a file of proposals: {error}") from None
        listed = names.tobytes().decode().splitlines()
        rows = zip(image_ids.tolist(), listed, [0, *ends.tolist()], ends.tolist(), strict=False)
        self._rows = {image_id: (name, begin, end) for image_id, name, begin, end in rows}
        for example in dataset.examples:
            name, _, _ = self._rows.get(example.image_id, ("", 0, 0))
            if name != example.path.name:
                raise ValueError(
                    f"{self.path}: it holds {name or 'nothing'!r} as image {example.image_id}, "
                    f"which in {dataset.source} is {example.path.name!r}: they are the proposals "
                    "of another data set or split; write them anew with detection propose"
                )

    def read(self, example: Example, most: int | None = None) -> Proposals:
        """The best ``most`` proposals of one image (None: all), in pixels of the stored image.

        Opens the file again each time, because worker processes cannot share a handle.
        """
        _, begin, end = self._rows[example.image_id]
        end = end if most is None else min(end, begin + most)
        with safe_open(self.path, framework="numpy") as file:
            boxes = file.get_slice("boxes")[begin:end]
            logits = file.get_slice("logits")[begin:end]
        return Proposals(
            boxes=torch.from_numpy(boxes.astype(np.float32) / STEPS * _extent(example)),
            logits=torch.from_numpy(logits.astype(np.float32)),
        )


def is_proposals_file(path: Path) -> bool:
    try:
        with safe_open(path, framework="numpy") as file:
            return {"boxes", "logits", "ends", "image_ids", "names"} <= {*file.keys()}
    except (SafetensorError, OSError):
        return False


class ProposalsWriter:
    """Collects the proposals of a data set and writes them to one file."""

    def __init__(self) -> None:
        self._boxes: list[NDArray[np.uint16]] = []
        self._logits: list[NDArray[np.float16]] = []
        self._examples: list[tuple[int, str]] = []

    def add(self, example: Example, proposals: Proposals) -> None:
        """``proposals``: in pixels of the stored image, clipped to it, best first."""
        steps = proposals.boxes.numpy() / _extent(example) * STEPS
        self._boxes.append(steps.round().clip(0, STEPS).astype(np.uint16))
        self._logits.append(proposals.logits.numpy().astype(np.float16))
        self._examples.append((example.image_id, example.path.name))

    def save(self, path: Path) -> None:
        """An interrupted save leaves no incomplete file."""
        counts = [len(boxes) for boxes in self._boxes]
        names = "\n".join(name for _, name in self._examples)
        content = {
            "boxes": np.concatenate([np.empty((0, 4), np.uint16), *self._boxes]),
            "logits": np.concatenate([np.empty(0, np.float16), *self._logits]),
            "ends": np.cumsum(counts, dtype=np.int64),
            "image_ids": np.array([image_id for image_id, _ in self._examples], np.int64),
            "names": np.frombuffer(names.encode(), dtype=np.uint8),
        }
        with atomic_write(path) as partial:
            partial.touch()
            mode = partial.stat().st_mode
            save_file(content, partial)
            # safetensors >= 0.8 makes files that only their owner can read.
            partial.chmod(mode)


def _extent(example: Example) -> NDArray[np.float32]:
    height, width = example.size
    return np.array((width, height, width, height), dtype=np.float32)
