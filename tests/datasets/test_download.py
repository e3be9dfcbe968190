"""Downloads from a local server: complete, interrupted, damaged, moved."""

from __future__ import annotations

import hashlib
import importlib.util
import io
import tarfile
import threading
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SPEC = importlib.util.spec_from_file_location("download", ROOT / "datasets" / "download.py")
assert SPEC is not None
assert SPEC.loader is not None
download = importlib.util.module_from_spec(SPEC)
__import__("sys").modules["download"] = download  # its dataclasses ask for it
SPEC.loader.exec_module(download)


def tar(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


def zipped(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()


CONTENT = tar({"VOCdevkit/VOC2007/JPEGImages/1.jpg": bytes(range(256)) * 40})
MD5 = hashlib.md5(CONTENT, usedforsecurity=False).hexdigest()


@dataclass
class Server:
    """``cuts``: after so many bytes the connection breaks, one entry per answer.

    ``ranges``: what was asked for, and with which code it was answered.
    """

    url: str = ""
    content: bytes = CONTENT
    knows_ranges: bool = True
    cuts: list[int] = field(default_factory=list)
    errors: list[int] = field(default_factory=list)
    ranges: list[tuple[str, int]] = field(default_factory=list)

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        asked = handler.headers.get("Range", "")
        start = int(asked.removeprefix("bytes=").rstrip("-")) if self.knows_ranges else 0
        code = 206 if self.knows_ranges else 200
        if self.errors:
            code = self.errors.pop(0)
        elif start >= len(self.content):
            code = 416
        self.ranges.append((asked, code))
        handler.send_response(code)
        body = self.content[start:] if code < 300 else b""
        if code == 206:
            last = len(self.content) - 1
            handler.send_header("Content-Range", f"bytes {start}-{last}/{len(self.content)}")
        if code == 416:
            handler.send_header("Content-Range", f"bytes */{len(self.content)}")
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        cut = self.cuts.pop(0) if self.cuts else len(body)
        handler.wfile.write(body[:cut])


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            server.answer(self)

        def log_message(self, *_: object) -> None:
            pass

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.url = f"http://127.0.0.1:{http.server_port}/files/voc.tar"
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    http.shutdown()
    thread.join()
    http.server_close()


def fetch(server: Server, folder: Path, md5: str | None = MD5, attempts: int = 3) -> Path:
    return download.fetch(download.Archive(server.url, md5), folder, attempts=attempts, pause=0)


def test_a_file_arrives_whole(server: Server, tmp_path: Path) -> None:
    path = fetch(server, tmp_path / "archives")
    assert path.read_bytes() == CONTENT
    assert [entry.name for entry in path.parent.iterdir()] == ["voc.tar"]
    assert fetch(server, tmp_path / "archives") == path
    assert len(server.ranges) == 1  # not fetched again


def test_a_broken_connection_is_taken_up_where_it_ended(server: Server, tmp_path: Path) -> None:
    server.cuts = [1000, 2000]
    assert fetch(server, tmp_path).read_bytes() == CONTENT
    assert server.ranges == [("bytes=0-", 206), ("bytes=1000-", 206), ("bytes=3000-", 206)]


def test_a_later_call_goes_on(server: Server, tmp_path: Path) -> None:
    (tmp_path / "voc.tar.partial").write_bytes(CONTENT[:5000])
    assert fetch(server, tmp_path).read_bytes() == CONTENT
    assert server.ranges == [("bytes=5000-", 206)]


def test_a_killed_check_is_made_up_for(server: Server, tmp_path: Path) -> None:
    (tmp_path / "voc.tar.partial").write_bytes(CONTENT)  # all there, not yet renamed
    assert fetch(server, tmp_path).read_bytes() == CONTENT
    assert server.ranges == [(f"bytes={len(CONTENT)}-", 416)]


def test_a_server_without_ranges_sends_everything_again(server: Server, tmp_path: Path) -> None:
    server.knows_ranges = False
    (tmp_path / "voc.tar.partial").write_bytes(b"x" * 5000)
    assert fetch(server, tmp_path).read_bytes() == CONTENT


def test_a_partial_file_longer_than_the_servers_is_given_up(server: Server, tmp_path: Path) -> None:
    (tmp_path / "voc.tar.partial").write_bytes(b"x" * (len(CONTENT) + 1))
    assert fetch(server, tmp_path).read_bytes() == CONTENT


def test_what_was_damaged_is_removed_and_said(server: Server, tmp_path: Path) -> None:
    (tmp_path / "voc.tar.partial").write_bytes(b"x" * 5000)
    with pytest.raises(download.DownloadError, match=f"expected {MD5}: damaged"):
        fetch(server, tmp_path)
    assert list(tmp_path.iterdir()) == []
    assert fetch(server, tmp_path).read_bytes() == CONTENT


def test_without_progress_it_ends_and_keeps_what_there_is(server: Server, tmp_path: Path) -> None:
    server.cuts = [700, 0, 0, 0]
    with pytest.raises(download.DownloadError, match=r"700 bytes are in .* again to go on"):
        fetch(server, tmp_path)
    assert (tmp_path / "voc.tar.partial").read_bytes() == CONTENT[:700]


def test_a_busy_server_is_asked_again_and_a_missing_file_is_not(
    server: Server, tmp_path: Path
) -> None:
    server.errors = [503]
    assert fetch(server, tmp_path / "a").read_bytes() == CONTENT
    server.errors = [404]
    with pytest.raises(download.DownloadError, match=r"404 .* has it moved"):
        fetch(server, tmp_path / "b")
    assert len(server.ranges) == 3


@pytest.mark.parametrize("suffix", [".tar", ".zip"])
def test_archives_are_unpacked_beside_each_other(tmp_path: Path, suffix: str) -> None:
    pack = tar if suffix == ".tar" else zipped
    for name in ("train", "test"):
        archive = tmp_path / f"{name}{suffix}"
        archive.write_bytes(pack({f"VOCdevkit/VOC2007/{name}.txt": name.encode()}))
        download.unpack(archive, tmp_path / "voc")
    folder = tmp_path / "voc" / "VOCdevkit" / "VOC2007"
    assert {path.name: path.read_text() for path in folder.iterdir()} == {
        "train.txt": "train",
        "test.txt": "test",
    }
    (folder / "test.txt").unlink()
    download.unpack(tmp_path / f"test{suffix}", tmp_path / "voc")
    assert not (folder / "test.txt").exists()  # unpacked once


def test_nothing_is_unpacked_outside_its_folder(tmp_path: Path) -> None:
    archive = tmp_path / "evil.tar"
    archive.write_bytes(tar({"../outside.txt": b"!"}))
    with pytest.raises(download.DownloadError, match="cannot be unpacked"):
        download.unpack(archive, tmp_path / "voc")
    assert not (tmp_path / "outside.txt").exists()
    assert not list((tmp_path / "voc").iterdir())


def test_a_cut_archive_is_named(tmp_path: Path) -> None:
    archive = tmp_path / "cut.zip"
    archive.write_bytes(zipped({"a": b"1"})[:-30])
    with pytest.raises(download.DownloadError, match=r"cut\.zip: cannot be unpacked"):
        download.unpack(archive, tmp_path)


def test_the_command_fetches_and_unpacks(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(download.SOURCES, "voc2007", (download.Archive(server.url, MD5),))
    assert download.main(["voc2007", "--to", str(tmp_path)]) == 0
    assert (tmp_path / "voc" / "VOCdevkit" / "VOC2007" / "JPEGImages" / "1.jpg").is_file()


def test_what_is_unpacked_is_not_fetched_again_for_want_of_its_archive(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(download.SOURCES, "voc2007", (download.Archive(server.url, MD5),))
    assert download.main(["voc2007", "--to", str(tmp_path)]) == 0
    (tmp_path / "voc" / "archives" / "voc.tar").unlink()
    requests = len(server.ranges)
    assert requests > 0
    assert download.main(["voc2007", "--to", str(tmp_path)]) == 0
    assert len(server.ranges) == requests


def test_an_unknown_name_is_told_the_known_ones(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        download.main(["voc2008"])
    assert "voc2008: choose from voc2007, voc2012, coco2014" in capsys.readouterr().err


def test_every_source_has_a_folder_and_plausible_checksums() -> None:
    assert download.SOURCES.keys() == download.FOLDERS.keys()
    archives = [archive for group in download.SOURCES.values() for archive in group]
    assert len({archive.name for archive in archives}) == len(archives)
    assert all(archive.md5 is None or len(archive.md5) == 32 for archive in archives)
