"""The ledger in the database: ``engine.books.Ledger``, and what the administration asks of it.

What is booked stays: nothing here changes or removes an entry. Every method raises StoreError when the
database cannot be used.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Collection, Iterable

from sqlalchemy import Connection

from dragoman.governance.ledger import Entry
from dragoman.governance.standing import Standing
from dragoman.governance.statements import (
    ANYTHING,
    Booked,
    Bucket,
    Dimension,
    Discrepancy,
    SelfCheck,
    Sought,
    Statement,
    Unpriced,
    UsageRow,
    Used,
)
from dragoman.store import ledger_booking as booking
from dragoman.store import ledger_check as checking
from dragoman.store import ledger_csv, ledger_reading, ledger_usage
from dragoman.store.request_log import InTransaction

_EXPORTED_AT_ONCE = 1000
"""Lines of CSV read in one transaction: some 60 ms, for which nothing else is read or written."""


class LedgerStore:
    """Use ``SQLStore.ledger``."""

    def __init__(self, read: InTransaction, write: InTransaction) -> None:
        """``read`` and ``write`` do work in one transaction on the database's thread."""
        self._read = read
        self._write = write

    async def book(self, entries: Iterable[Entry]) -> dict[str, int]:
        """As books.Ledger.book. An entry that cannot be kept whatever the database does (legs that do
        not sum to zero, figures beyond reason) is logged, and a note of kind ``refused`` kept in its
        place; ``Transaction.book`` raises EntryRefused for such a one."""
        return await self._write(lambda connection: booking.book_all(connection, entries))

    async def standing(self, now: float) -> Standing:
        """As books.Ledger.standing."""
        return await self._read(lambda connection: ledger_usage.standing(connection, now))

    async def balances(self) -> dict[str, int]:
        """What every account holds that is not empty."""
        return await self._read(ledger_usage.balances)

    async def balance(self, account: str) -> int:
        """What an account holds; zero if nobody knows it."""
        return await self._read(lambda connection: booking.balance(connection, account))

    async def statement(
        self,
        user_id: int,
        *,
        since: float | None = None,
        until: float | None = None,
        limit: int = 100,
        before: int | None = None,
    ) -> Statement:
        """A user's credit account over a time (Unix, ``until`` excluded), newest first; ``before`` is
        the number of the line that the page before ended with."""
        return await self._read(
            lambda connection: ledger_reading.statement(
                connection, user_id, since=since, until=until, limit=limit, before=before
            )
        )

    async def entries(
        self,
        sought: Sought = ANYTHING,
        *,
        limit: int = 100,
        offset: int = 0,
        before: int | None = None,
    ) -> list[Booked]:
        """What fits, newest first: after ``offset`` others, or after the entry numbered ``before``."""
        return await self._read(
            lambda connection: ledger_reading.listed(connection, sought, limit, offset, before)
        )

    async def entry(self, entry_id: str) -> list[Entry]:
        """The entry with that id, and whatever else was booked for the same request; oldest first."""
        return await self._read(lambda connection: ledger_reading.found(connection, entry_id))

    async def export(self, sought: Sought = ANYTHING) -> AsyncIterator[str]:
        """What fits as CSV, oldest first, some lines at a time."""
        yield ledger_csv.header()
        last: tuple[float, int] | None = None
        while True:
            found = await self._read(_after(sought, last))
            if found:
                yield ledger_csv.lines(found)
                last = found[-1].entry.at, found[-1].number
            if len(found) < _EXPORTED_AT_ONCE:
                return

    async def usage(
        self,
        sought: Sought = ANYTHING,
        *,
        bucket: Bucket = "day",
        by: Dimension | None = None,
        attempts: bool = False,
    ) -> list[UsageRow]:
        """What was used over time, oldest first, from sums that are kept by the hour: ``since`` counts
        from the beginning of its hour, ``until`` to the end of its own. ``attempts`` asks for what
        failed on the way to a fallback and cost the operator, instead of what users used."""
        return await self._read(
            lambda connection: ledger_usage.usage(connection, sought, bucket, by, attempts=attempts)
        )

    async def totals(self, sought: Sought = ANYTHING, *, attempts: bool = False) -> Used:
        """As ``usage``, in one sum."""
        return await self._read(
            lambda connection: ledger_usage.totals(connection, sought, attempts=attempts)
        )

    async def costs(
        self, request_ids: Collection[str], *, user_id: int | None = None
    ) -> dict[str, int | None]:
        """What requests cost, in nano-USD, by their ids: None for one without a price, and nothing for
        one that the books do not know, or know as another user's than ``user_id``."""
        return await self._read(
            lambda connection: ledger_reading.costs(connection, request_ids, user_id)
        )

    async def unpriced(self, since: float) -> list[Unpriced]:
        """The models that were used since then without a price, the most used first."""
        return await self._read(lambda connection: ledger_usage.unpriced(connection, since))

    async def verify(self, prepaid: Collection[int] = (), *, most: int = 20) -> SelfCheck:
        """Check that the books add up: the legs of every entry, its cost, every sum that is kept, every
        balance, and that no ``prepaid`` user's credit is below zero. The first ``most`` discrepancies
        are told. Takes seconds for a million entries, in portions that let others work between."""
        entries, accounts = await self._read(checking.size)
        found: list[Discrepancy] = []
        first: int | None = 1
        while first is not None:
            found_here, first = await self._read(_check_entries(first, most))
            found += found_here
        for check in (checking.check_hours, checking.check_days):
            while True:
                found_here, first = await self._read(_check_from(check, first, most))
                found += found_here
                if first is None:
                    break
        found += await self._read(
            lambda connection: checking.check_balances(connection, prepaid, most)
        )
        return SelfCheck(entries=entries, accounts=accounts, discrepancies=tuple(found[:most]))


def _after(sought: Sought, last: tuple[float, int] | None) -> Callable[[Connection], list[Booked]]:
    return lambda connection: ledger_reading.after(connection, sought, last, _EXPORTED_AT_ONCE)


def _check_entries(first: int, most: int) -> Callable[[Connection], checking.Portion]:
    return lambda connection: checking.check_entries(connection, first, most)


def _check_from(
    check: Callable[[Connection, int | None, int], checking.Portion], first: int | None, most: int
) -> Callable[[Connection], checking.Portion]:
    return lambda connection: check(connection, first, most)
