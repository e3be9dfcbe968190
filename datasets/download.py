"""Downloads the public data sets of the paper and unpacks them into folders that the tools read.

python datasets/download.py voc2007 voc2012 coco2014 [--to datasets] [--list]

An interrupted download continues where it stopped.  A file is accepted only with the size that the
server announces and the checksum, if one is recorded below.  An archive that has been unpacked is
not fetched again, even after it has been removed.

Not fetched, because they need an account: the test images of VOC 2012
(http://host.robots.ox.ac.uk:8080) and ImageNet DET (https://image-net.org).
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import sys
import tarfile
import time
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

from tqdm import tqdm

CHUNK = 1 << 20
TIMEOUT = 60  # seconds without a byte


@dataclass(frozen=True)
class Archive:
    """``md5``: as published with the data set, or by libraries that read it; None: not known."""

    url: str
    md5: str | None = None

    @property
    def name(self) -> str:
        return self.url.rpartition("/")[2]


VOC = "http://host.robots.ox.ac.uk/pascal/VOC"
COCO = "http://images.cocodataset.org"

# VOC's checksums are those of torchvision.datasets.VOCDetection.
SOURCES: dict[str, tuple[Archive, ...]] = {
    "voc2007": (
        Archive(f"{VOC}/voc2007/VOCtrainval_06-Nov-2007.tar", "c52e279531787c972589f7e41ab4ae64"),
        Archive(f"{VOC}/voc2007/VOCtest_06-Nov-2007.tar", "b6e924de25625d8de591ea690078ad9f"),
    ),
    "voc2012": (
        Archive(f"{VOC}/voc2012/VOCtrainval_11-May-2012.tar", "6cd6e144f989b92b3379bac3b3de84fd"),
    ),
    "coco2014": (
        Archive(f"{COCO}/annotations/annotations_trainval2014.zip"),
        Archive(f"{COCO}/zips/train2014.zip", "0da8c0bd3d6becc4dcb32757491aca88"),
        Archive(f"{COCO}/zips/val2014.zip", "a3d79f5ed8d289b7a7554ce06a5782b3"),
    ),
    "coco2015_test": (
        Archive(f"{COCO}/annotations/image_info_test2015.zip"),
        Archive(f"{COCO}/zips/test2015.zip"),
    ),
}
# Folders under --to: one for all years of VOC, one for all years of COCO.
FOLDERS = {"voc2007": "voc", "voc2012": "voc", "coco2014": "coco", "coco2015_test": "coco"}


class DownloadError(Exception):
    """The message says what went wrong and what to do."""


def fetch(archive: Archive, folder: Path, *, attempts: int = 5, pause: float = 2.0) -> Path:
    """Downloads ``archive`` into ``folder``; returns the complete and verified file.

    Received bytes are kept in <name>.partial, also between calls.  After an interruption it tries
    again, until ``attempts`` tries in a row have received nothing; ``pause``: seconds between them.
    Raises DownloadError.
    """
    path = folder / archive.name
    if path.is_file():
        return path
    folder.mkdir(parents=True, exist_ok=True)
    partial = folder / f"{archive.name}.partial"
    left = attempts
    while True:
        before = _size(partial)
        try:
            _receive(archive.url, partial)
            break
        except (HTTPException, URLError, OSError) as error:
            if isinstance(error, HTTPError) and error.code < 500:
                raise DownloadError(
                    f"{archive.url}: {error.code} {error.reason}; has it moved?"
                ) from None
            left = attempts if _size(partial) > before else left - 1
            if left <= 0:
                raise DownloadError(
                    f"{archive.url}: {error}; {_size(partial):,} bytes are in {partial}: run the "
                    "command again to go on"
                ) from None
            time.sleep(pause)
    _verify(partial, archive)
    os.replace(partial, path)
    return path


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0


def _receive(url: str, partial: Path) -> None:
    """Appends the missing bytes to ``partial``; URLError if the connection ends too early."""
    start = _size(partial)
    try:
        # identity: a compressed answer would have a different length.
        headers = {"Range": f"bytes={start}-", "Accept-Encoding": "identity"}
        response = urlopen(Request(url, headers=headers), timeout=TIMEOUT)
    except HTTPError as error:
        if error.code != 416:  # the server has no bytes from ``start`` on
            raise
        total = error.headers.get("Content-Range", "").rpartition("/")[2]
        if total == str(start):
            return
        partial.unlink()  # it is longer than the server's file, so it is a different file
        raise URLError(f"{partial} was not a part of it; starting anew") from None
    with response:
        total = _total(response, start)
        # A server without ranges sends the whole file again, with code 200.
        continues = response.status == 206
        if not continues:
            start = 0
        bar = tqdm(total=total, initial=start, unit="B", unit_scale=True, desc=partial.stem)
        with bar, partial.open("ab" if continues else "wb") as file:
            while chunk := response.read(CHUNK):
                file.write(chunk)
                bar.update(len(chunk))
    if total is not None and _size(partial) != total:
        raise URLError(f"the connection ended after {_size(partial):,} of {total:,} bytes")


def _total(response: HTTPResponse, start: int) -> int | None:
    """The length of the whole file; None if the server does not announce it."""
    if response.status == 206:
        content_range = response.headers.get("Content-Range", "")
        if not content_range.startswith(f"bytes {start}-"):
            raise URLError(f"asked for bytes from {start}, got {content_range!r}")
        total = content_range.rpartition("/")[2]
    else:
        total = response.headers.get("Content-Length", "")
    return int(total) if total.isdigit() else None


def _verify(partial: Path, archive: Archive) -> None:
    if archive.md5 is None:
        return
    digest = hashlib.md5(usedforsecurity=False)
    size = _size(partial)
    bar = tqdm(total=size, unit="B", unit_scale=True, desc=f"checking {archive.name}", leave=False)
    with bar, partial.open("rb") as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
            bar.update(len(chunk))
    if digest.hexdigest() != archive.md5:
        partial.unlink()
        raise DownloadError(
            f"{archive.url}: {size:,} bytes arrived with MD5 {digest.hexdigest()}, expected "
            f"{archive.md5}: damaged on the way, and removed; run the command again"
        )


def unpack(path: Path, folder: Path) -> None:
    """Unpacks ``path`` into ``folder``, if that has not been done; starts again if interrupted.

    Files that would lie outside ``folder`` are refused.  Raises DownloadError.
    """
    done = _unpacked_mark(path.name, folder)
    if done.is_file():
        return
    working = folder / f".{path.name}.partial"
    shutil.rmtree(working, ignore_errors=True)
    working.mkdir(parents=True)
    try:
        if path.suffix == ".zip":
            with zipfile.ZipFile(path) as archive:
                for member in tqdm(archive.infolist(), unit="file", desc=f"unpacking {path.name}"):
                    archive.extract(member, working)
        else:
            with tarfile.open(path) as archive:
                for item in tqdm(archive, unit="file", desc=f"unpacking {path.name}"):
                    archive.extract(item, working, filter="data")
    except (zipfile.BadZipFile, tarfile.TarError, EOFError) as error:
        shutil.rmtree(working)
        raise DownloadError(
            f"{path}: cannot be unpacked ({error}); remove it and run again"
        ) from None
    _merge(working, folder)
    shutil.rmtree(working)
    done.touch()


def _unpacked_mark(archive: str, folder: Path) -> Path:
    """The empty file that marks that an archive has been unpacked in ``folder``."""
    return folder / f".{archive}.unpacked"


def _merge(source: Path, target: Path) -> None:
    """Moves all files of ``source`` into the same subfolders of ``target``, beside other files."""
    for path in [path for path in source.rglob("*") if path.is_file()]:
        destination = target / path.relative_to(source)
        destination.parent.mkdir(parents=True, exist_ok=True)
        os.replace(path, destination)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(SOURCES))
    parser.add_argument("--to", type=Path, default=Path(__file__).resolve().parent)
    parser.add_argument("--list", action="store_true", help="what would be fetched, and no more")
    given = parser.parse_args(arguments)
    unknown = [name for name in given.names if name not in SOURCES]
    if unknown or not (given.names or given.list):
        parser.error(f"{', '.join(unknown) or 'no name'}: choose from {', '.join(SOURCES)}")
    for name in given.names or SOURCES:
        folder = given.to / FOLDERS[name]
        for archive in SOURCES[name]:
            print(f"{name}: {archive.url}  MD5 {archive.md5 or 'unknown'}  -> {folder}")
            if given.list:
                continue
            if _unpacked_mark(archive.name, folder).is_file():
                print("  unpacked before")
                continue
            try:
                unpack(fetch(archive, folder / "archives"), folder)
            except DownloadError as error:
                print(f"error: {error}", file=sys.stderr)
                return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
