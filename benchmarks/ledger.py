"""The books with a million entries: how fast they are filled, asked and checked.

On SQLite, and on PostgreSQL if ``DRAGOMAN_BENCH_DATABASE`` is the URL of an empty database there.
"""

from __future__ import annotations

import asyncio
import os
import random
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, make_url

from benchmarks.options import Options
from benchmarks.report import Table
from dragoman.canonical.usage import Usage
from dragoman.governance.ledger import USAGE, Entry, credit_of, transfer
from dragoman.governance.statements import Sought
from dragoman.store.ledger import LedgerStore
from dragoman.store.sql import SQLStore
from dragoman.store.sqlite import SQLiteStore

VARIABLE = "DRAGOMAN_BENCH_DATABASE"
_BATCH = 500
_DAYS = 90
_DAY = 86_400
_BEGAN = 1_780_000_000 // _DAY * _DAY
_USERS, _MODELS, _CHANNELS = 100, 20, 6
_SECRET_KEY = b"b" * 32


def measure(options: Options) -> list[Table]:
    """Fill and ask every database there is."""
    count = 2_000 if options.quick else 1_000_000
    rounds = options.choose(options.rounds, full=5, quick=1)
    homes = ["SQLite"]
    notes = []
    if os.environ.get(VARIABLE):
        homes.append("PostgreSQL")
    else:
        notes.append(f"PostgreSQL was not measured: {VARIABLE} names no database.")
    columns = []
    for home in homes:
        with tempfile.TemporaryDirectory() as folder:
            columns.append(asyncio.run(_measured(home, Path(folder), count, rounds)))
    table = Table(f"The books with {count:,} entries", ["", *homes])
    for name in columns[0]:
        table.rows.append([name, *(column[name] for column in columns)])
    table.notes.append(
        f"{_USERS} users with two keys each, three models a key, two channels a model, {_DAYS} days; "
        f"booked {_BATCH} at a time, each batch a transaction that is on the disk when it is over. "
        f"Answers: median of {rounds}. Processor time is this process's, not the server's."
    )
    table.notes += notes
    return [table]


async def _measured(home: str, folder: Path, count: int, rounds: int) -> dict[str, str]:
    """What one database takes for each thing."""
    store = await _open(home, folder)
    try:
        ledger = store.ledger()
        figures = await _filled(ledger, home, count)
        for name, ask in _questions(ledger, await _busiest(ledger), count):
            figures[name] = f"{await _median(ask, rounds) * 1000:.1f} ms"
        figures |= await _checked(store, count)
        figures |= await _exported(ledger)
        return figures
    finally:
        await store.close()


async def _open(home: str, folder: Path) -> SQLStore:
    if home == "SQLite":
        return await SQLiteStore.open(folder / "books.db", _SECRET_KEY)
    from dragoman.store.postgres import PostgresStore  # noqa: PLC0415 - an extra

    url = make_url(os.environ[VARIABLE]).set(drivername="postgresql+psycopg")
    return PostgresStore(url, _SECRET_KEY)


async def _filled(ledger: LedgerStore, home: str, count: int) -> dict[str, str]:
    wall = processor = 0.0
    for number, batch in enumerate(_batches(count)):
        if number % 200 == 0:
            print(f"{home}: {number * _BATCH:,} of {count:,} booked", file=sys.stderr)
        begun, begun_work = time.perf_counter(), time.process_time()
        await ledger.book(batch)
        wall += time.perf_counter() - begun
        processor += time.process_time() - begun_work
    return {
        "booking: processor time an entry": f"{processor / count * 1e6:.1f} µs",
        "booking: entries a second": f"{count / wall:,.0f}",
    }


def _batches(count: int) -> Iterator[list[Entry]]:
    """Usage over the days, by users of whom few use most."""
    dice = random.Random(4711)
    step = _DAYS * _DAY / count
    for start in range(0, count, _BATCH):
        yield [
            _entry(dice, number, _BEGAN + number * step)
            for number in range(start, min(start + _BATCH, count))
        ]


