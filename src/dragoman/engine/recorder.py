"""The request log's writer: what has happened is remembered at once and written soon.

``note`` is on every request's path and only puts the record into memory. A task of its own writes
what has gathered every half second in one transaction; a database that is away is waited for while
memory lasts. So a kill -9 loses the last second of the log at most, and no request ever waits for it.
"""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import logging
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from typing import Protocol as Interface

from dragoman.engine.tasks import spawn
from dragoman.governance.record import Filter, RequestRecord, without_transcript

logger = logging.getLogger("dragoman.request_log")

RECENT = 2_000
"""Requests that can be shown without the database, without their transcripts."""
WAITING = 10_000
"""Records that wait for a database that is away; beyond them the oldest are lost."""
TRANSCRIPT_BYTES = 64 * 2**20
"""Transcripts that wait to be written; beyond them a record is kept without its own."""
_BATCH = 500
_WRITE_SECONDS = 0.5
_LONGEST_PAUSE_SECONDS = 5.0
_PRUNE_SECONDS = 60.0
_PORTIONS = 8  # deleted between two batches: faster than records come, slower than would be noticed
_CLOSE_SECONDS = 10.0
_DAY_SECONDS = 86_400.0

Records = OrderedDict[str, RequestRecord]


class RequestLog(Interface):
    """Where records last. Any method may fail when the database cannot be used."""

    async def add(self, records: Iterable[RequestRecord]) -> None:
        """Keep all of them or, if it fails, none; one that is there already stays as it is."""
        ...

    async def find(self, wanted: Filter) -> Sequence[RequestRecord]:
        """What fits, newest first, without transcripts."""
        ...

    async def get(self, request_id: str) -> RequestRecord | None:
        """One record with its transcript, if it has one."""
        ...

    async def prune(self, keep: int, before: float) -> bool:
        """Delete a portion of what exceeds the ``keep`` newest or began before ``before`` (Unix time);
        True if there may be more."""
        ...


