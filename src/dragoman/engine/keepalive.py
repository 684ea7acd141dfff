"""Keep-alives for clients that wait: proxies and people give up on silent connections."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from dragoman.engine.answer import Answer, Headers
from dragoman.engine.tasks import spawn

PING_SECONDS = 15.0


class KeepAlive(Answer):
    """An answer that writes ``ping()`` whenever nothing was written for ``interval`` seconds.

    The first ping sends the status line too, with ``headers()``. That does not commit the request to
    an upstream: another channel may still be tried.
    """

    def __init__(
        self,
        answer: Answer,
        ping: Callable[[], bytes],
        headers: Callable[[], Headers],
        interval: float = PING_SECONDS,
    ) -> None:
        self._answer = answer
        self._ping = ping
        self._headers = headers
        self._interval = interval
        self._loop = asyncio.get_running_loop()
        self._last = self._loop.time()
        self._handle: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[None] | None = None

    def __enter__(self) -> KeepAlive:
        self._handle = self._loop.call_later(self._interval, self._due)
        return self

    def __exit__(self, *_: object) -> None:
        if self._handle is not None:
            self._handle.cancel()
        if self._task is not None:
            self._task.cancel()

    async def begin(self, headers: Headers) -> None:
        self.begun = True
        self._last = self._loop.time()
        await self._answer.begin(headers)

    async def write(self, data: bytes) -> None:
        self._last = self._loop.time()
        await self._answer.write(data)

    async def end(self) -> None:
        self.__exit__()
        await self._answer.end()

    def hurry(self, seconds: float) -> None:
        self._interval = seconds
        if self._handle is not None:
            self._handle.cancel()
            self._due()

    def _due(self) -> None:
        wait = self._last + self._interval - self._loop.time()
        if wait <= 0 and (self._task is None or self._task.done()):
            self._task = spawn(self._write_ping(), "keep-alive")
            self._last = self._loop.time()
            wait = self._interval
        self._handle = self._loop.call_later(max(wait, 0.05), self._due)

    async def _write_ping(self) -> None:
        data = self._ping()
        if data:
            if not self.begun:
                await self.begin(self._headers())
            await self._answer.write(data)
