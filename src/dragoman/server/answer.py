"""Answers over ASGI."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from dragoman.engine.answer import Answer, Headers

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

RawHeaders = list[tuple[bytes, bytes]]

_MOST_KEPT = 256 * 1024


def raw_headers(headers: Headers) -> RawHeaders:
    """Headers as ASGI wants them."""
    return [
        (name.encode("ascii"), value.encode("latin-1", "replace"))
        for name, value in headers.items()
    ]


class AsgiAnswer(Answer):
    """Writes to an ASGI ``send``; the body is left out for HEAD requests.

    ``about`` are headers that an error should carry, too. Every answer has an ``Inference-Id``: that
    of the request unless its headers bring one, as those of an answer that is sent again do.
    """

    def __init__(self, send: Send, request_id: str, *, head: bool = False) -> None:
        self._id = (b"inference-id", request_id.encode())
        self._send = send
        self._head = head
        self.status = 0
        self.client_left = False
        self.about: Headers = {}
        self.kept: bytearray | None = None

    def keep(self) -> None:
        """Remember what is sent, the first quarter of a megabyte of it."""
        self.kept = bytearray()

    def divert(self, through: Callable[[Send], Send]) -> None:
        """Let everything that is sent from now on pass ``through``."""
        self._send = through(self._send)

    async def whole(self, status: int, headers: Headers, body: bytes) -> None:
        self.begun = True
        self.status = status
        if self.kept is not None:
            self.kept += body[:_MOST_KEPT]
        raw = self._headers(headers)
        raw.append((b"content-length", str(len(body)).encode()))
        await self._send({"type": "http.response.start", "status": status, "headers": raw})
        await self._send({"type": "http.response.body", "body": b"" if self._head else body})

    async def begin(self, headers: Headers) -> None:
        self.begun = True
        self.status = 200
        raw = self._headers(headers)
        await self._send({"type": "http.response.start", "status": 200, "headers": raw})

    async def write(self, data: bytes) -> None:
        if self.kept is not None and len(self.kept) < _MOST_KEPT:
            self.kept += data
        await self._send({"type": "http.response.body", "body": data, "more_body": True})

    async def end(self) -> None:
        await self._send({"type": "http.response.body", "body": b"", "more_body": False})

    def _headers(self, headers: Headers) -> RawHeaders:
        raw = raw_headers(headers)
        if "inference-id" not in headers:
            raw.append(self._id)
        return raw
