"""kill -9 under load: what a client saw the end of is booked, once, whatever the moment.

``DRAGOMAN_CRASHES=200 pytest tests/live/test_crash.py`` is the long run; docs/reliability.md has what it
found.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sqlite3
import time
from collections.abc import Callable, Iterator

import pytest

from dragoman.engine.tasks import spawn
from tests.live.money import MODEL, NANO_PER_TOKEN, Shop, shop
from tests.support.load import Told, load, some_time
from tests.support.postgres import fresh_database, sql

CRASHES = int(os.environ.get("DRAGOMAN_CRASHES", "5"))
WORKERS = 8

Query = Callable[[str], list[tuple[object, ...]]]


@contextlib.contextmanager
def on(database: str) -> Iterator[tuple[Shop, Query]]:
    """A shop whose books are in ``database``, and a way to look into them."""
    if database == "sqlite":
        with shop() as one:
            path = one.gateway.folder / "data" / "dragoman.db"

            def query(statement: str) -> list[tuple[object, ...]]:
                with contextlib.closing(sqlite3.connect(path)) as books:
                    return books.execute(statement).fetchall()

            yield one, query
        return
    with fresh_database() as url, shop(arguments=("--database-url", url)) as one:
        yield one, lambda statement: sql(url, statement)


def crash(one: Shop, keys: list[str], told: Told) -> float:
    """Load for a moment, kill -9, start again; how many seconds that took until it was ready."""

    async def work() -> None:
        asking = spawn(load(one.gateway.url, keys, told, model=MODEL, workers=WORKERS), "clients")
        await asyncio.sleep(some_time(0.02, 0.6))
        one.gateway.kill()
        async with asyncio.timeout(20):
            await asking

    asyncio.run(work())
    begun = time.monotonic()
    one.gateway.start_again()
    return time.monotonic() - begun


@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_what_was_settled_is_booked_once_through_crashes(
    database: str, record_property: Callable[[str, object], None]
) -> None:
    told = Told()
    starts: list[float] = []
    with on(database) as (one, query):
        rich = one.user("rich", usd="1000")
        one.user("poor", usd="0.001")
        keys = [one.key("rich's", "rich"), one.key("poor's", "poor")]
        for _ in range(CRASHES):
            starts.append(crash(one, keys, told))
            assert one.balance(rich) > 0
        assert one.gateway.stop() == 0

        booked = dict(query("SELECT id, cost FROM entries WHERE kind = 'usage'"))
        lost = told.served.keys() - booked.keys()
        assert not lost
        wrong = {
            request: (booked[request], tokens * NANO_PER_TOKEN)
            for request, tokens in told.served.items()
            if booked[request] != tokens * NANO_PER_TOKEN
        }
        assert not wrong
        assert len(told.served) > CRASHES

        unbalanced = query("SELECT number FROM legs GROUP BY number HAVING SUM(amount) <> 0")
        assert unbalanced == []
        replayed = query("SELECT account, SUM(amount) FROM legs GROUP BY account")
        balances = dict(query("SELECT name, balance FROM accounts"))
        assert {name: int(str(sum_)) for name, sum_ in replayed} == balances
        assert all(
            int(str(nano)) >= 0 for name, nano in balances.items() if str(name).startswith("credit")
        )
        assert told.statuses.get(402, 0) > 0, "the poor user's account was never exhausted"
        orphans = query("SELECT COUNT(*) FROM entries WHERE kind = 'orphan'")
        figures = {
            "crashes": CRASHES,
            "acknowledged": len(told.served),
            "booked": len(booked),
            "orphans": orphans[0][0],
            "longest start": f"{max(starts):.2f} s",
        }
        for what, figure in figures.items():
            record_property(what, figure)
        print(f"\n{database}:", ", ".join(f"{what} {figures[what]}" for what in figures))
