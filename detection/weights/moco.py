"""Checkpoints of MoCo (He et al. 2020) -> the ResNet under torchvision's names.

MoCo's ``convert-pretrain-to-detectron2.py`` converts them to detectron2's names; those files load
too (:mod:`detection.weights.detectron2`).
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

QUERY = "module.encoder_q."


def from_moco(weights: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], list[str]]:
    """The query encoder without its projection -> (torchvision's names, the names left out).

    Left out are the key encoder, the queue and the projection (``fc``).
    """
    renamed, left_out = {}, []
    for name, value in weights.items():
        if name.startswith(QUERY) and not name.startswith(f"{QUERY}fc."):
            renamed[name.removeprefix(QUERY)] = value
        elif name.startswith((f"{QUERY}fc.", "module.encoder_k.", "module.queue")):
            left_out.append(name)
        else:
            raise ValueError(f"{name!r} is no parameter of MoCo's checkpoints")
    return renamed, left_out
