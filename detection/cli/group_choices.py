"""Which files of a group are a detector's, and which a classifier's."""

from __future__ import annotations

# The groups that both have; of experiments a classifier's are a folder of their own.
_CLASSIFIERS = {
    "data": ("cifar10", "imagenet"),
    "model/pixels": ("per_pixel_mean",),
    "schedule": ("cifar", "imagenet"),
}
_CLASSIFIERS_EXPERIMENTS = "classification/"


def is_for(config: str, group: str, name: str) -> bool:
    """Whether the command of configs/<config>.yaml can use the file ``name`` of ``group``."""
    of_classifiers = config == "classifier"
    if group == "experiment":
        return name.startswith(_CLASSIFIERS_EXPERIMENTS) is of_classifiers
    only = name in _CLASSIFIERS.get(group, ())
    # A classifier takes a detector's schedule and pixels too, but no data set of boxes.
    return only or group != "data" if of_classifiers else not only
