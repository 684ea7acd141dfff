"""An upstream's answer as the pipeline sees it, whoever carries it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from types import TracebackType

import msgspec

from dragoman.canonical.errors import GatewayError, UpstreamBroken, UpstreamTimeout
from dragoman.engine.quoting import mask_error
from dragoman.wire.http import HttpRequest

MAX_REPLY_BYTES = 32 * 1024 * 1024
"""Largest whole answer taken from an upstream, decoded; a decompression bomb stops here."""


class Deadlines(msgspec.Struct, frozen=True):
    """Limits of one attempt in seconds: until the first content, between two bytes after it, and
    over all. The limit for connecting belongs to the transport."""

    first: float = 120.0
    idle: float = 60.0
    total: float = 3600.0


class UpstreamReply:
    """An answer whose headers have come; header names are in lower case."""

    status: int
    headers: Mapping[str, str]

    def cookies(self) -> list[str]:
        """Every ``set-cookie``; the one header that cannot be joined with others of its name."""
        return []

    async def chunk(self) -> bytes:
        """The next bytes as they come; empty at the end. Raises UpstreamError."""
        raise NotImplementedError

    def began(self) -> None:
        """The first content has come: from now on the idle limit counts, not the first one."""

    async def read(self) -> bytes:
        """The whole body. Raises UpstreamBroken past MAX_REPLY_BYTES."""
        self.began()
        pieces: list[bytes] = []
        size = 0
        while piece := await self.chunk():
            size += len(piece)
            if size > MAX_REPLY_BYTES:
                raise UpstreamBroken(f"The upstream's answer exceeds {MAX_REPLY_BYTES} bytes.")
            pieces.append(piece)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)


class Exchange:
    """One request and its reply under deadlines, as an async context manager.

    Leaving the block, by whatever way, ends the exchange: a reply read to its end gives its
    connection back, any other is closed so that the upstream stops working.
    """

    def __init__(self, deadlines: Deadlines, request: HttpRequest | None = None) -> None:
        """Of ``request``, no error that leaves the block says what is secret."""
        self.asked = request
        self._deadlines = deadlines
        self._loop = asyncio.get_running_loop()
        self._due = self._end = 0.0
        self._began = False
        self._expired = False
        self._task: asyncio.Task[object] | None = None
        self._cancelling = 0
        self._timer: asyncio.TimerHandle | None = None

    async def open(self) -> UpstreamReply:
        """Send the request and wait for the answer's headers. Raises UpstreamError."""
        raise NotImplementedError

    def close(self, *, clean: bool) -> None:
        """End the exchange; ``clean`` when the block was left without an exception."""
        raise NotImplementedError

    def began(self) -> None:
        """Switch from the first-content limit to the idle limit."""
        self._began = True
        self._due = min(self._loop.time() + self._deadlines.idle, self._end)
        if self._timer is not None and self._due < self._timer.when():
            self._timer.cancel()
            self._timer = self._loop.call_at(self._due, self._look)

    def heard(self) -> None:
        """Bytes have come: the idle limit starts anew.

        Only a number is moved: the timer looks at it when it fires, which spares a heap operation
        per event (asyncio.timeout's ``reschedule`` cost a third of a streamed event).
        """
        if self._began:
            self._due = min(self._loop.time() + self._deadlines.idle, self._end)

    async def __aenter__(self) -> UpstreamReply:
        now = self._loop.time()
        self._end = now + self._deadlines.total
        self._due = min(now + self._deadlines.first, self._end)
        self._task = asyncio.current_task()
        assert self._task is not None
        self._cancelling = self._task.cancelling()
        self._timer = self._loop.call_at(self._due, self._look)
        try:
            return await self.open()
        except BaseException as error:
            await self.__aexit__(type(error), error, error.__traceback__)
            raise

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self.close(clean=error is None)
        if self.asked is not None and isinstance(error, GatewayError):
            mask_error(error, self.asked)
        if self._expired:
            self._expired = False
            assert self._task is not None
            # As asyncio.timeout does: a cancellation that came from elsewhere, too, goes on.
            if self._task.uncancel() <= self._cancelling and kind is asyncio.CancelledError:
                raise self._late() from None

    def _look(self) -> None:
        if self._due > self._loop.time():
            self._timer = self._loop.call_at(self._due, self._look)
            return
        self._timer = None
        self._expired = True
        assert self._task is not None
        self._task.cancel()

    def _late(self) -> UpstreamTimeout:
        if self._due >= self._end:
            return UpstreamTimeout(f"The answer took longer than {self._deadlines.total:g} s.")
        if self._began:
            return UpstreamTimeout(f"The upstream fell silent for {self._deadlines.idle:g} s.")
        return UpstreamTimeout(f"The upstream said nothing for {self._deadlines.first:g} s.")
