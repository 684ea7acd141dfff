"""What only the home on a server does: migrations, copies, outages, and one gateway at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from typing import TypeVar

import psycopg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from psycopg.conninfo import conninfo_to_dict
from sqlalchemy import create_engine, make_url, text

from dragoman.store import postgres, schema
from dragoman.store.errors import DatabaseAway, SchemaTooNew, SecretKeyError, StoreError
from dragoman.store.postgres import PostgresStore
from dragoman.store.tables import metadata
from tests.store.homes import SECRET_KEY, Home
from tests.store.test_store import CHANNEL, KEY
from tests.support.forwarder import Forwarder
from tests.support.postgres import SERVER, fresh_database, sql

Result = TypeVar("Result")
PASSWORD = "canary-4711-database-password"


@pytest.fixture
def url() -> Iterator[str]:
    with fresh_database() as fresh:
        yield fresh


@pytest.fixture
def way() -> Iterator[Forwarder]:
    where = conninfo_to_dict(SERVER)
    with Forwarder(str(where["host"]), int(where.get("port", 5432))) as forwarder:
        yield forwarder


def through(way: Forwarder, url: str) -> str:
    """The same database by way of the forwarder, with a password (that the server does not ask for)."""
    parsed = make_url(url).set(host="127.0.0.1", port=way.port, password=PASSWORD)
    return parsed.render_as_string(hide_password=False)


def migrate(url: str, revision: str) -> None:
    """Make the tables of an old version."""
    engine = create_engine(make_url(url).set(drivername="postgresql+psycopg"))
    with engine.begin() as connection:
        schema._run(connection, "upgrade", revision)
    engine.dispose()


def test_migrations_and_tables_agree(url: str) -> None:
    engine = create_engine(make_url(url).set(drivername="postgresql+psycopg"))
    with engine.connect() as connection:
        schema.upgrade(connection)
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []
        where = connection.execute(
            text("SELECT indexdef FROM pg_indexes WHERE indexname = 'uq_keys_live_name'")
        ).scalar_one()
    engine.dispose()
    assert "WHERE (revoked_at IS NULL)" in where


def test_an_old_database_is_upgraded_and_a_copy_kept_and_it_can_go_back(url: str) -> None:
    migrate(url, "0001")
    sql(
        url,
        "INSERT INTO keys (name, digest, hint, allowed_channels, allowed_models, created_at) "
        "VALUES ('laptop', ?, 'sk-gw-abcd', '[]', '[\"o3\"]', 1)",
        b"d" * 32,
    )
    home = Home(url)

    async def work() -> None:
        stores = await asyncio.gather(*(home.open() for _ in range(4)))  # all find the old one
        for store in stores:
            (key,) = await store.keys()
            assert (key.name, key.allowed_models, key.user_id) == ("laptop", ("o3",), 1)
            await store.close()

    asyncio.run(work())
    assert sql(url, "SELECT name FROM dragoman_at_0001.keys") == [("laptop",)]

    async def back() -> None:
        store = PostgresStore(make_url(url), SECRET_KEY, as_it_is=True)
        assert (await store.condition()).revision == schema.NEWEST
        with pytest.raises(StoreError, match="cannot go back to 0099"):
            await store.downgrade("0099")
        assert await store.downgrade("0001") == f"the schema dragoman_at_{schema.NEWEST}"
        assert (await store.condition()).revision == "0001"
        await store.close()

    asyncio.run(back())
    assert sql(url, "SELECT name FROM keys") == [("laptop",)]
    left = sql(url, "SELECT table_name FROM information_schema.tables WHERE table_schema='public'")
    assert {name for (name,) in left} == {"keys", "channels", "settings", "meta", "alembic_version"}
    assert sql(url, f"SELECT name FROM dragoman_at_{schema.NEWEST}.keys") == [("laptop",)]
    asyncio.run(work())


def test_a_wrong_secret_key_upgrades_nothing(url: str) -> None:
    migrate(url, "0001")
    sql(url, "INSERT INTO meta (name, value) VALUES ('secret_key_check', ?)", b"x" * 32)
    with pytest.raises(SecretKeyError):
        asyncio.run(Home(url).open())
    assert sql(url, "SELECT version_num FROM alembic_version") == [("0001",)]


def test_a_database_of_a_newer_version_is_left_alone(url: str) -> None:
    asyncio.run(_opened_and_closed(Home(url)))
    sql(url, "UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(SchemaTooNew, match="newer version"):
        asyncio.run(Home(url).open())
    copies = sql(url, "SELECT nspname FROM pg_namespace WHERE nspname LIKE 'dragoman%'")
    assert copies == []


async def _opened_and_closed(home: Home) -> None:
    await (await home.open()).close()


def test_a_server_that_is_refused_or_cut_off_is_said_to_be_away_and_found_again(
    url: str, way: Forwarder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres, "_PAUSE_SECONDS", 0.2)

    async def work() -> None:
        store = PostgresStore(make_url(through(way, url)), SECRET_KEY)
        await store.write(lambda step: step.add_channel(CHANNEL, 1.0))
        before = await store.version()
        way.stop()
        for _ in range(3):  # the connection that was; a new one; none is tried so soon again
            with pytest.raises(DatabaseAway) as caught:
                await store.write(lambda step: step.add_key(KEY))
            assert PASSWORD not in str(caught.value)
        way.start()
        assert (await _again(store.keys)) == []
        assert len(await store.channels()) == 1
        assert await store.version() == before, "nothing that was refused was done"
        assert PASSWORD not in repr(vars(store))
        await store.close()

    asyncio.run(work())


async def _again(ask: Callable[[], Awaitable[Result]]) -> Result:
    async with asyncio.timeout(20):
        while True:
            try:
                return await ask()
            except DatabaseAway:
                await asyncio.sleep(0.05)


def test_a_frozen_server_holds_a_call_up_for_a_while_only(
    url: str, way: Forwarder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres, "_PATIENCE_SECONDS", 0.5)
    monkeypatch.setattr(postgres, "_WATCH_SECONDS", 0.1)

    async def work() -> None:
        store = PostgresStore(make_url(through(way, url)), SECRET_KEY)
        await _again(store.prepare)
        way.freeze()
        beats = 0

        async def beat() -> None:
            nonlocal beats
            while True:
                await asyncio.sleep(0.01)
                beats += 1

        beating = asyncio.ensure_future(beat())
        several = [store.keys(), store.write(lambda step: step.add_key(KEY)), store.version()]
        for error in await asyncio.gather(*several, return_exceptions=True):
            assert isinstance(error, DatabaseAway)
        assert beats > 10, "the event loop goes on"
        beating.cancel()
        way.thaw()
        assert await _again(store.keys) == []
        await store.close()

    asyncio.run(work())


def test_a_session_that_the_server_ends_is_replaced_with_its_claim(url: str) -> None:
    async def work() -> None:
        first = PostgresStore(make_url(url), SECRET_KEY)
        second = PostgresStore(make_url(url), SECRET_KEY)
        await first.claim()
        with pytest.raises(StoreError, match="Another gateway serves the database"):
            await second.claim()
        await second.close()
        sql(
            url,
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> "
            "pg_backend_pid() AND datname = current_database()",
        )
        assert await _again(first.keys) == []
        third = PostgresStore(make_url(url), SECRET_KEY)
        with pytest.raises(StoreError, match="Another gateway") as caught:
            await third.claim()
        assert "dragoman-" in str(caught.value), "it says which"
        await third.close()
        await first.close()
        fourth = PostgresStore(make_url(url), SECRET_KEY)
        await fourth.claim()
        await fourth.close()

    asyncio.run(work())


def test_a_change_waits_for_another_and_not_for_ever(url: str) -> None:
    async def work() -> None:
        store = PostgresStore(make_url(url), SECRET_KEY)
        await store.prepare()
        with psycopg.connect(url) as other:
            other.execute("SELECT * FROM meta FOR UPDATE")
            with pytest.raises(DatabaseAway, match="lock timeout"):
                await store.write(lambda step: step.add_key(KEY))
            assert await store.keys() == [], "reading waits for nobody"
        await store.write(lambda step: step.add_key(KEY))
        await store.close()

    asyncio.run(work())


def test_what_a_row_holds_is_in_no_message(url: str) -> None:
    async def work() -> None:
        store = PostgresStore(make_url(url), SECRET_KEY)
        await store.prepare()
        sql(url, "ALTER TABLE channels ADD CONSTRAINT none CHECK (name = 'other')")
        with pytest.raises(StoreError) as caught:
            await store.write(lambda step: step.add_channel(CHANNEL, 1.0))
        assert "check constraint" in str(caught.value)
        assert "é" not in str(caught.value), "the row"
        await store.close()

    asyncio.run(work())
