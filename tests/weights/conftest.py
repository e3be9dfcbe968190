"""A server on this machine in the place of those that publish weights."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest


@dataclass
class Server:
    """``files``: name -> content.  ``asked``: the paths of the requests.

    ``cut_after``, ``silent_after``: bytes after which a connection ends, or goes silent.
    ``missing``: the status with which a HEAD for another file is answered.
    ``released``: until it is set, no content is sent.
    """

    address: str
    files: dict[str, bytes] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    cut_after: int | None = None
    silent_after: int | None = None
    with_length: bool = True
    missing: int = 404
    released: threading.Event = field(default_factory=threading.Event)
    ended: threading.Event = field(default_factory=threading.Event)


@pytest.fixture
def server() -> Iterator[Server]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            state.asked.append(self.path)
            content = state.files.get(self.path.lstrip("/"))
            if content is None:
                self.send_error(404)
                return
            self.send_response(200)
            if state.with_length:
                self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.flush()
            state.released.wait()
            try:
                self.wfile.write(content[: state.cut_after or state.silent_after])
                self.wfile.flush()
            except OSError:  # who asked for the length alone has gone
                return
            if state.silent_after is not None:
                state.ended.wait()

        def do_HEAD(self) -> None:
            state.asked.append(self.path)
            self.send_response(200 if self.path.lstrip("/") in state.files else state.missing)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    http.daemon_threads = True
    state = Server(f"http://127.0.0.1:{http.server_port}")
    state.released.set()
    thread = threading.Thread(target=http.serve_forever, args=(0.01,))
    thread.start()
    yield state
    state.released.set()
    state.ended.set()
    http.shutdown()
    thread.join()
    http.server_close()


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of torch.hub; its checkpoints/."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.delenv("DETECTION_WEIGHTS", raising=False)
    return tmp_path / "torch" / "hub" / "checkpoints"


@pytest.fixture
def may_declare_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files of expanded tensors are small: the limit on what they declare is not theirs."""
    monkeypatch.setattr("detection.declared_sizes._ALWAYS", 1 << 40)
