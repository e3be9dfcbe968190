"""The first weights where none are named: the best that can be had here without a long wait."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from detection.weights.by_name import weights_file
from detection.weights.cache import hub_folder, kept_file
from detection.weights.download import MIRROR_VARIABLE
from detection.weights.published import PUBLISHED, Published

# A detector knows what objects are; ImageNet's weights know what pictures are made of.
DETECTOR, BACKBONE = "coco_r50_c4", "msra_r50"
_SECONDS = 2.0


@dataclass(frozen=True)
class FirstWeights:
    """One of ``detector`` and ``backbone`` is a name, or both are None; ``reason``: why."""

    detector: str | None
    backbone: str | None
    reason: str


def first_weights_here(
    *, fetch: bool, whole: bool = True, is_reachable: Callable[[str], bool] | None = None
) -> FirstWeights:
    """A COCO detector, or else ImageNet's weights, or else none.

    ``whole``: whether a detector will do, whose RPN and head fit no others.

    The network is tried once and shortly.  ``fetch``: whether what is found is downloaded at once,
    so that what cannot be had after all is not chosen.
    """
    rows = [PUBLISHED[DETECTOR], PUBLISHED[BACKBONE]] if whole else [PUBLISHED[BACKBONE]]
    for row in rows:
        if _is_here(row):
            return _chosen(row, "kept on this machine")
    mirror = os.environ.get(MIRROR_VARIABLE, "")
    if not mirror or "://" in mirror:
        address = mirror or rows[0].file().address
        if (is_reachable or _is_reachable)(address):
            for row in rows:
                if not fetch or _fetched(row):
                    return _chosen(row, f"to be had from {urlsplit(address).hostname}")
    return FirstWeights(
        None,
        None,
        "WARNING: no pre-trained weights are here and the network is not there, so training starts "
        "from random ones: with few pictures hardly anything is learnt in an hour. Give weights= a "
        f"file (detection weights {BACKBONE} says where to get one), or set {MIRROR_VARIABLE}",
    )


def _chosen(row: Published, where: str) -> FirstWeights:
    if row.kind == "detector":
        reason = f"{row.what}, {where}: objects are known to it, new classes get new layers"
        return FirstWeights(row.name, None, reason)
    return FirstWeights(None, row.name, f"{row.what}, {where}")


def _is_here(row: Published) -> bool:
    mirror = os.environ.get(MIRROR_VARIABLE, "")
    name = row.file().name
    in_mirror = bool(mirror) and (Path(mirror).expanduser() / name).is_file()
    return kept_file(row).is_file() or (hub_folder() / name).is_file() or in_mirror


def _fetched(row: Published) -> bool:
    try:
        weights_file(row.name, kind=row.kind)
    except (ValueError, OSError):
        return False
    return True


def _is_reachable(address: str) -> bool:
    """Whether the server answers within two seconds; its name may take as long to be found."""
    parts = urlsplit(address)
    answered = threading.Event()

    def ask() -> None:
        try:
            port = parts.port or (443 if parts.scheme == "https" else 80)
            socket.create_connection((parts.hostname or "", port), timeout=_SECONDS).close()
            answered.set()
        except OSError:
            return

    asker = threading.Thread(target=ask, daemon=True)
    asker.start()
    asker.join(_SECONDS)
    return answered.is_set()
