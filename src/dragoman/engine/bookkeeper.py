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
from dragoman.engine.books import Journal, JournalBatch, Ledger
from dragoman.engine.tasks import spawn
from dragoman.governance.ledger import Entry, Line, Settled, moved, orphan

logger = logging.getLogger("dragoman.ledger")

_BATCH = 2000
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
        self._known = False
        self._odd = False  # the tables took something else than was journaled
        self._closing = asyncio.Event()
        self._hurry = asyncio.Event()  # somebody waits for the tables
        self._progress = asyncio.Event()
        self._written = 0  # lines
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

    async def caught_up(self, seconds: float) -> bool:
        """Wait, ``seconds`` at most, until what is in the journal now is in the tables; whether it is.
        Tables that are away are not waited for."""
        goal = self._written + self._journal.behind
        if self._written < goal and self._away_since is None:
            self._hurry.set()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    while self._written < goal and self._away_since is None:
                        self._progress.clear()
                        await self._progress.wait()
        return self._written >= goal

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
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._hurry.wait()
            self._hurry.clear()
            if not self._journal.behind and self._known and not self._odd:
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
            self._progress.set()
            return False
        if self._away_since is not None:
            logger.info("the ledger is written again after %.0f s", _now() - self._away_since)
            self._away_since = None
        return True

    async def _catch_up(self) -> None:
        """Drain what is there, and read the accounts if that was never done or they may be wrong."""
        behind = not self._known or self._odd or self._journal.behind > 0
        while behind:
            async with self._turn:
                batch = await self._drain()
            behind = bool(batch.lines) and not batch.whole
            # What is not in the tables is known exactly after a batch that was the whole journal, and
            # only then: lines may come twice, and those of an earlier process are not told apart.
            if batch.whole and (self._odd or not self._known):
                await self._read_standing()
                self._odd = False

    async def _drain(self) -> JournalBatch:
        """Write one batch, and give it."""
        parties = self._accounting.parties
        batch = self._journal.pending(_BATCH)
        taken = parties.take_undrained() if batch.whole else {}
        if batch.whole and not self._known:
            parties.forget_spending()
        entries = _entries(batch.lines)
        due = moved(entries)
        try:
            booked = await self._ledger.book(entries) if entries else due
        except BaseException:
            parties.journaled(taken)
            raise
        if batch.lines:
            self._journal.forget(batch.end)
        self._written += len(batch.lines)
        self._progress.set()
        if not batch.whole:
            parties.drained(due)
        if booked != due:
            self._odd = True
        return batch

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
