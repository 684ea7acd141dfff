"""From the journal to the tables, and from the tables to the accounts in memory.

What was journaled is written to the tables in groups, twice a second, and then forgotten by the journal. A
database that is away is waited for: the journal grows on disk, nothing in memory does. Changes that
others make to the tables (a top-up) are read again when the configuration is.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Protocol as Interface

import msgspec

from dragoman.engine.accounting import Accounting
from dragoman.engine.books import Journal, Ledger
from dragoman.engine.tasks import spawn
from dragoman.governance.ledger import Entry, Line, Settled, moved, orphan

logger = logging.getLogger("dragoman.ledger")

_BATCH = 500
_DRAIN_SECONDS = 0.5
_LONGEST_PAUSE_SECONDS = 5.0
_KEEP_LIMITS_SECONDS = 5.0
_CLOSE_SECONDS = 10.0

Check = Callable[[], Awaitable[Sequence[str]]]
"""The ledger's check of itself: what does not add up, in words; empty if all does."""


class LimitsMemory(Interface):
    """Where the state of rate limits outlives the process. Neither may fail."""

    def load(self) -> Mapping[str, Mapping[str, int]]:
        """What was saved: who → limit → nanoseconds from now for which it is used up."""
        ...

    def save(self, used: Mapping[str, Mapping[str, int]]) -> None:
        """Keep it. Called on a thread."""
        ...


class BooksState(msgspec.Struct, kw_only=True, frozen=True):
    """For whoever watches: journal lines that are not in the tables yet, for how many seconds the
    tables could not be written (0 if they can), and what the last check found wrong (None before the
    first)."""

    behind: int
    away_seconds: float
    discrepancies: int | None


class Bookkeeper:
    """Used on one event loop: ``open``, ``start``, ``close``."""

    def __init__(
        self,
        journal: Journal,
        ledger: Ledger,
        accounting: Accounting,
        *,
        wall: Callable[[], float],
        check: Check | None = None,
        check_seconds: float = 3600.0,
        limits: LimitsMemory | None = None,
    ) -> None:
        """``wall`` gives Unix time. ``check`` is made every ``check_seconds``."""
        self._journal = journal
        self._ledger = ledger
        self._accounting = accounting
        self._wall = wall
        self._check = check
        self._check_seconds = check_seconds
        self._limits = limits
        self._turn = asyncio.Lock()  # a standing must not be read while a batch is under way
        self._old = 0  # lines of an earlier process: the accounts in memory do not know them
        self._known = False
        self._closing = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._away_since: float | None = None
        self._discrepancies: int | None = None

    @property
    def state(self) -> BooksState:
        """How the books are."""
        away = 0.0 if self._away_since is None else _now() - self._away_since
        return BooksState(
            behind=self._journal.behind, away_seconds=away, discrepancies=self._discrepancies
        )

    async def open(self) -> None:
        """Take over where an earlier process ended: drain its lines, release its holds, read the
        accounts. If the tables cannot be used yet, requests that need an account wait for it."""
        self._release_orphans()
        self._old = self._journal.behind
        if self._limits is not None:
            now = self._accounting.now()
            self._accounting.parties.restore_limits(self._limits.load(), now)
        self._accounting.balances_known = False
        await self._try(self._catch_up)

    def start(self) -> None:
        """Begin to write."""
        self._journal.start()
        self._tasks = [spawn(self._work(), "bookkeeper"), spawn(self._keep_limits(), "limits")]
        if self._check is not None:
            self._tasks.append(spawn(self._verify(), "ledger-check"))

    async def refresh(self) -> None:
        """Read the accounts again: somebody else may have changed them. A database that is away
        leaves them as they are."""
        if self._known:
            await self._try(self._read_standing)

    async def close(self) -> None:
        """Write what waits, for ten seconds at most, and end."""
        self._closing.set()
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_CLOSE_SECONDS):
                await self._try(self._catch_up)
        if self._limits is not None:
            self._limits.save(self._used())
        if self._journal.behind:
            logger.warning(
                "%d lines stay in the journal and will be booked at the next start",
                self._journal.behind,
            )
        await self._journal.close()

    async def _work(self) -> None:
        pause = _DRAIN_SECONDS
        while True:
            await asyncio.sleep(pause)
            if not self._journal.behind and self._known:
                continue
            done = await self._try(self._catch_up)
            pause = _DRAIN_SECONDS if done else min(pause * 2, _LONGEST_PAUSE_SECONDS)

    async def _try(self, work: Callable[[], Awaitable[None]]) -> bool:
        """Whether ``work`` was done; the first failure and the return are logged."""
        try:
            await work()
        except Exception as error:  # noqa: BLE001 - the tables' home is not known here, nor how it may fail
            if self._away_since is None:
                self._away_since = _now()
                logger.error("the ledger cannot be used, trying on: %s", error)
            return False
        if self._away_since is not None:
            logger.info("the ledger is written again after %.0f s", _now() - self._away_since)
            self._away_since = None
        return True

    async def _catch_up(self) -> None:
        """Drain everything, and read the accounts if that was never done."""
        while self._journal.behind:
            async with self._turn:
                if not await self._drain():
                    break
        if not self._known:
            await self._read_standing()

    async def _drain(self) -> bool:
        """Write one batch; False if there was none."""
        most = min(_BATCH, self._old) if self._old else _BATCH
        batch = self._journal.pending(most)
        if not batch.lines:
            return False
        entries = _entries(batch.lines)
        if entries:
            await self._ledger.book(entries)
        self._journal.forget(batch.end)
        if self._old:
            self._old -= min(len(batch.lines), self._old)
        else:
            for account, nano in moved(entries).items():
                self._accounting.parties.drained(account, nano)
        return True

    async def _read_standing(self) -> None:
        async with self._turn:
            standing = await self._ledger.standing(self._wall())
            self._accounting.restore(standing, first=not self._known)
            self._known = True

    def _release_orphans(self) -> None:
        orphans = tuple(self._journal.orphans)
        for hold in orphans:
            released = orphan(hold, self._wall())
            self._journal.append(Settled(hold.id, (released,)))
        if orphans:
            logger.warning(
                "%d requests were under way when the gateway ended without warning; what was held "
                "for them is released",
                len(orphans),
            )

    async def _keep_limits(self) -> None:
        if self._limits is None:
            return
        saved: Mapping[str, Mapping[str, int]] = {}
        while True:
            await asyncio.sleep(_KEEP_LIMITS_SECONDS)
            used = self._used()
            if used or saved:
                await asyncio.to_thread(self._limits.save, used)
            saved = used

    def _used(self) -> dict[str, dict[str, int]]:
        return self._accounting.parties.used_limits(self._accounting.now())

    async def _verify(self) -> None:
        """Check the books now and then."""
        assert self._check is not None
        while True:
            await asyncio.sleep(self._check_seconds)
            try:
                found = await self._check()
            except Exception as error:  # noqa: BLE001 - as in _try
                logger.error("the ledger could not be checked: %s", error)
                continue
            self._discrepancies = len(found)
            for one in found[:20]:
                logger.error("THE LEDGER DOES NOT ADD UP: %s", one)


def _entries(lines: Sequence[Line]) -> tuple[Entry, ...]:
    return tuple(entry for line in lines if isinstance(line, Settled) for entry in line.entries)


def _now() -> float:
    return asyncio.get_running_loop().time()
