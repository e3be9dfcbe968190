"""What strangers send: each is answered in one sentence, and the server stays up and small."""

from __future__ import annotations

import re
import socket
import struct
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest


def bomb(width: int, height: int) -> bytes:
    """A PNG whose head declares so many pixels."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        )

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    pixels = zlib.compress(bytes(1000))
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")
    )


def is_refused(reply: Any, status: int, *words: str) -> None:
    assert reply.status == status, reply.body[:200]
    assert reply.headers["content-type"] == "application/json"
    said = reply.json["error"]
    assert [*reply.json] == ["error"]
    assert "\n" not in said
    for word in words:
        assert word in said
    assert len(said) < 300


@pytest.fixture(autouse=True)
def is_up(server: Any, png: Callable[..., bytes]) -> Iterator[None]:
    """After each of them."""
    yield
    assert server.detect(png(0)).status == 200
    end = time.monotonic() + 10
    while server.ask("GET", "/health").json["in_work"]:
        assert time.monotonic() < end
        time.sleep(0.02)


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        (b"", 400, "no picture"),
        (b"dear detector, this is a text", 400, "not a picture"),
        (bytes(10_000), 400, "not a picture"),
        (b"\xff\xd8\xff", 400, "damaged"),
        (b"\x89PNG\r\n\x1a\n" + bytes(100), 400, "damaged"),
        (b"\x00\x00\x00\x18ftypheic" + bytes(100), 415, "HEIC"),
        (b"%PDF-1.7" + bytes(100), 415, "PDF"),
        (bomb(30_000, 30_000), 413, "30000 x 30000 pixels"),
        (bomb(2**31 - 1, 2**31 - 1), 413, "pixels"),
        (bomb(100, 100), 400, "cannot be read"),
        (bomb(0, 100), 400, ""),
    ],
)
def test_what_is_no_picture(server: Any, body: bytes, status: int, words: str) -> None:
    is_refused(server.detect(body), status, words)


def test_a_cut_jpeg(server: Any, picture: Any) -> None:
    import cv2

    whole = cv2.imencode(".jpg", picture(0, 300, 300))[1].tobytes()
    is_refused(server.detect(whole[: len(whole) // 2]), 400, "cannot be read", "JPEG")


@pytest.mark.parametrize("kind", ["application/json", "text/plain", "video/mp4", "x" * 5000, "/"])
def test_other_content_types(server: Any, png: Any, kind: str) -> None:
    is_refused(server.detect(png(0), content_type=kind), 415, "content type")


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("threshold=2", "threshold"),
        ("threshold=-0.1", "threshold"),
        ("threshold=nan", "threshold"),
        ("threshold=inf", "threshold"),
        ("threshold=abc", "threshold='abc'"),
        ("threshold=" + "9" * 5000, "threshold"),
        ("threshhold=0.5", "'threshhold' is no key"),
        ("steps=foll", "did you mean 'full'"),
        ("steps=", "steps=''"),
        ("steps=../../etc/passwd", "choose from single, refine_vote, full"),
        ("steps=" + "a" * 20_000, "choose from"),
        ("class=dog", "did you mean 'hot dog'"),
        ("class=%00%ff", "class="),
    ],
)
def test_wrong_values_of_the_query(server: Any, png: Any, query: str, words: str) -> None:
    is_refused(server.detect(png(0), f"?{query}"), 422, words)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "no file"),
        (b"--line--\r\n", "no file"),
        (b"no form at all", "form"),
        (b'--line\r\nContent-Disposition: form-data; name="a"\r\n\r\nb\r\n--line--\r\n', "no file"),
        (
            2 * b'--line\r\nContent-Disposition: form-data; name="f"; filename="f"\r\n\r\nb\r\n'
            + b"--line--\r\n",
            "one picture a request",
        ),
        (b"--line\r\nContent-Disposition: form-data\r\n\r\nb\r\n--line--\r\n", "form"),
    ],
)
def test_forms_that_are_none(server: Any, body: bytes, words: str) -> None:
    reply = server.detect(body, content_type="multipart/form-data; boundary=line")
    is_refused(reply, 400, words)
    is_refused(server.detect(body, content_type="multipart/form-data"), 400, "")


def test_a_body_that_says_it_has_a_gigabyte(server: Any) -> None:
    with talk(server) as (send, answer):
        send(head(server, b"Content-Length: 1000000000"))
        send(bytes(1000))
        assert answer().startswith(b"HTTP/1.1 413")


def test_a_gigabyte_that_comes_without_a_length(server: Any) -> None:
    before = memory()
    sent = 0
    with talk(server) as (send, answer):
        send(head(server, b"Transfer-Encoding: chunked"))
        piece = b"%x\r\n" % 65_536 + bytes(65_536) + b"\r\n"
        try:
            while sent < 1_000_000_000 and not sent > 64_000_000:
                send(piece)
                sent += 65_536
        except OSError:
            return  # it has hung up
        assert answer().startswith(b"HTTP/1.1 413")
    assert memory() - before < 50_000_000


def test_a_form_that_is_too_large(server: Any) -> None:
    body = b'--line\r\nContent-Disposition: form-data; name="f"; filename="f"\r\n\r\n'
    body += bytes(2_000_001) + b"\r\n--line--\r\n"
    is_refused(server.detect(body, content_type="multipart/form-data; boundary=line"), 413, "bytes")


def test_a_length_that_lies(server: Any, png: Any) -> None:
    data = png(0)
    with talk(server) as (send, answer):  # more comes than was said
        send(head(server, b"Content-Length: %d" % (len(data) - 40)) + data)
        assert answer().startswith(b"HTTP/1.1 400")


@pytest.mark.slow
def test_a_body_that_never_ends(start: Callable[..., Any], png: Any) -> None:
    with start(upload_seconds=0.5) as running, talk(running) as (send, answer):
        send(head(running, b"Content-Length: 5000") + png(0)[:100])
        reply = answer()
        assert reply.startswith(b"HTTP/1.1 408")
        assert b"0.5 seconds" in reply
        assert running.detect(png(0)).status == 200


@pytest.mark.slow
@pytest.mark.parametrize("waiting", [64, 16])
def test_slow_uploads_give_way_to_others(
    start: Callable[..., Any], png: Any, monkeypatch: pytest.MonkeyPatch, waiting: int
) -> None:
    """``waiting``: 16 slow ones take all places of uploads, or of requests as well."""
    monkeypatch.setattr("detection.serving.uploads.UPLOAD_PATIENCE", 0.5)
    with start(upload_seconds=30, waiting=waiting) as running, ExitStack() as stack:
        slow = [stack.enter_context(talk(running)) for _ in range(16)]
        for number, (send, _) in enumerate(slow):
            # The first is the slowest one.
            send(head(running, b"Content-Length: 9000") + png(0)[: 100 + 20 * number])
        while running.ask("GET", "/health").json["in_work"] < 16:
            time.sleep(0.02)
        time.sleep(0.6)
        assert running.detect(png(0), timeout=10).status == 200
        reply = slow[0][1]()
        assert reply.startswith(b"HTTP/1.1 408")
        assert b"others were waiting" in reply
        # Nobody waits any more: the others have their time.
        assert running.ask("GET", "/health").json["in_work"] == 15


@pytest.mark.slow
def test_a_head_that_never_ends(server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("detection.serving.server._HEAD_SECONDS", 0.3)
    with talk(server) as (send, answer):
        for letter in b"GET / HTTP/1.1\r\nHost: localhost":
            send(bytes([letter]))
        assert answer() == b""  # closed


def test_connections_that_break_in_the_middle(server: Any, png: Any) -> None:
    for cut in (0, 10, 100, 1000):
        with talk(server) as (send, _):
            send((head(server, b"Content-Length: 100000") + png(0))[: 60 + cut])


def test_what_is_no_http(server: Any) -> None:
    for said in (b"\x16\x03\x01\x02\x00\x01\x00", b"hello\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n"):
        with talk(server) as (send, answer):
            send(said)
            assert answer().startswith(b"HTTP/1.1 4")
    with talk(server) as (send, answer):
        send(b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * 200_000)
        assert answer().startswith(b"HTTP/1.1 4")


@pytest.mark.parametrize(
    ("host", "is_taken"),
    [
        ("localhost", True),
        ("LOCALHOST:80", True),
        ("127.0.0.1:8000", True),
        ("[::1]:8000", True),
        ("192.168.1.7", True),
        ("pictures.example.org", True),
        ("evil.example.org", False),
        ("127.0.0.1.evil.example.org", False),
        ("localhost.evil.example.org", False),
        ("evil@localhost.x", False),
        ("", False),
        ("[", False),
        ("127.1", False),
    ],
)
def test_names_that_point_here(server: Any, host: str, is_taken: bool) -> None:
    reply = server.ask("GET", "/model", Host=host)
    if is_taken:
        assert reply.status == 200
    else:
        is_refused(reply, 421, "names=")


@pytest.mark.parametrize(
    ("headers", "is_taken"),
    [
        ({}, True),
        ({"Origin": "http://localhost:99", "Host": "localhost:99"}, True),
        ({"Origin": "https://localhost:99", "Host": "localhost:99"}, True),  # behind a proxy
        ({"Sec_Fetch_Site": "same-origin"}, True),
        ({"Origin": "http://localhost:98", "Host": "localhost:99"}, False),
        ({"Origin": "http://evil.example.org"}, False),
        ({"Origin": "null"}, False),
        ({"Origin": ""}, False),
        ({"Sec_Fetch_Site": "cross-site"}, False),
        ({"Sec_Fetch_Site": "same-site"}, False),
    ],
)
def test_pages_of_other_sites(server: Any, png: Any, headers: Any, is_taken: bool) -> None:
    reply = server.detect(png(0), **headers)
    if is_taken:
        assert reply.status == 200
    else:
        is_refused(reply, 403, "another site")
    assert not [name for name in reply.headers if name.lower().startswith("access-control")]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/detect", 405),
        ("PUT", "/detect", 405),
        ("OPTIONS", "/detect", 405),
        ("GET", "/../../etc/passwd", 404),
        ("GET", "/%2e%2e/%2e%2e/etc/passwd", 404),
        ("GET", "/docs", 404),
        ("GET", "/redoc", 404),
        ("GET", "/" + "a" * 10_000, 404),
    ],
)
def test_other_addresses(server: Any, method: str, path: str, status: int) -> None:
    is_refused(server.ask(method, path), status, "/detect")


def test_pictures_of_odd_shapes(server: Any, png: Any) -> None:
    for height, width in ((1, 1), (1, 2), (2, 1)):
        reply = server.detect(png(0, height, width))
        assert reply.json["image"] == {"width": width, "height": height}
    # The tiny network's one convolution does not fit into what is left of them.
    is_refused(server.detect(png(0, 1, 3000)), 500, "the server's log says how")


def head(server: Any, *lines: bytes) -> bytes:
    first = b"POST /detect HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/png\r\n"
    return first + b"".join(line + b"\r\n" for line in lines) + b"\r\n"


class talk:  # noqa: N801 - it reads as a verb
    """Bytes as they are: (send, answer)."""

    def __init__(self, server: Any) -> None:
        self._socket = socket.create_connection((server.host, server.port), timeout=30)

    def __enter__(self) -> tuple[Callable[[bytes], None], Callable[[], bytes]]:
        return self._socket.sendall, self._answer

    def __exit__(self, *error: object) -> None:
        self._socket.close()

    def _answer(self) -> bytes:
        """A whole one, head and body, which may come apart; empty where the server hangs up."""
        said = b""
        while not is_whole(said) and (more := self._socket.recv(65_536)):
            said += more
        return said


def is_whole(said: bytes) -> bool:
    head, end, body = said.partition(b"\r\n\r\n")
    length = re.search(rb"content-length: (\d+)", head, re.IGNORECASE)
    return bool(end) and len(body) >= (int(length[1]) if length else 0)


def memory() -> int:
    """What this process, which has the server, holds now, in bytes."""
    found = re.search(r"VmRSS:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found
    return 1024 * int(found[1])
