"""``data.classes``: the classes that are used, as they were typed."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import yaml

from detection.data.dataset import DetectionDataset


def choose_classes(
    dataset: DetectionDataset, classes: Sequence[object], *, elsewhere: Callable[[], list[str]]
) -> DetectionDataset:
    """``dataset`` with only these classes, in this order.

    ``elsewhere``: the classes of the other splits, asked only where ``dataset`` lacks one: many
    formats know those of a split by its objects alone.
    Raises ValueError for a class that no split has.
    """
    names = [_class_name(name, dataset.class_names) for name in classes]
    # A VOC test set without annotations does not say what its classes are.
    if not dataset.annotated and not set(names) & set(dataset.class_names):
        return dataset.with_class_names(names)
    if not set(names) <= set(dataset.class_names):
        others = elsewhere()
        names = [_class_name(name, (*dataset.class_names, *others)) for name in classes]
        dataset = dataset.add_classes([name for name in names if name in others])
    return dataset.select_classes(names)


def _class_name(given: object, names: Sequence[str]) -> str:
    """The class that ``given`` names: 0 is "0", true is "true", as they were typed."""
    if isinstance(given, str):
        return given
    same = [
        name for name in names if _as_yaml(name) == given and type(_as_yaml(name)) is type(given)
    ]
    return same[0] if len(same) == 1 else str(given)


def _as_yaml(name: str) -> object:
    try:
        return yaml.safe_load(name)
    except (yaml.YAMLError, RecursionError, TypeError, ValueError):
        return name
