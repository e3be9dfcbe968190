"""What was found in one photo, for people and programs: names, pictures, tables.

:class:`detection.structures.Detections` holds the tensors alone; a :class:`Result` adds the names
of the classes and the photo.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from os import PathLike
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, overload

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from detection.inference.coco_entries import coco_entries
from detection.inference.result_files import import_optional, show_picture, to_png, write_result
from detection.structures import Detections
from detection.visualization.draw import draw_detections
from detection.visualization.style import DEFAULT, DrawingStyle

if TYPE_CHECKING:
    import pandas
    import supervision


@dataclass(frozen=True)
class Detection:
    """One object.

    ``box``: (x1, y1, x2, y2) in pixels of the photo, see :mod:`detection.boxes`.  ``score``: in
    [0, 1].  ``label``: 1 ... C.

        >>> from detection import Detection
        >>> found = Detection((10.0, 20.0, 110.0, 80.0), 0.98, 1, "person")
        >>> found.class_name, found.score
        ('person', 0.98)
        >>> print(found)
        person 0.98 at (10, 20, 110, 80)
    """

    box: tuple[float, float, float, float]
    score: float
    label: int
    class_name: str

    def __str__(self) -> str:
        corners = ", ".join(format(edge, ".0f") for edge in self.box)
        return f"{self.class_name} {self.score:.2f} at ({corners})"


@dataclass(frozen=True, repr=False, eq=False)
class Result:
    """The detections in one photo, best first; a sequence of :class:`Detection`.

    ``detections``: the tensors.  ``class_names[label - 1]``, ``category_ids[label - 1]``: of all
    classes that the detector knows.  ``photo``: uint8 [H, W, 3], BGR, upright; boxes are in its
    pixels.  ``path``: its file, where it came from one.

    ``result[0]`` is a :class:`Detection`; a slice, a mask or a list of indices makes a smaller
    result.

        >>> from detection import Detector
        >>> result = Detector.load("best.pt")("photo.jpg")
        >>> best = result[0]
        >>> best.class_name in result.class_names
        True
        >>> len(result[result.scores >= best.score]), len(result[:2]), len(result[[0, 1]])
        (1, 2, 2)
        >>> result.boxes.shape[1], len(result.names) == len(result)
        (4, True)
        >>> result.save("drawn.jpg")
    """

    detections: Detections
    class_names: tuple[str, ...]
    category_ids: tuple[int, ...]
    photo: NDArray[np.uint8] = field(repr=False)
    path: Path | None = None

    @property
    def boxes(self) -> Tensor:
        """float32 [D, 4], (x1, y1, x2, y2) in pixels of the photo."""
        return self.detections.boxes

    @property
    def scores(self) -> Tensor:
        """float32 [D] in [0, 1], falling."""
        return self.detections.scores

    @property
    def labels(self) -> Tensor:
        """int64 [D], 1 ... C: 0 is background, which is never detected."""
        return self.detections.labels

    @property
    def names(self) -> list[str]:
        """The class name of each detection."""
        return [self.class_names[label - 1] for label in self.labels.tolist()]

    @property
    def image(self) -> NDArray[np.uint8]:
        """The photo, uint8 [H, W, 3], RGB, upright."""
        return np.ascontiguousarray(self.photo[:, :, ::-1])

    def __len__(self) -> int:
        return len(self.detections)

    def __iter__(self) -> Iterator[Detection]:
        found = self.detections
        rows = zip(found.boxes.tolist(), found.scores.tolist(), found.labels.tolist(), strict=True)
        for (x1, y1, x2, y2), score, label in rows:
            yield Detection((x1, y1, x2, y2), score, label, self.class_names[label - 1])

    @overload
    def __getitem__(self, index: int) -> Detection: ...
    @overload
    def __getitem__(self, index: slice | Tensor | NDArray[Any] | Sequence[Any]) -> Result: ...
    def __getitem__(
        self, index: int | slice | Tensor | NDArray[Any] | Sequence[Any]
    ) -> Detection | Result:
        if isinstance(index, str):
            raise TypeError(f"detections have numbers: those of a class are named({index!r})")
        if isinstance(index, slice):  # of any step, also backwards, which tensors do not have
            return self[list(range(*index.indices(len(self))))]
        try:
            rows = torch.as_tensor(index)
        except (TypeError, ValueError, RuntimeError):
            rows = torch.empty(0, 0)
        if rows.ndim == 0 and not rows.dtype.is_floating_point and rows.dtype != torch.bool:
            number = int(rows)
            if not -len(self) <= number < len(self):
                raise IndexError(f"detection {number} of {len(self)}")
            return next(iter(self[[number % len(self)]]))
        # An empty list has no type of its own.
        rows = rows.long() if rows.shape == (0,) and rows.dtype != torch.bool else rows
        if rows.ndim != 1 or rows.dtype.is_floating_point:
            raise TypeError(
                f"an index is a number, a slice, a mask or a list of numbers: {index!r}"
            )
        return replace(self, detections=self.detections[rows])

    def named(self, *names: str) -> Result:
        """The detections of these classes alone.  Raises ValueError for an unknown one.

        >>> from detection import Detector
        >>> result = Detector.load("best.pt")("photo.jpg")
        >>> set(result.named("circle", "star").names) <= {"circle", "star"}
        True
        """
        unknown = [name for name in names if name not in self.class_names]
        if unknown:
            raise ValueError(
                f"no class {', '.join(map(repr, unknown))}; there are {', '.join(self.class_names)}"
            )
        wanted = [self.class_names.index(name) + 1 for name in names]
        return self[torch.isin(self.labels, torch.tensor(wanted, dtype=torch.int64))]

    def __repr__(self) -> str:
        some = [f"{found.class_name} {found.score:.2f}" for found in self[:5]]
        more = ["..."] if len(self) > 5 else []
        where = self.path.name if self.path else f"{self.photo.shape[1]} x {self.photo.shape[0]}"
        count = f"{len(self)} detection{'' if len(self) == 1 else 's'} in {where}"
        return f"<Result: {count}{': ' if some else ''}{', '.join([*some, *more])}>"

    def draw(self, *, bgr: bool = False, style: DrawingStyle = DEFAULT) -> NDArray[np.uint8]:
        """A copy of the photo with frames and names, uint8 [H or more, W, 3], RGB.

        ``bgr``: in OpenCV's order instead, for ``cv2.imwrite`` and ``cv2.imshow``.  Names that find
        no room stand in rows below the photo, if ``style`` does not say ``legend=False``.
        """
        found, names = self.detections, self.class_names
        drawn = draw_detections(self.photo, found, names, min_score=0.0, style=style)
        return drawn if bgr else np.ascontiguousarray(drawn[:, :, ::-1])

    def show(self, *, style: DrawingStyle = DEFAULT) -> None:
        """Shows the drawn photo: in a notebook's cell, otherwise in the system's viewer.

        Raises RuntimeError where there is neither, as on a server: save it there.
        """
        show_picture(self, style)

    def _repr_png_(self) -> bytes:
        """What a notebook shows for a result."""
        return to_png(self.draw(bgr=True))

    def save(self, path: str | PathLike[str], *, style: DrawingStyle = DEFAULT) -> None:
        """Writes the drawn photo, or for ``.json`` the list of :meth:`to_coco`.

        Its folder is made.  Raises ValueError for a suffix that is neither.
        """
        write_result(self, Path(path), style)

    def to_coco(self, image_id: int | str | None = None) -> list[dict[str, Any]]:
        """A COCO results list: ``bbox`` is [x, y, width, height] in pixels of the photo.

        Entries have ``category_id`` of the data set that the detector was trained on,
        ``class_name``, ``score``, the ``file_name`` of a photo from a file, and the ``image_id``
        that COCO's tools need, where one is given: the photo's in the annotations.

        >>> from detection import Detector
        >>> entries = Detector.load("best.pt")("photo.jpg").to_coco(image_id=7)
        >>> sorted(entries[0])
        ['bbox', 'category_id', 'class_name', 'file_name', 'image_id', 'score']
        """
        named: dict[str, Any] = {}
        if image_id is not None:  # numpy's numbers are none of JSON's
            named["image_id"] = image_id if isinstance(image_id, str) else int(image_id)
        if self.path is not None:
            named["file_name"] = self.path.name
        return [
            {**named, **entry, "class_name": name}
            for entry, name in zip(
                coco_entries(self.detections, self.category_ids), self.names, strict=True
            )
        ]

    def to_pandas(self) -> pandas.DataFrame:
        """A row for each detection: class_name, score, x1, y1, x2, y2, label, file_name.

        Raises ImportError without pandas: ``pip install "detection[pandas]"``.
        """
        pandas: ModuleType = import_optional("pandas")
        columns = ["class_name", "score", "x1", "y1", "x2", "y2", "label", "file_name"]
        file = self.path.name if self.path else None
        rows = [(d.class_name, d.score, *d.box, d.label, file) for d in self]
        table = pandas.DataFrame(rows, columns=columns)
        # Without a row pandas does not know what a column holds.
        return table.astype({**dict.fromkeys(columns[1:6], "float64"), "label": "int64"})

    def to_supervision(self) -> supervision.Detections:
        """``supervision.Detections``; its ``class_id`` counts from 0: ``class_names[class_id]``.

        Raises ImportError without supervision: ``pip install "detection[supervision]"``.
        """
        supervision: ModuleType = import_optional("supervision")
        return supervision.Detections(
            xyxy=self.boxes.numpy(),
            confidence=self.scores.numpy(),
            class_id=self.labels.numpy() - 1,
            data={"class_name": np.array(self.names, dtype=str)},
        )
