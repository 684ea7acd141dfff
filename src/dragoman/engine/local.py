"""The demonstration upstream, behind the same interface as the network."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

from dragoman.engine.reply import Deadlines, Exchange, UpstreamReply
from dragoman.providers.demo import demo_reply
from dragoman.wire.http import HttpRequest

SCHEME = "demo:"
_PAUSE_SECONDS = 0.02  # a person should see the words come one by one


class _LocalReply(UpstreamReply):
    def __init__(
        self, status: int, headers: list[tuple[str, str]], chunks: Iterator[bytes]
    ) -> None:
        self.status = status
        self.headers = dict(headers)
        self._chunks = chunks
        self._started = False

    async def chunk(self) -> bytes:
        if self._started:
            await asyncio.sleep(_PAUSE_SECONDS)
        self._started = True
        return next(self._chunks, b"")


class LocalExchange(Exchange):
    """Answers without leaving the process."""

    def __init__(self, request: HttpRequest, deadlines: Deadlines) -> None:
        super().__init__(deadlines)
        self._request = request

    async def open(self) -> UpstreamReply:
        return _LocalReply(*demo_reply(self._request))

    def close(self, *, clean: bool) -> None:
        """Nothing is held."""
