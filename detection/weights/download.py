"""Published files of weights: out of torch.hub's cache, a folder, a mirror or the network."""

from __future__ import annotations

import hashlib
import http.client
import logging
import os
import re
import shutil
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.error import HTTPError, URLError

from tqdm import tqdm

from detection.user_path import user_path
from detection.weights.cache import hub_folder
from detection.weights.published import Published, PublishedFile

log = logging.getLogger(__name__)

# A folder, or the address of one, that the published files are taken from instead of the network.
MIRROR_VARIABLE = "DETECTION_WEIGHTS"
# So long may a server say nothing.  torch.hub's downloader would wait for ever.
SECONDS_OF_SILENCE = 30.0
_CHUNK = 1 << 20


@contextmanager
def published_file(row: Published, *, work: Path) -> Iterator[Path]:
    """The file as it is published, whole and with the published hash.

    It is taken from torch.hub's cache, if it is there under its own name; else from where
    DETECTION_WEIGHTS says; else from its address.  A download is removed at the end.
    ``work``: a folder for the download that nobody else uses; whatever is in it is removed.
    Raises ValueError, with the address and where to put the file by hand, if it cannot be had.
    """
    file = row.file()
    mirror = os.environ.get(MIRROR_VARIABLE, "")
    here = hub_folder() / file.name
    if not here.is_file() and mirror and not _is_address(mirror):
        here = user_path(mirror) / file.name
        if not here.is_file():
            raise ValueError(
                f"{row.name}: {MIRROR_VARIABLE}={mirror} has no {file.name}; it is published at "
                f"{file.address}"
            )
    if here.is_file():
        log.info("%s: %s", row.name, here)
        _check_hash(file, here, remedy="remove it, or replace it by the published one")
        yield here
        return
    address = f"{mirror.rstrip('/')}/{file.name}" if mirror else file.address
    log.info("%s: %s (licence: %s)", row.name, address, row.licence)
    shutil.rmtree(work, ignore_errors=True)  # what a killed download left
    work.mkdir(parents=True)
    try:
        target = work / file.name
        try:
            _download(address, target)
        except (OSError, http.client.HTTPException) as error:
            raise ValueError(
                f"{row.name}: {address} cannot be downloaded ({_reason(error)}); fetch it by hand "
                f"and put it at {hub_folder() / file.name}, or into a folder or mirror that the "
                f"environment variable {MIRROR_VARIABLE} names"
            ) from None
        _check_hash(file, target, shown=address, remedy="try again, or use another mirror")
        yield target
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _is_address(mirror: str) -> bool:
    return re.match(r"https?://", mirror) is not None


def _download(address: str, target: Path) -> None:
    """With a progress bar.  Raises OSError or HTTPException, also if it was cut."""
    request = urllib.request.Request(address, headers={"User-Agent": "torch.hub"})
    with (
        urllib.request.urlopen(request, timeout=SECONDS_OF_SILENCE) as response,
        target.open("wb") as file,
    ):
        length = response.headers.get("Content-Length")
        size = None if length is None else int(length)
        with tqdm(total=size, unit="B", unit_scale=True, unit_divisor=1024) as bar:
            while chunk := response.read(_CHUNK):
                bar.update(file.write(chunk))
    # The end of a connection looks like the end of the file.
    if size not in (None, target.stat().st_size):
        raise OSError(f"the connection was cut after {target.stat().st_size} of {size} bytes")


def _reason(error: Exception) -> str:
    if isinstance(error, URLError) and not isinstance(error, HTTPError):
        error = error.reason if isinstance(error.reason, Exception) else error
    if isinstance(error, TimeoutError):
        return f"the server says nothing for {SECONDS_OF_SILENCE:g} s"
    return " ".join(str(error).split()) or type(error).__name__


def _check_hash(file: PublishedFile, path: Path, *, remedy: str, shown: str = "") -> None:
    if file.algorithm is None or file.digest is None:
        return
    found = hashlib.new(file.algorithm, usedforsecurity=False)
    with path.open("rb") as content:
        while chunk := content.read(_CHUNK):
            found.update(chunk)
    if not found.hexdigest().startswith(file.digest):
        raise ValueError(
            f"{shown or path} is not the published file: its {file.algorithm} begins with "
            f"{found.hexdigest()[: len(file.digest)]} and not with {file.digest}; {remedy}"
        )