class Recorder:
    """Used on one event loop: ``start``, then ``note`` for every request, ``close`` at the end.

    ``dropped`` counts the records that were lost because the database was away for too long.
    """

    def __init__(
        self, log: RequestLog, *, clock: Callable[[], float], limit: int, days: float
    ) -> None:
        """``clock`` gives Unix time. The log keeps ``limit`` requests of ``days`` days; with a limit
        of 0 nothing is written, what was written is deleted, and memory alone is shown."""
        self.dropped = 0
        self._log = log
        self._clock = clock
        self._limit = limit
        self._days = days
        self._recent: Records = OrderedDict()
        self._waiting: Records = OrderedDict()
        self._writing: Records = OrderedDict()
        self._transcript_bytes = 0
        self._noted = asyncio.Event()
        self._closing = asyncio.Event()
        self._pause = _WRITE_SECONDS
        self._away = False
        self._prune_at = 0.0
        self._task: asyncio.Task[None] | None = None

    def configure(self, limit: int, days: float) -> None:
        """Take changed settings over."""
        if (limit, days) == (self._limit, self._days):
            return
        self._limit, self._days = limit, days
        if limit == 0:
            self._forget_all()
        self._prune_at = 0.0
        self._noted.set()

    @property
    def waiting(self) -> int:
        """Records that are not written yet."""
        return len(self._waiting) + len(self._writing)

    def start(self) -> None:
        """Begin to write."""
        self._task = spawn(self._work(), "request-log")

    def note(self, record: RequestRecord) -> None:
        """Remember a request that has ended. Takes about a microsecond and cannot fail."""
        brief = without_transcript(record)
        self._recent[record.id] = brief
        if len(self._recent) > RECENT:
            self._recent.popitem(last=False)
        if self._limit == 0:
            return
        self._forget(self._waiting.pop(record.id, None))
        if record is not brief:
            if self._transcript_bytes + _size(record) > TRANSCRIPT_BYTES:
                record = brief
            self._transcript_bytes += _size(record)
        self._waiting[record.id] = record
        self._forget_the_oldest()
        self._noted.set()

    async def find(self, wanted: Filter) -> list[RequestRecord]:
        """What fits, newest first, without transcripts; only what is in memory if the database
        cannot be used."""
        found = {
            record.id: without_transcript(record)
            for records in (self._recent, self._writing, self._waiting)
            for record in records.values()
            if wanted.fits(record)
        }
        if self._limit:
            try:
                found |= {record.id: record for record in await self._log.find(wanted)}
            except Exception as error:  # noqa: BLE001 - the log's home is not known here, nor how it may fail
                logger.warning("requests are listed from memory alone: %s", error)
        return heapq.nlargest(max(wanted.limit, 0), found.values(), key=lambda record: record.id)

    async def get(self, request_id: str) -> RequestRecord | None:
        """One record, with its transcript if it was kept. Fails as the log does, if it does and the
        record is not in memory."""
        for records in (self._waiting, self._writing):
            if request_id in records:
                return records[request_id]
        recent = self._recent.get(request_id)
        if self._limit == 0:
            return recent
        try:
            return await self._log.get(request_id) or recent
        except Exception:  # the log's home is not known here, nor how it may fail
            if recent is None:
                raise
            return recent

    async def close(self) -> None:
        """Write what waits, once more and for ten seconds at most, and end."""
        self._closing.set()
        self._noted.set()
        if self._task is not None:
            _, unfinished = await asyncio.wait((self._task,), timeout=_CLOSE_SECONDS)
            for task in unfinished:
                task.cancel()
                await asyncio.wait((task,))
        if lost := self.waiting:
            logger.error("%d requests could not be written to the request log", lost)

    async def _work(self) -> None:
        while not self._closing.is_set():
            await _until(self._noted, _PRUNE_SECONDS)
            await _until(self._closing, self._pause)
            self._noted.clear()
            await self._step()
        if self._waiting and not self._away:  # noted during the last step
            await self._step()

    async def _step(self) -> None:
        try:
            await self._write()
            await self._prune()
        except Exception as error:  # noqa: BLE001 - the log's home is not known here, nor how it may fail
            self._failed(error)
        else:
            self._succeeded()

    async def _write(self) -> None:
        """Write everything that waits. What fails to be written waits again."""
        while self._waiting:
            self._writing = OrderedDict(islice(self._waiting.items(), _BATCH))
            for request_id in self._writing:
                del self._waiting[request_id]
            try:
                await self._log.add([*self._writing.values()])
            except BaseException:
                self._take_back()
                raise
            for record in self._writing.values():
                self._forget(record)
            self._writing = OrderedDict()

    def _take_back(self) -> None:
        """Put what could not be written before all that waits."""
        unwritten, self._writing = self._writing, OrderedDict()
        for request_id, record in reversed(unwritten.items()):
            self._waiting[request_id] = record
            self._waiting.move_to_end(request_id, last=False)
        if self._limit == 0:
            self._forget_all()
        self._forget_the_oldest()

    async def _prune(self) -> None:
        now = asyncio.get_running_loop().time()
        if now < self._prune_at:
            return
        # Before the first portion, so that settings changed meanwhile are not waited for.
        self._prune_at = now + _PRUNE_SECONDS
        more = True
        try:
            for _ in range(_PORTIONS):
                oldest = self._clock() - self._days * _DAY_SECONDS
                more = await self._log.prune(self._limit, oldest)
                if not more:
                    break
        finally:
            if more:  # the rest follows after the next batch
                self._prune_at = now
                self._noted.set()

    def _forget(self, record: RequestRecord | None) -> None:
        """A record no longer waits."""
        if record is not None and record.transcript is not None:
            self._transcript_bytes -= _size(record)

    def _forget_all(self) -> None:
        for record in self._waiting.values():
            self._forget(record)
        self._waiting.clear()

    def _forget_the_oldest(self) -> None:
        while len(self._waiting) > WAITING:
            self._forget(self._waiting.popitem(last=False)[1])
            self.dropped += 1

    def _failed(self, error: Exception) -> None:
        if not self._away:
            logger.error("the request log cannot be written, trying on: %s", error)
        self._away = True
        self._pause = min(self._pause * 2, _LONGEST_PAUSE_SECONDS)
        self._noted.set()

    def _succeeded(self) -> None:
        if self._away:
            logger.info(
                "the request log is written again; %d requests were lost so far", self.dropped
            )
        self._away = False
        self._pause = _WRITE_SECONDS


async def _until(event: asyncio.Event, seconds: float) -> None:
    """Wait for the event, but not for longer."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()


def _size(record: RequestRecord) -> int:
    """The bytes of its transcript."""
    kept = record.transcript
    return 0 if kept is None else len(kept.request) + len(kept.answer)
