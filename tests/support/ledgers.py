"""Ledgers in real databases of both kinds, and entries to put into them."""

from __future__ import annotations

import contextlib
import datetime
import sqlite3
from collections.abc import Awaitable, Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from dragoman.canonical.usage import Usage
from dragoman.governance.ledger import (
    ADJUSTMENTS,
    CASH,
    OPERATOR,
    USAGE,
    Entry,
    credit_of,
    overrun_of,
    transfer,
    trial_of,
)
from dragoman.governance.standing import Consumption, Spending, Standing
from dragoman.store.sql import SQLStore
from dragoman.store.sqlite import FILE_NAME, SQLiteStore
from tests.support import postgres

Result = TypeVar("Result")

SECRET_KEY = b"s" * 32
BEGAN = 1_790_000_000.0
"""2026-09-21 14:13:20 UTC, a Monday."""
DAY = 86_400


class Home:
    """A database of one's own, to be opened as often as one likes."""

    def __init__(self, folder: Path, url: str = "") -> None:
        """``url`` is that of a PostgreSQL database; without it, it is a file in ``folder``."""
        self.path = folder / FILE_NAME
        self.url = url

    async def open(self) -> SQLStore:
        """A store on it."""
        if not self.url:
            return await SQLiteStore.open(self.path, SECRET_KEY)
        from sqlalchemy import make_url  # noqa: PLC0415

        from dragoman.store.postgres import PostgresStore  # noqa: PLC0415 - an extra

        return PostgresStore(make_url(self.url).set(drivername="postgresql+psycopg"), SECRET_KEY)

    async def doing(self, work: Callable[[SQLStore], Awaitable[Result]]) -> Result:
        """What ``work`` does with an open store."""
        store = await self.open()
        try:
            return await work(store)
        finally:
            await store.close()

    def sql(self, statement: str, *values: Any) -> list[Any]:
        """Another program's doing; ``?`` stands for a value."""
        if self.url:
            return postgres.sql(self.url, statement, *values)
        with contextlib.closing(sqlite3.connect(self.path)) as database:
            found = database.execute(statement, values).fetchall()
            database.commit()
            return found

    def unprotecting(self, table: str) -> list[str]:
        """What a forger does first, who takes the triggers away."""
        if self.url:
            return [f"ALTER TABLE {table} DISABLE TRIGGER USER"]
        return [f"DROP TRIGGER IF EXISTS {table}_no_{verb}" for verb in ("update", "delete")]


@contextlib.contextmanager
def home_of(kind: str, folder: Path) -> Iterator[Home]:
    """A fresh home: ``sqlite`` or ``postgresql``. Skips the test where there is no server."""
    if kind == "sqlite":
        yield Home(folder)
        return
    with postgres.fresh_database() as url:
        yield Home(folder, url)


def used(number: int, **fields: Any) -> Entry:
    """A request that a user's credit paid for, ``number`` seconds after BEGAN."""
    given = {
        "id": f"r{number}",
        "kind": "usage",
        "at": BEGAN + number,
        "user_id": 3,
        "key_id": "7",
        "key_name": "laptop",
        "operation": "chat",
        "protocol": "openai",
        "model": "gpt-5",
        "response_model": "gpt-5-2026",
        "channel_id": 2,
        "channel": "main",
        "provider": "openai",
        "outcome": "ok",
        "usage": Usage(input=100, cache_read=20, output=30, reasoning=7),
        "cost": 1000 + number,
        "price_source": "operator",
        "price_date": "2026-09-01",
        "request_ms": 12.5,
    } | fields
    if "legs" not in fields:
        given["legs"] = _paid(given["kind"], given["user_id"], given["cost"], given.get("trial"))
    return Entry(**given)


def _paid(kind: str, user_id: int, cost: int | None, trial: bool | None) -> Any:
    if kind == "attempt":
        payer = OPERATOR
    elif kind == "overrun":
        payer = overrun_of(user_id)
    else:
        payer = trial_of(user_id) if trial else credit_of(user_id)
    return transfer(payer, USAGE, cost or 0)


def topup(number: int, nano: int, user_id: int = 3, kind: str = "topup") -> Entry:
    """Money that comes to a user's credit."""
    source = {"topup": CASH, "refund": USAGE, "adjustment": ADJUSTMENTS}[kind]
    return Entry(
        id=f"t{number}",
        kind=kind,
        at=BEGAN + number,
        user_id=user_id,
        cost=0,
        actor="admin",
        reason="paid by card",
        legs=transfer(source, credit_of(user_id), nano),
    )


def standing_of(entries: Iterable[Entry], now: float) -> Standing:
    """What a ledger with these entries must say, worked out entry by entry."""
    balances: dict[str, int] = {}
    users: dict[int, Spending] = {}
    keys: dict[str, Spending] = {}
    trials: dict[int, Consumption] = {}
    for entry in entries:
        for leg in entry.legs:
            balances[leg.account] = balances.get(leg.account, 0) + leg.amount
        if entry.kind in ("usage", "overrun"):
            users[entry.user_id] = _more(users.get(entry.user_id, Spending()), entry, now)
            keys[entry.key_id] = _more(keys.get(entry.key_id, Spending()), entry, now)
        if entry.kind == "usage" and entry.trial:
            before = trials.get(entry.user_id, Consumption())
            tokens = 0 if entry.usage is None else entry.usage.total
            trials[entry.user_id] = Consumption(
                tokens=before.tokens + tokens, requests=before.requests + 1
            )
    nonzero = {account: nano for account, nano in balances.items() if nano}
    return Standing(balances=nonzero, users=users, keys=keys, trials=trials)


def _more(spent: Spending, entry: Entry, now: float) -> Spending:
    day, today = (
        datetime.datetime.fromtimestamp(moment, datetime.UTC).date() for moment in (entry.at, now)
    )
    cost = entry.cost or 0
    monday = today - datetime.timedelta(days=today.weekday())
    return Spending(
        day=spent.day + cost * (day >= today),
        week=spent.week + cost * (day >= monday),
        month=spent.month + cost * (day >= today.replace(day=1)),
        total=spent.total + cost,
    )
