"""Keeps strange web pages out: their browsers can reach this machine, where they cannot.

A page of another site may send requests here, which its ``Origin`` betrays, and a name of its own
may point to this machine (DNS rebinding), which ``Host`` betrays.  There is no CORS: no other page
may read an answer.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Collection
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_READS = ("GET", "HEAD")


class Guard:
    """``names``: hosts that requests may ask besides localhost and addresses of numbers.

    ``headers``: of every answer.
    """

    def __init__(self, app: ASGIApp, *, names: Collection[str], headers: dict[str, str]) -> None:
        self._app, self._headers = app, headers
        self._names = {"localhost", *(name.casefold() for name in names)}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in self._headers.items():
                    headers.setdefault(name, value)
            await send(message)

        asked = Headers(scope=scope)
        if not self._is_known(asked.get("host", "")):
            status, sentence = 421, (
                "this name is not one of the server's: call it localhost, by its address of "
                "numbers, or start it with names=[NAME]"
            )  # fmt: skip
        elif scope["method"] not in _READS and not _is_own(asked):
            status, sentence = 403, "another site's page may not use this server"
        else:
            await self._app(scope, receive, send_guarded)
            return
        refused = JSONResponse({"error": sentence}, status_code=status)
        await refused(scope, receive, send_guarded)

    def _is_known(self, host: str) -> bool:
        try:
            name = urlsplit(f"//{host}").hostname or ""
        except ValueError:
            return False
        if name in self._names:
            return True
        # Names can be pointed anywhere; an address of numbers is the one that was reached.
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return False
        return True


def _is_own(asked: Headers) -> bool:
    """Whether a page of this server sent it, or no page at all: programs name no origin."""
    if asked.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        return False
    origin = asked.get("origin")
    return origin is None or origin.casefold().partition("://")[2] == asked["host"].casefold()
