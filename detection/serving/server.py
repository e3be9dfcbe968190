"""The server itself: its socket, its time-outs and its end."""

from __future__ import annotations

import asyncio
import ipaddress
import json
import math
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from detection.serving.app import Served, make_app
from detection.serving.limits import Limits
from detection.serving.service import Service
from detection.serving.steps import Steps
from detection.serving.worker import Worker

# A connection on which no request becomes whole is closed after this time, or at most twice this.
_HEAD_SECONDS = 10.0


class _Protocol(H11Protocol):
    """Closes connections that dribble: heads that never end, and bodies behind their answer."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.loop.call_later(_HEAD_SECONDS, self._watch, object())

    def _watch(self, last: object) -> None:
        if self.transport.is_closing():
            return
        is_idle = self.cycle is None or self.cycle.response_complete
        if is_idle and (last is self.cycle or self.cycle is None):
            self.transport.close()
        else:
            self.loop.call_later(_HEAD_SECONDS, self._watch, self.cycle if is_idle else object())

    def send_400_response(self, msg: str) -> None:
        """What is no HTTP is answered as everything else that is refused."""
        body = json.dumps({"error": "this is not a request of HTTP/1.1"}).encode()
        headers = [(b"content-type", b"application/json"), (b"connection", b"close")]
        for event in (
            h11.Response(status_code=400, headers=headers, reason=b"Bad Request"),
            h11.Data(data=body),
            h11.EndOfMessage(),
        ):
            self.transport.write(self.conn.send(event) or b"")
        self.transport.close()


class Server(uvicorn.Server):
    """Ends when ``should_stop`` says so: what is in work is finished, the new is refused."""

    def __init__(
        self, config: uvicorn.Config, service: Service, should_stop: Callable[[], bool]
    ) -> None:
        super().__init__(config)
        self._service, self._should_stop = service, should_stop

    async def on_tick(self, counter: int) -> bool:
        self._service.is_stopping = await super().on_tick(counter) or self._should_stop()
        return self._service.is_stopping

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield  # they are the caller's, who tells it by ``should_stop``


def bind(host: str, port: int) -> socket.socket:
    """A socket that does not listen yet.  ``port``: 0 is a free one.

    Raises ValueError for a host that is not this machine's, and for a port that is taken.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except OSError as error:
        raise ValueError(f"host={host}: no such address ({error}); give host=127.0.0.1") from None
    bound = socket.socket(family, kind, protocol)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind(address)
    except OSError as error:
        bound.close()
        raise ValueError(
            f"{host}, port {port}: {error.strerror}; give another port=, or port=0 for a free one"
        ) from None
    return bound


def is_open(bound: socket.socket) -> bool:
    """Whether other machines can reach it."""
    return not ipaddress.ip_address(bound.getsockname()[0].partition("%")[0]).is_loopback


def address_of(bound: socket.socket) -> str:
    host, port = bound.getsockname()[:2]
    if ipaddress.ip_address(host.partition("%")[0]).is_unspecified:
        host = "127.0.0.1" if bound.family == socket.AF_INET else "::1"
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def serve(
    bound: socket.socket,
    served: Served,
    *,
    steps: Steps,
    limits: Limits,
    batch_size: int,
    readers: int,
    should_stop: Callable[[], bool],
    on_start: Callable[[], Any],
) -> None:
    """Serves until ``should_stop``, which is asked ten times a second, and until all is answered.

    ``on_start``: called once requests are taken.
    """
    with Worker(batch_size=batch_size) as worker:
        asyncio.run(_serve(bound, served, steps, limits, worker, readers, should_stop, on_start))


async def _serve(
    bound: socket.socket,
    served: Served,
    steps: Steps,
    limits: Limits,
    worker: Worker,
    readers: int,
    should_stop: Callable[[], bool],
    on_start: Callable[[], Any],
) -> None:
    service = Service(steps=steps, worker=worker, limits=limits, readers=readers)
    config = uvicorn.Config(
        make_app(service, served),
        http=_Protocol,
        ws="none",
        loop="asyncio",
        lifespan="off",
        proxy_headers=False,
        server_header=False,
        access_log=False,
        log_config=None,
        log_level="error",
        timeout_graceful_shutdown=math.ceil(limits.answer_seconds) + 5,
    )
    server = Server(config, service, should_stop)
    asyncio.get_running_loop().call_soon(on_start)
    try:
        await server.serve(sockets=[bound])
    finally:
        service.close()
