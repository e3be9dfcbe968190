"""What our export writes beside the weights for detectron2, which reads over it.

Weights under other names say neither which anchors they were trained on nor how regions are pooled:
with this entry a detector comes back as it went.
"""

from __future__ import annotations

from typing import Any

from detection.checkpoint import Checkpoint
from detection.weights.file_content import mapping_of

ENTRY = "detection"
_FIELDS: dict[str, type] = {
    "model_config": dict, "resize": dict, "inference": dict, "class_names": list,
    "category_ids": list,
}  # fmt: skip


def description(checkpoint: Checkpoint) -> dict[str, Any]:
    """All of a checkpoint but its weights and its training."""
    return {name: getattr(checkpoint, name) for name in _FIELDS}


def description_of(tree: Any) -> dict[str, Any] | None:
    """The inverse, from the content of a file; None if it has no such entry."""
    found = (mapping_of(tree) or {}).get(ENTRY)
    if not isinstance(found, dict) or found.keys() != _FIELDS.keys():
        return None
    right = all(isinstance(found[name], kind) for name, kind in _FIELDS.items())
    return dict(found) if right else None