def _entry(dice: random.Random, number: int, at: float) -> Entry:
    user_id = 3 + int(_USERS * dice.random() ** 3)
    cost = dice.randrange(1, 10**8) if dice.random() < 0.99 else None
    # A key asks for three models, and a model is had from one channel or another.
    key = user_id * 2 + dice.randrange(2)
    model = (key * 7 + int(3 * dice.random() ** 2)) % _MODELS
    channel = (model + (dice.random() < 0.2)) % _CHANNELS
    return Entry(
        id=_id(number),
        kind="usage",
        at=at,
        user_id=user_id,
        key_id=str(key),
        key_name=f"key {key}",
        operation="chat",
        protocol="openai_chat",
        model=f"model-{model}",
        response_model="model-2026-09-01",
        channel_id=channel,
        channel=f"channel-{channel}",
        provider=f"provider-{channel % 3}",
        outcome="ok" if dice.random() < 0.98 else "broken",
        usage=Usage(input=dice.randrange(5000), cache_read=1000, output=dice.randrange(900)),
        cost=cost,
        price_source="genai-prices 0.0.40",
        price_date="2026-09-01",
        request_ms=1234.5,
        legs=transfer(credit_of(user_id), USAGE, cost or 0),
    )


def _id(number: int) -> str:
    """As long as a request's id, and as much in the order of time."""
    return f"{number:012x}-{number * 2_654_435_761 % 2**32:08x}-8c5d-1f2e3d4c5b6a"


async def _busiest(ledger: LedgerStore) -> int:
    requests: Counter[int] = Counter()
    for row in await ledger.usage(bucket="month", by="user"):
        requests[int(row.of or 0)] += row.used.requests
    ((user_id, _),) = requests.most_common(1)
    return user_id


def _questions(
    ledger: LedgerStore, busy: int, count: int
) -> Iterator[tuple[str, Callable[[], Awaitable[Any]]]]:
    end = _BEGAN + _DAYS * _DAY
    mine = Sought(user_id=busy)
    week = Sought(since=end - 7 * _DAY)
    middle = Sought(user_id=busy, since=end - 60 * _DAY + 5, until=end - 30 * _DAY + 5)
    asked = [_id(number * count // 10_000) for number in range(min(count, 10_000))]
    yield f"usage of {_DAYS} days by model and day", lambda: ledger.usage(by="model")
    yield "usage of 7 days by user and hour", lambda: ledger.usage(week, bucket="hour", by="user")
    yield "usage in months by key", lambda: ledger.usage(bucket="month", by="key")
    yield "the busiest user's usage by day", lambda: ledger.usage(mine)
    yield "the busiest user's totals", lambda: ledger.totals(mine)
    yield "the busiest user's statement, newest 100", lambda: ledger.statement(busy)
    yield (
        "the same of a month, two months ago",
        lambda: ledger.statement(busy, since=middle.since, until=middle.until),
    )
    yield "the busiest user's newest 100 entries", lambda: ledger.entries(mine)
    yield "100 entries after 10,000 others", lambda: ledger.entries(offset=10_000)
    yield "costs of 10,000 requests", lambda: ledger.costs(asked)
    yield "models without a price in 7 days", lambda: ledger.unpriced(end - 7 * _DAY)
    yield "standing, as read at the start", lambda: ledger.standing(end)


async def _median(ask: Callable[[], Awaitable[Any]], rounds: int) -> float:
    seconds = []
    for _ in range(rounds):
        begun = time.perf_counter()
        await ask()
        seconds.append(time.perf_counter() - begun)
    return statistics.median(seconds)


async def _checked(store: SQLStore, count: int) -> dict[str, str]:
    longest = 0.0

    async def read(work: Callable[[Connection], Any]) -> Any:
        nonlocal longest
        begun = time.perf_counter()
        try:
            return await store._read(work)
        finally:
            longest = max(longest, time.perf_counter() - begun)

    begun = time.perf_counter()
    found = await LedgerStore(read, read).verify()
    seconds = time.perf_counter() - begun
    assert found.ok, found.discrepancies
    assert found.entries == count
    return {
        "the check of everything": f"{seconds:.1f} s",
        "its longest transaction": f"{longest * 1000:.0f} ms",
    }


async def _exported(ledger: LedgerStore) -> dict[str, str]:
    month = Sought(since=_BEGAN + 30 * _DAY, until=_BEGAN + 60 * _DAY)
    begun = time.perf_counter()
    lines = await _lines(ledger.export(month))
    return {"CSV: entries a second": f"{lines / (time.perf_counter() - begun):,.0f}"}


async def _lines(pieces: AsyncIterator[str]) -> int:
    return sum([piece.count("\n") async for piece in pieces])
