"""What OpenMMLab's checkpoints say of themselves in ``meta``: their configuration and classes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from detection.weights.file_content import mapping_of


def input_of(content: Mapping[Any, Any]) -> dict[str, str]:
    """Pixels and stride as :func:`detection.weights.input_format.from_description` reads them.

    They stand in the text of the configuration: ``mean=[...]``, ``std=[...]``, ``to_rgb=`` or
    ``bgr_to_rgb=``, and ``style='caffe'`` (stride in the 1x1 convolution) or ``'pytorch'``.
    Empty if one of them is not there, or is there with two values.
    """
    meta = mapping_of(content.get("meta")) or {}
    text = str(meta.get("config") or meta.get("cfg") or "")
    numbers = r"\s*=\s*[\[(]([\d., \n]+)[\])]"
    mean = set(re.findall(rf"\bmean{numbers}", text))
    std = set(re.findall(rf"\bstd{numbers}", text))
    rgb = set(re.findall(r"\b(?:bgr_to_rgb|to_rgb)\s*=\s*(True|False)", text))
    style = set(re.findall(r"\bstyle\s*=\s*['\"](caffe|pytorch)['\"]", text))
    if not all(len(found) == 1 for found in (mean, std, rgb, style)):
        return {}
    order = "RGB" if rgb == {"True"} else "BGR"
    return {
        "input": f"{order} mean {_spaced(mean.pop())} std {_spaced(std.pop())}",
        "stride_2": "1x1" if style == {"caffe"} else "3x3",
    }


def _spaced(numbers: str) -> str:
    return " ".join(re.findall(r"[\d.]+", numbers))


def class_names_of(content: Mapping[Any, Any]) -> tuple[str, ...] | None:
    """The classes of a detector or a classifier, in its order; None if the file does not say."""
    meta = mapping_of(content.get("meta")) or {}
    data = mapping_of(meta.get("dataset_meta")) or {}
    names = next(
        (m[key] for m in (data, meta) for key in ("classes", "CLASSES") if m.get(key)), None
    )
    return tuple(map(str, names)) if isinstance(names, (list, tuple)) else None
