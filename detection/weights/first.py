"""The first weights where none are named: the best that can be had here without a long wait."""

from __future__ import annotations

import http.client
import os
import threading
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from urllib.error import HTTPError
from urllib.parse import urlsplit

from detection.user_path import user_path
from detection.weights.by_name import weights_file
from detection.weights.cache import hub_folder, kept_file
from detection.weights.download import MIRROR_VARIABLE
from detection.weights.published import PUBLISHED, Published

# A detector knows what objects are; ImageNet's weights know what pictures are made of.
DETECTOR, BACKBONE = "coco_r50_c4", "msra_r50"
_SECONDS = 2.0
# A proxy, or a gateway, says so of a server that it does not reach or may not ask.
_NOT_THERE = (407, 502, 503, 504)


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

    The network is tried once and shortly.  ``fetch``: whether what is found is downloaded at once,
    so that what cannot be had after all is not chosen.  ``whole``: whether a detector will do,
    whose RPN and head fit no others.
    """
    rows = [PUBLISHED[DETECTOR], PUBLISHED[BACKBONE]] if whole else [PUBLISHED[BACKBONE]]
    for row in rows:
        if _is_here(row):
            return _chosen(row, "kept on this machine")
    mirror = os.environ.get(MIRROR_VARIABLE, "")
    if mirror and "://" not in mirror:
        return _none(f"{MIRROR_VARIABLE}={mirror} has none")
    address = mirror or rows[0].file().address
    server = urlsplit(address).hostname
    if not (is_reachable or _is_reachable)(address):
        return _none(f"{server} does not answer")
    problems: list[str] = []
    for row in rows:
        if not fetch or _fetched(row, problems):
            return _chosen(row, f"to be had from {server}", problems)
    return _none("; ".join(problems))


def _none(why: str) -> FirstWeights:
    return FirstWeights(
        None,
        None,
        f"WARNING: no pre-trained weights are here and none can be had ({why}), so training starts "
        "from random ones: with few pictures hardly anything is learnt in an hour. Give weights= a "
        f"file (detection weights {BACKBONE} says where to get one), or set {MIRROR_VARIABLE}",
    )


def _chosen(row: Published, where: str, problems: Sequence[str] = ()) -> FirstWeights:
    if row.kind == "detector":
        reason = f"{row.what}, {where}: objects are known to it, new classes get new layers"
        return FirstWeights(row.name, None, reason)
    instead = "".join(f"; better ones cannot be had: {problem}" for problem in problems)
    return FirstWeights(None, row.name, f"{row.what}, {where}{instead}")


def _is_here(row: Published) -> bool:
    mirror = os.environ.get(MIRROR_VARIABLE, "")
    name = row.file().name
    in_mirror = bool(mirror) and (user_path(mirror) / name).is_file()
    return kept_file(row).is_file() or (hub_folder() / name).is_file() or in_mirror


def _fetched(row: Published, problems: list[str]) -> bool:
    try:
        weights_file(row.name, kind=row.kind)
    except (ValueError, OSError) as error:
        problems.append(" ".join(str(error).split()))
        return False
    return True


def _is_reachable(address: str) -> bool:
    """Whether the server answers within two seconds; its name may take as long to be found.

    It is asked as the download will ask, through the proxies of the environment.
    """
    answered = threading.Event()

    def ask() -> None:
        headers = {"User-Agent": "torch.hub"}
        try:
            head = urllib.request.Request(address, method="HEAD", headers=headers)
            urllib.request.urlopen(head, timeout=_SECONDS).close()
        except HTTPError as error:  # the server is there, whatever it thinks of the question
            if error.code in _NOT_THERE:
                return
        except (OSError, ValueError, http.client.HTTPException):
            return
        answered.set()

    asker = threading.Thread(target=ask, daemon=True)
    asker.start()
    asker.join(_SECONDS)
    return answered.is_set()
