"""The books of a serving gateway: journal, tables and accounts, put together."""

from __future__ import annotations

import time
from typing import NamedTuple

from dragoman.engine.accounting import Accounting
from dragoman.engine.bookkeeper import Bookkeeper
from dragoman.engine.stay import PriceOf
from dragoman.runtime.runtime import Runtime
from dragoman.store.journal import Journal
from dragoman.store.limits_file import LimitsFile

JOURNAL_FOLDER = "journal"


class Books(NamedTuple):
    """``bookkeeper`` is to be opened, started and closed by whoever serves."""

    accounting: Accounting
    bookkeeper: Bookkeeper


def open_books(runtime: Runtime, price_of: PriceOf) -> Books:
    """Open the journal of the data directory. Raises StoreError if another gateway has it."""
    journal = Journal.open(runtime.data_dir / JOURNAL_FOLDER)
    ledger = runtime.store.ledger()
    accounting = Accounting(
        clock=time.monotonic, wall=time.time, journal=journal, price_of=price_of
    )

    async def check() -> list[str]:
        prepaid = [user.id for user in runtime.state.users if user.prepaid]
        found = await ledger.verify(prepaid)
        return [str(one) for one in found.discrepancies]

    bookkeeper = Bookkeeper(
        journal,
        ledger,
        accounting,
        wall=time.time,
        check=check,
        limits=LimitsFile(runtime.data_dir),
    )
    return Books(accounting, bookkeeper)
