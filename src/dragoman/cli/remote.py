"""Plain HTTP for commands that ask something over the network: one site, some requests."""

from __future__ import annotations

import json
import time
from types import TracebackType
from typing import Any
from urllib.parse import urlsplit

import msgspec

from dragoman.canonical.errors import GatewayError
from dragoman.canonical.secret import Secret
from dragoman.cli.output import CommandFailed
from dragoman.config.checks import is_loopback
from dragoman.engine.reply import Deadlines, UpstreamReply
from dragoman.engine.transport import Transport
from dragoman.wire.errors import FramingError
from dragoman.wire.http import HttpRequest, media_type
from dragoman.wire.sse import SSEReader

SECONDS = 60.0
"""The most that a whole answer may take."""


class NoAnswer(Exception):
    """There was no answer; the message says why, for a person."""


class Answer(msgspec.Struct, kw_only=True):
    """An answer that has come: header names in lower case, ``seconds`` until the end. Of a stream,
    ``events`` are its data with the seconds until each came."""

    status: int
    headers: dict[str, str]
    body: bytes
    seconds: float
    events: list[tuple[float, bytes]] = []

    def json(self) -> Any:
        """The body, decoded; None if it is no JSON."""
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError):
            return None

    def said(self) -> str:
        """What an error says, in a line."""
        body = self.json()
        error = body.get("error", body) if isinstance(body, dict) else body
        if isinstance(error, dict):
            error = error.get("message", error)
        text = error if isinstance(error, str) else self.body.decode("utf-8", "replace")
        return " ".join(text.split())[:300]


class Site:
    """One address and the key for it, as an async context manager."""

    def __init__(self, base_url: str, key: Secret | None) -> None:
        """Raises CommandFailed for what is no address, or one where anybody on the way could read the
        key."""
        try:
            parts = urlsplit(base_url)
            host = parts.hostname or ""
        except ValueError:
            parts, host = urlsplit(""), ""
        if parts.scheme not in ("http", "https") or not host or parts.username is not None:
            raise CommandFailed(f"{base_url!r} is no address: it begins with https:// and a host.")
        if parts.scheme == "http" and key and not is_loopback(host):
            raise CommandFailed(f"{base_url} is not encrypted, and a key would be sent: use https.")
        self.base_url = base_url.rstrip("/")
        self._key = key

    async def __aenter__(self) -> Site:
        self._transport = Transport()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._transport.close()

    async def ask(self, method: str, path: str, body: Any = None) -> Answer:
        """One request. Raises NoAnswer."""
        headers = {"accept": "application/json, text/event-stream"}
        if body is not None:
            headers["content-type"] = "application/json"
        if self._key:
            headers["authorization"] = f"Bearer {self._key.reveal()}"
        request = HttpRequest(
            method=method,
            url=self.base_url + path,
            headers=headers,
            body=b"" if body is None else json.dumps(body).encode(),
        )
        deadlines = Deadlines(first=SECONDS, idle=SECONDS, total=SECONDS)
        began = time.monotonic()
        try:
            async with self._transport.exchange(request, deadlines) as reply:
                answer = await _received(reply, began)
        except (GatewayError, FramingError) as error:
            raise NoAnswer(str(error)) from None
        if self._key:  # answers are shown, and some repeat what they were sent
            answer.body = answer.body.replace(self._key.reveal().encode(), b"***")
        return answer


async def _received(reply: UpstreamReply, began: float) -> Answer:
    headers = dict(reply.headers)
    events: list[tuple[float, bytes]] = []
    body = b""
    if media_type(headers.get("content-type", "")) == "text/event-stream":
        reply.began()
        reader = SSEReader()
        while chunk := await reply.chunk():
            at = time.monotonic() - began
            events += [(at, one.data) for one in reader.feed(chunk) if one.data is not None]
        events += [(time.monotonic() - began, one.data) for one in reader.finish() if one.data]
    else:
        body = await reply.read()
    return Answer(
        status=reply.status,
        headers=headers,
        body=body,
        seconds=time.monotonic() - began,
        events=events,
    )
