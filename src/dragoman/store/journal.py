"""A write-ahead journal: what a request holds and what it cost, kept before its last byte leaves.

**Why.** The tables follow in groups, some half a second behind. In between, the journal is the truth: a
line that was appended survives a kill -9 at once, because the kernel has it, and a power failure after
some 20 ms, because it is synced that often. The journal is also the queue to the tables: ``pending``
reads from the files, so a database that is away for an hour costs disk and no memory.

**Files**, all in one directory that one process at a time may serve from (``lock``)::

    00000007.log       a segment, 8 MiB by default, all of its room allocated when it is made;
    00000008.log       lines are written one behind the other (``journal_lines`` has the bytes)
    00000009.log       the spare, empty
    drained            how far the tables have come
    00000003.damaged   was drained as far as it could be read; for the operator

**Room.** A line never waits for room: when a segment is full the next one has long been made, in a
thread. ``admit`` sets a whole line's room aside for how its request will end, in segments that exist. So
a full disk stops admission, while everything that was admitted can still be settled.

**A position** is one integer, segment number × 2³² + offset. Everything before the drained position is in
the tables. A segment wholly before it is deleted, but only once the holds in it that are still open were
written again at the end: a crash later must still find them.

**Opening** reads every segment. Zeros follow the last line; anything else there is a torn write of the
crash and is dropped with a warning. Bytes before the last line that are no line are damage: they are
stepped over with an error, and the file is kept. Holds without an end are ``orphans``.

**A failed sync** proves nothing about a later one on the same file: the kernel reports an error once and
may drop the page [1]_. So nothing is admitted until the lines since the last good sync stand in another
segment, too, and that is synced. Lines may thus come twice; booking is idempotent.

.. [1] https://wiki.postgresql.org/wiki/Fsync_Errors
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec

from dragoman.governance.ledger import Hold, JournalBatch, JournalFull, Line
from dragoman.store.errors import StoreError
from dragoman.store.journal_chores import Chores, Done
from dragoman.store.journal_files import Segment
from dragoman.store.journal_lines import HEADER_BYTES, LINE_BYTES, encode, position
from dragoman.store.journal_opening import Found, find
from dragoman.store.journal_tape import Tape

logger = logging.getLogger("dragoman.journal")

SEGMENT_BYTES = 8 * 2**20
MOST_BYTES = 2**30
_FEWEST_SEGMENTS = 3  # one that is drained, one that is written to, and the spare
_SYNC_SECONDS = 0.02
_RETRY_SECONDS = 1.0

_decode = msgspec.msgpack.Decoder(Line).decode


class Journal:
    """Used on one event loop: ``open``, ``start``, and ``close`` at the end. ``orphans`` are the holds
    that a crash left open; whoever books them appends a Released for each.

    ``engine.books.Journal`` is what the engine sees of it.
    """

    def __init__(self, found: Found, *, most_bytes: int, clock: Callable[[], float]) -> None:
        """Use ``open``."""
        self.orphans = found.orphans
        self._directory = found.directory
        self._segment_bytes = found.segment_bytes
        self._most_bytes = most_bytes
        self._clock = clock
        self._lock = found.lock
        self._bookmark = found.bookmark
        self._drained = found.bookmark.position
        self._tape = Tape(found.segments, found.spares)
        self._retired: list[Segment] = []
        self._open = found.open_holds  # by id: where the hold stands and its payload, oldest first
        self._refused: deque[bytes] = deque()  # lines that the disk would not take yet
        self._behind = found.behind
        self._given: dict[int, int] = {}  # what pending gave since forget: end → lines before it
        self._synced = self._tape.end
        self._failing = False  # nothing written since _synced is known to be on the disk
        self._fresh = False  # after that: all of it stands in another segment by now
        self._shortage = ""
        self._closing = False
        self._retry_at = float("-inf")
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._thread = ThreadPoolExecutor(1, "journal")

    @classmethod
    def open(
        cls,
        directory: Path,
        *,
        segment_bytes: int = SEGMENT_BYTES,
        most_bytes: int = MOST_BYTES,
        clock: Callable[[], float] = time.monotonic,
    ) -> Journal:
        """Open the journal in ``directory``, or make it. ``most_bytes`` bounds all of its segments.
        Raises StoreError if another process uses it, if a newer version has written it, or if its
        files cannot be read or made; ValueError for sizes that cannot work."""
        if most_bytes < _FEWEST_SEGMENTS * segment_bytes:
            raise ValueError(f"a journal needs {_FEWEST_SEGMENTS} segments; {most_bytes} is less")
        journal = cls(find(directory, segment_bytes), most_bytes=most_bytes, clock=clock)
        journal.tend()
        return journal

    @property
    def behind(self) -> int:
        """Lines that are not in the tables yet. Those that the disk would not take count, too, though
        ``pending`` has them only once it does."""
        return self._behind + len(self._refused)

    @property
    def open_holds(self) -> int:
        """Requests that were admitted and have not ended."""
        return len(self._open)

    @property
    def size(self) -> int:
        """Bytes that the segments take up on the disk."""
        return sum(one.size for one in (*self._tape.segments, *self._tape.spares, *self._retired))

    @property
    def full(self) -> bool:
        """Whether the next request would be refused."""
        return self._failing or bool(self._refused) or self._free() < 2 * LINE_BYTES

    def admit(self, line: Hold) -> None:
        """Append a Hold, and set room aside for how it will end. Raises JournalFull, and ValueError
        for a Hold that is too long or cannot be written."""
        payload = encode(line)
        if self.full:
            raise self._refusal()
        try:
            self._open[line.id] = self._put(payload), payload
        except OSError as error:
            self._tape.give_up_segment(error)
            raise JournalFull(f"the journal cannot be written: {error.strerror}") from None

    def append(self, line: Line) -> None:
        """Append a Settled or Released, in the room that was set aside for it. If the disk fails all
        the same, the line waits in memory. Raises JournalFull for a line without a hold if there is
        no room, and ValueError for one that cannot be written; its hold stays open then."""
        payload = encode(line)
        if line.id not in self._open and self.full:
            raise self._refusal()
        self._open.pop(line.id, None)
        self._refused.append(payload)
        self._write_refused()

    def pending(self, most: int) -> JournalBatch:
        """The oldest lines that were not forgotten, ``most`` at most. A Hold comes again if it is still
        open when its segment is deleted. Raises StoreError if the files cannot be read."""
        found: list[Line] = []
        end, count, whole = self._drained, 0, False
        for segment, at, payload in self._tape.read(self._drained):
            if len(found) == most:
                break
            end, count = at, count + 1
            try:
                found.append(_decode(payload))
            except msgspec.MsgspecError as error:
                logger.error("a line of %s cannot be understood: %s", segment.path, error)
                segment.damaged = True
        else:
            # Everything was read, so this is how many there are, whatever was counted before.
            if count < self._behind:
                logger.error("%d lines of the journal are lost", self._behind - count)
            end, self._behind, whole = self._tape.end, count, not self._refused
        self._given[end] = count
        return JournalBatch(found, end, whole)

    def forget(self, end: int) -> None:
        """Everything before ``end`` is in the tables. Raises ValueError for an end that ``pending``
        has not given."""
        if end <= self._drained:
            return
        if end not in self._given:
            raise ValueError(f"{end} is not where a batch ended")
        self._behind -= self._given[end]
        self._given.clear()
        self._drained = end
        try:
            self._bookmark.move(end)
        except OSError as error:  # what was drained is drained again, at worst
            logger.warning("how far the journal was drained cannot be kept: %s", error)
        self._retire()

    def start(self) -> None:
        """Begin to sync what is written and to keep room ready."""
        self._task = asyncio.get_running_loop().create_task(self._work(), name="journal")

    async def close(self) -> None:
        """Sync everything and let the directory go. Holds that are open now will be orphans."""
        if self._closing:
            return
        self._closing = True
        self._wake.set()
        if self._task is not None:
            await self._task
        self._thread.shutdown()
        self.tend()
        for segment in (*self._tape.segments, *self._tape.spares, *self._retired):
            segment.close()
        self._bookmark.close()
        os.close(self._lock)

    def tend(self) -> None:
        """A round of housekeeping at once, in this thread: sync, make room, delete what is drained."""
        chores = self._chores()
        self._take(chores, chores.do())

    async def _work(self) -> None:
        """A round soon after something was written, and another some time after a failure."""
        loop = asyncio.get_running_loop()
        while not self._closing:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_RETRY_SECONDS if self._has_trouble() else None):
                    await self._wake.wait()
            self._wake.clear()
            try:
                chores = self._chores()
                self._take(chores, await loop.run_in_executor(self._thread, chores.do))
            except Exception:  # without its rounds the journal would run full and nobody know why
                logger.exception("a round of the journal's housekeeping failed")
            await asyncio.sleep(_SYNC_SECONDS)

    def _free(self) -> int:
        """Bytes of existing segments that are set aside for nobody."""
        return self._tape.room - LINE_BYTES * (len(self._open) + len(self._refused))

    def _put(self, payload: bytes) -> int:
        """Write a line; its position. Raises OSError."""
        at = self._tape.put(payload)
        self._behind += 1
        self._wake.set()
        return at

    def _refusal(self) -> JournalFull:
        """Why nothing is admitted."""
        self._wake.set()
        if self._failing or self._refused:
            return JournalFull("the journal's disk fails")
        return JournalFull(f"the journal is full: {self._shortage or 'a segment is being made'}")

    def _write_refused(self) -> None:
        """Write what is waiting, as far as the disk takes it."""
        while self._refused:
            try:
                self._put(self._refused[0])
            except OSError as error:
                if not self._tape.give_up_segment(error):
                    self._retry_at = self._clock() + _RETRY_SECONDS
                    return
            else:
                self._refused.popleft()

    def _retire(self) -> None:
        """Take the segments out that are drained, oldest first."""
        while (oldest := self._tape.segments[0]) is not self._tape.current:
            last = position(oldest.number, oldest.end)
            if self._drained < last or not self._carry_over(last):
                return
            self._retired.append(self._tape.segments.popleft())
            self._wake.set()

    def _carry_over(self, before: int) -> bool:
        """Write the open holds that stand before this position again; False if there is no room."""
        left = [name for name, (at, _) in self._open.items() if at < before]
        if left and self._free() < LINE_BYTES * len(left):
            return False
        for name in left:
            _, payload = self._open[name]
            try:
                at = self._put(payload)
            except OSError as error:
                self._tape.give_up_segment(error)
                return False
            self._open[name] = at, payload
        return True

    def _has_trouble(self) -> bool:
        return self._failing or bool(self._refused or self._retired) or self._wants_spare()

    def _wants_spare(self) -> bool:
        """One is always to be ready, and more if many requests are open at once."""
        return not self._tape.spares or self._free() < LINE_BYTES * (1 + len(self._open))

    def _chores(self) -> Chores:
        """What is to be done now that takes time."""
        late = self._clock() >= self._retry_at
        if late and self._failing and self._tape.spares:
            self._start_afresh()
        if late and self._refused:
            self._write_refused()
        may_sync = not self._failing or self._fresh
        dirty = [one for one in self._tape.segments if one.dirty] if may_sync else []
        for segment in dirty:
            segment.dirty = False
        return Chores(
            directory=self._directory,
            segment_bytes=self._segment_bytes,
            end=self._tape.end,
            may_sync=may_sync,
            dirty=dirty,
            retired=[*self._retired],
            make=self._number_to_make() if late else None,
        )

    def _number_to_make(self) -> int | None:
        """The number of the next spare if there is to be one."""
        stuck = self._failing and not self._fresh
        if not (stuck or self._wants_spare()):
            return None
        # While the disk fails a new segment is the only way out, so the bound gives way.
        if not stuck and self.size + self._segment_bytes > self._most_bytes:
            self._note_shortage(f"{self.size} bytes wait to be drained")
            return None
        return (self._tape.spares or self._tape.segments)[-1].number + 1

    def _start_afresh(self) -> None:
        """After a failed sync: write everything since the last good one again, into another segment,
        and trust the old one no more."""
        since = max(self._synced, self._drained)
        old = self._tape.written_since(since)
        if sum(one.end for one in old) > self._free() - self._tape.current.room:
            return  # a further segment is made first
        failed = [*self._tape.segments]
        again = []
        try:
            for _, _, payload in self._tape.read(since):
                again.append(payload)
        except StoreError as error:
            logger.error("lines that were not synced are lost: %s", error)
        try:
            self._tape.turn()
            for payload in again:
                self._put(payload)
        except OSError as error:
            self._tape.give_up_segment(error)
            return
        for segment in old:
            # From here on the copy is what is drained.
            segment.end = max(HEADER_BYTES, min(segment.end, since - position(segment.number, 0)))
        self._behind -= len(again)
        for segment in failed:
            segment.dirty = False
            segment.close()
        self._fresh = True

    def _take(self, chores: Chores, done: Done) -> None:
        """Take over what came of a round."""
        if done.sync_error is not None:
            logger.error("the journal cannot be synced; nothing is admitted: %s", done.sync_error)
            self._failing, self._fresh = True, False
            self._retry_at = self._clock() + _RETRY_SECONDS
        if done.synced:
            if self._failing:
                logger.info("the journal is on the disk again; requests are admitted")
            self._failing, self._fresh = False, False
            self._synced = chores.end
            for segment in chores.dirty:
                if segment is not self._tape.current and not segment.dirty:
                    segment.close()
        self._retired = [one for one in self._retired if one not in done.removed]
        if done.make_error is not None:
            self._note_shortage(done.make_error.strerror or str(done.make_error))
        if done.made is not None:
            self._tape.spares.append(done.made)
            if self._shortage:
                logger.info("the journal has room again")
            self._shortage = ""
            if self._wants_spare():
                self._wake.set()

    def _note_shortage(self, why: str) -> None:
        """Say it once, and try again later."""
        if self._shortage != why:
            logger.warning("the journal can have no further segment for now: %s", why)
        self._shortage = why
        self._retry_at = self._clock() + _RETRY_SECONDS
