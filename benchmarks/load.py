"""The load generator: as many requests as come back, over a fixed number of connections.

``python -m benchmarks.load`` in a process of its own; a ``Load`` as JSON on its standard input, a
``Loaded`` as JSON on its output.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import msgspec
import uvloop

from benchmarks.http1 import Address, Ask, Reply

_PATIENCE_SECONDS = 60.0


class Load(msgspec.Struct, kw_only=True):
    """What to do. ``request`` is repeated as it stands."""

    port: int
    authority: str | None
    request: bytes
    connections: int
    seconds: float


class Loaded(msgspec.Struct, kw_only=True):
    """What came of it. ``failures`` are answers other than 200 and connections that broke."""

    answers: int
    failures: int
    seconds: float
    p50_ms: float
    p99_ms: float

    @property
    def rate(self) -> float:
        """Good answers per second."""
        return self.answers / self.seconds


class _Tally:
    def __init__(self) -> None:
        self.durations: list[float] = []
        self.failures = 0


class _Client(asyncio.Protocol):
    """Asks, waits for the answer, asks again."""

    def __init__(self, request: bytes, tally: _Tally) -> None:
        self._request = request
        self._tally = tally
        self._reply = Reply()
        self.stopped = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: Any = transport  # uvloop's are no subclass of asyncio.Transport
        self._ask()

    def connection_lost(self, error: Exception | None) -> None:
        if not self.stopped:
            self._tally.failures += 1

    def data_received(self, data: bytes) -> None:
        if not self._reply.feed(data):
            return
        if self._reply.status != 200:
            self._tally.failures += 1
        else:
            self._tally.durations.append(time.perf_counter() - self._asked)
        if not self.stopped:
            self._ask()

    def stop(self) -> None:
        self.stopped = True
        self._transport.close()

    def _ask(self) -> None:
        self._reply.reset()
        self._asked = time.perf_counter()
        self._transport.write(self._request)


def load(address: Address, ask: Ask, *, connections: int, seconds: float) -> Loaded:
    """Run the generator in a process of its own. Raises RuntimeError if it fails."""
    work = Load(
        port=address.port,
        authority=str(address.authority) if address.authority else None,
        request=ask.encode(),
        connections=connections,
        seconds=seconds,
    )
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.load"],
        input=msgspec.json.encode(work),
        capture_output=True,
        check=False,
        timeout=seconds + _PATIENCE_SECONDS,
    )
    if done.returncode:
        raise RuntimeError(f"the load generator failed: {done.stderr.decode()[-500:]}")
    return msgspec.json.decode(done.stdout, type=Loaded)


async def _run(work: Load) -> Loaded:
    loop = asyncio.get_running_loop()
    tally = _Tally()
    address = Address(work.port, Path(work.authority) if work.authority else None)
    tls = address.tls()
    clients = [
        client
        for _, client in await asyncio.gather(
            *(
                loop.create_connection(
                    lambda: _Client(work.request, tally), "127.0.0.1", work.port, ssl=tls
                )
                for _ in range(work.connections)
            )
        )
    ]
    started = time.perf_counter()
    await asyncio.sleep(work.seconds)
    seconds = time.perf_counter() - started
    for client in clients:
        client.stop()
    durations = sorted(tally.durations)
    return Loaded(
        answers=len(durations),
        failures=tally.failures,
        seconds=seconds,
        p50_ms=_quantile(durations, 0.50) * 1000,
        p99_ms=_quantile(durations, 0.99) * 1000,
    )


def _quantile(ordered: list[float], share: float) -> float:
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else 0.0


if __name__ == "__main__":
    sys.stdout.buffer.write(
        msgspec.json.encode(
            uvloop.run(_run(msgspec.json.decode(sys.stdin.buffer.read(), type=Load)))
        )
    )
