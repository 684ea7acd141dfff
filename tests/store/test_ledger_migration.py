"""The ledger comes to an older database with data, and leaves it again."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Connection, create_engine, inspect
from sqlalchemy.pool import NullPool

from dragoman.store import schema
from dragoman.store.sql import SQLStore
from tests.support.ledgers import Home, home_of, topup, used

LEDGER = {"entries", "legs", "accounts", "account_hours", "usage_hours", "usage_days"}


@pytest.fixture(params=["sqlite", "postgresql"])
def home(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Home]:
    with home_of(request.param, tmp_path) as found:
        yield found


def tables(connection: Connection) -> set[str]:
    return {*inspect(connection).get_table_names()}


def test_up_with_data_and_down_again(home: Home) -> None:
    url = home.url.replace("postgresql:", "postgresql+psycopg:") or f"sqlite:///{home.path}"
    engine = create_engine(url, poolclass=NullPool)
    with engine.begin() as connection:
        schema._run(connection, "upgrade", "0003")
        assert not tables(connection) & LEDGER
    home.sql("INSERT INTO settings (name, value) VALUES ('port', '4000')")

    async def use(store: SQLStore) -> None:
        assert await store.settings() == {"port": 4000}
        ledger = store.ledger()
        assert await ledger.balances() == {}
        await ledger.book([topup(1, 10**6), used(2), used(3)])
        assert (await ledger.verify()).entries == 3
        assert (await ledger.verify()).ok

    for _ in range(2):
        asyncio.run(home.doing(use))
        with pytest.raises(Exception, match="append-only"):
            home.sql("DELETE FROM entries")
        with engine.begin() as connection:
            assert tables(connection) >= LEDGER
            schema.downgrade(connection, "0003")
            assert not tables(connection) & LEDGER
        assert len(home.sql("SELECT * FROM settings")) == 1
    engine.dispose()
