"""Memory per open stream: thousands of slow answers held at once, then let go.

Each kind of request has a program started for it alone. Memory is read once the program has answered
a few streams, every second while all are open, and once the connections that it keeps for reuse have
had their time.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import uvloop

from benchmarks.children import Child, raise_file_limit
from benchmarks.http1 import Address, Reply
from benchmarks.options import Options
from benchmarks.programs import Program
from benchmarks.report import Table
from benchmarks.stage import Stage, Way

_PAUSE_SECONDS = 0.5
_OPENED_AT_ONCE = 50
_OPENED_PER_SECOND = 500
_WARMUP_STREAMS = 20
_WARMUP_SECONDS = 1.5
_WARMUP_REST_SECONDS = 2.0
_LATE_SECONDS = 30.0
_FILES_PER_STREAM = 2  # a program holds one connection to the client and one to the upstream
_SPARE_FILES = 500


@dataclass
class _Held:
    """What became of some streams. Memory is in bytes."""

    asked: int
    complete: int = 0
    events: int = 0
    before: int = 0
    during: int = 0
    after: int = 0
    late_seconds: float = 0.0
    problems: list[str] = field(default_factory=list)


class _Listener(asyncio.Protocol):
    """Asks for one stream and reads it to its end."""

    def __init__(self, request: bytes) -> None:
        self._request = request
        self._transport: Any = None
        self._reply = Reply()
        self.events = 0
        self.done: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        if self._reply.feed(data):
            self._end("" if self._is_whole() else f"status {self._reply.status}, or cut short")

    def connection_lost(self, error: Exception | None) -> None:
        self._end(f"the connection was closed ({error})")

    def leave(self) -> None:
        """Close the connection, whether the stream has ended or not."""
        self._end("still open after its time")

    def _is_whole(self) -> bool:
        body = self._reply.body
        return self._reply.status == 200 and (b"[DONE]" in body or b"message_stop" in body)

    def _end(self, problem: str) -> None:
        if not self.done.done():
            self.events = self._reply.body.count(b"\n\n")
            self.done.set_result(problem)
            self._transport.close()


def measure(options: Options) -> list[Table]:
    """Hold the streams open through every program in turn."""
    wanted = options.choose(options.streams, full=2000, quick=200)
    streams = min(wanted, (raise_file_limit() - _SPARE_FILES) // _FILES_PER_STREAM)
    seconds = options.choose(options.seconds, full=30.0, quick=5.0)
    rest = options.choose(None, full=40.0, quick=2.0)  # connections are kept for 30 s or more
    table = Table(
        f"{streams} open streams at {1 / _PAUSE_SECONDS:g} events per second each",
        [
            "",
            "whole",
            "failed",
            "events",
            "late s",
            "MiB before",
            "open",
            "after",
            "KiB per stream",
        ],
    )
    _measure_way(None, "", table, options, streams, seconds, rest)
    for program in options.programs():
        for what in program.asks(Address(0)):
            _measure_way(program, what, table, options, streams, seconds, rest)
    table.notes.append(
        f"Each stream lasts {seconds:g} s; the upstream is reached {options.upstream_words}. "
        "“Late”: how long after its due time the last stream ended. Memory counts what processes "
        f"share once; “after” is {rest:g} s after the last stream."
    )
    if streams < wanted:
        table.notes.append(f"Held to {streams} streams by the limit of open files.")
    return [table]


def _measure_way(
    program: Program | None,
    what: str,
    table: Table,
    options: Options,
    streams: int,
    seconds: float,
    rest: float,
) -> None:
    """Add the row of one kind of request through a program started for it alone, or of the direct
    call."""
    with Stage(tls=options.tls, pause=_PAUSE_SECONDS, lasting=seconds) as stage:
        ways = (
            [stage.direct(stream=True)]
            if program is None
            else [way for way in stage.start(program, stream=True) if way.what == what]
        )
        table.notes += [note for note in stage.skipped if note not in table.notes]
        for way in ways:
            print(f"{streams} streams: {way.title}", file=sys.stderr)
            held = uvloop.run(_hold(way, streams, seconds, rest))
            table.rows.append(_row(way, held))
            if held.problems:
                problem, count = Counter(held.problems).most_common(1)[0]
                table.notes.append(f"{way.title} failed {count} times with: {problem}.")


async def _hold(way: Way, streams: int, seconds: float, rest: float) -> _Held:
    held = _Held(streams)
    for listener in await _open(way, _WARMUP_STREAMS, _Held(0)):
        await asyncio.sleep(_WARMUP_SECONDS / _WARMUP_STREAMS)
        listener.leave()
    await asyncio.sleep(_WARMUP_REST_SECONDS)
    held.before = _memory(way.child)
    listeners = await _open(way, streams, held)
    await _watch(way, listeners, seconds, held)
    if way.child is not None:
        await asyncio.sleep(rest)
    held.after = _memory(way.child)
    return held


async def _open(way: Way, streams: int, held: _Held) -> list[_Listener]:
    """Ask for the streams, some at a time."""
    loop = asyncio.get_running_loop()
    request, tls = way.ask.encode(), way.address.tls()
    listeners: list[_Listener] = []
    for start in range(0, streams, _OPENED_AT_ONCE):
        opened = await asyncio.gather(
            *(
                loop.create_connection(
                    lambda: _Listener(request), "127.0.0.1", way.address.port, ssl=tls
                )
                for _ in range(min(_OPENED_AT_ONCE, streams - start))
            ),
            return_exceptions=True,
        )
        for one in opened:
            if isinstance(one, BaseException):
                held.problems.append(f"not opened: {one}")
            else:
                listeners.append(one[1])
        await asyncio.sleep(_OPENED_AT_ONCE / _OPENED_PER_SECOND)
    return listeners


async def _watch(way: Way, listeners: list[_Listener], seconds: float, held: _Held) -> None:
    """Read the memory while the streams last, then count them."""
    due = time.monotonic() + seconds
    waiting = {listener.done for listener in listeners}
    while waiting and time.monotonic() < due + _LATE_SECONDS:
        _, waiting = await asyncio.wait(waiting, timeout=1.0)
        held.during = max(held.during, _memory(way.child))
    held.late_seconds = max(0.0, time.monotonic() - due)
    for listener in listeners:
        listener.leave()
        held.events += listener.events
        if problem := listener.done.result():
            held.problems.append(problem)
        else:
            held.complete += 1


def _memory(child: Child | None) -> int:
    return child.memory() if child is not None else 0


def _row(way: Way, held: _Held) -> list[str]:
    row = [way.title, str(held.complete), str(held.asked - held.complete), f"{held.events:,}"]
    row.append(f"{held.late_seconds:.1f}")
    if way.child is None or not held.complete:
        return [*row, "–", "–", "–", "–"]
    mebibytes = [f"{size / 2**20:.0f}" for size in (held.before, held.during, held.after)]
    return [*row, *mebibytes, f"{(held.during - held.before) / 1024 / held.asked:.1f}"]
