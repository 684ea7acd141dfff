"""Sending through the real transport, on the event loops that the gateway may run on."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import pytest

from dragoman.canonical.secret import Secret
from dragoman.engine.reply import Deadlines
from dragoman.engine.transport import Transport
from dragoman.wire.http import HttpRequest

T = TypeVar("T")
LoopFactory = Callable[[], asyncio.AbstractEventLoop]
PATIENCE = Deadlines(first=10.0, idle=10.0, total=20.0)


def _loops() -> dict[str, LoopFactory]:
    loops: dict[str, LoopFactory] = {"asyncio": asyncio.new_event_loop}
    try:
        import uvloop  # noqa: PLC0415 - not on every system
    except ImportError:
        return loops
    return {**loops, "uvloop": uvloop.new_event_loop}


LOOPS = _loops()
on_every_loop = pytest.mark.parametrize("loop", list(LOOPS.values()), ids=list(LOOPS))


class Got:
    """A whole answer."""

    def __init__(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.status = status
        self.headers = headers
        self.body = body


async def fetch(
    transport: Transport, url: str, *, proxy: str | None = None, body: bytes = b"{}"
) -> Got:
    """POST ``body`` and read the answer."""
    request = HttpRequest(method="POST", url=url, headers={"x-test": "1"}, body=body)
    async with transport.exchange(request, PATIENCE, Secret(proxy) if proxy else None) as reply:
        return Got(reply.status, dict(reply.headers), await reply.read())


def with_transport(
    work: Callable[[Transport], Awaitable[T]],
    *,
    loop: LoopFactory = asyncio.new_event_loop,
    **options: Any,
) -> T:
    """Run ``work`` with a transport of its own and close it."""

    async def main() -> T:
        transport = Transport(**options)
        try:
            return await work(transport)
        finally:
            await transport.close()
            await asyncio.sleep(0)  # connections say goodbye in the loop's next turn

    with asyncio.Runner(loop_factory=loop) as runner:
        return runner.run(main())


def send(
    url: str,
    *,
    proxy: str | None = None,
    loop: LoopFactory = asyncio.new_event_loop,
    **options: Any,
) -> Got:
    """One request through a transport of its own."""
    return with_transport(
        lambda transport: fetch(transport, url, proxy=proxy), loop=loop, **options
    )


async def until(condition: Callable[[], bool], seconds: float = 5.0) -> None:
    """Wait for ``condition()``. Raises AssertionError if it stays false."""
    for _ in range(int(seconds * 100)):
        if condition():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("waited in vain")
