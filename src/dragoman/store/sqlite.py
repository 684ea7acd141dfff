"""The embedded home of the tables: one SQLite file, write-ahead logged, one thread.

SQLite works in the calling thread, so every call runs on a thread of the store's own and the event
loop never waits for the disk. One thread and one connection also mean that a write begins
``IMMEDIATE`` and cannot be refused halfway, and that ``PRAGMA data_version`` tells exactly what other
processes (the command line) have done.
"""

from __future__ import annotations

import asyncio
import hmac
import json
import os
import sqlite3
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import URL, Connection, Engine, Table, create_engine, event, select
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import StaticPool

from dragoman.governance.keys import VirtualKey
from dragoman.store import rows, schema, tables
from dragoman.store.errors import NameTaken, NoSuchRow, SecretKeyError, StoreError
from dragoman.store.sealing import SealedBox, derive
from dragoman.store.store import Batch, StoredChannel

FILE_NAME = "dragoman.db"
_BUSY_MILLISECONDS = 5000
_KEY_CHECK = "secret_key_check"

Result = TypeVar("Result")


class SQLiteStore:
    """``store.Store`` on a file. Made by ``open``."""

    def __init__(self, engine: Engine, thread: ThreadPoolExecutor, box: SealedBox) -> None:
        self._reading = engine
        self._writing = engine.execution_options(begin="BEGIN IMMEDIATE")
        self._thread = thread
        self._box = box

    @classmethod
    async def open(cls, path: Path, secret_key: bytes) -> SQLiteStore:
        """Open or make the database at ``path`` and bring it to the newest schema.

        Raises SecretKeyError if it was written with another secret key, SchemaTooNew, StoreError.
        """
        try:
            os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
        except OSError as error:
            raise StoreError(f"{path} cannot be opened: {error.strerror}.") from None
        thread = ThreadPoolExecutor(1, thread_name_prefix="dragoman-store")
        store = cls(_engine(path), thread, SealedBox(secret_key))
        try:
            await store._write(lambda connection: _prepare(connection, secret_key))
        except BaseException:
            await store.close()
            raise
        return store

    async def keys(self) -> list[VirtualKey]:
        """As Store.keys."""

        def work(connection: Connection) -> list[VirtualKey]:
            found = connection.execute(select(tables.keys).order_by(tables.keys.c.id))
            return [rows.key_from_row(row) for row in found]

        return await self._read(work)

    async def add_key(self, key: VirtualKey) -> VirtualKey:
        """As Store.add_key."""
        return await self._write(lambda connection: _insert_key(connection, key))

    async def revoke_key(self, name_or_id: str, now: float) -> VirtualKey:
        """As Store.revoke_key."""
        table = tables.keys

        def work(connection: Connection) -> VirtualKey:
            row = connection.execute(
                table.update()
                .where(rows.named(table, name_or_id), tables.live_name)
                .values(revoked_at=now)
                .returning(*table.c)
            ).one_or_none()
            if row is None:
                raise NoSuchRow(f"No live key has the name or id {name_or_id!r}.")
            return rows.key_from_row(row)

        return await self._write(work)

    async def touch_keys(self, used: Mapping[str, float]) -> None:
        """As Store.touch_keys."""
        table = tables.keys

        def work(connection: Connection) -> None:
            for key_id, moment in used.items():
                connection.execute(
                    table.update().where(table.c.id == int(key_id)).values(last_used_at=moment)
                )

        await self._write(work)

    async def channels(self) -> list[StoredChannel]:
        """As Store.channels. Raises SecretKeyError if a sealed value cannot be read."""

        def work(connection: Connection) -> list[StoredChannel]:
            found = connection.execute(select(tables.channels).order_by(tables.channels.c.id))
            return [rows.channel_from_row(row, self._box) for row in found]

        return await self._read(work)

    async def add_channel(self, channel: StoredChannel, now: float) -> StoredChannel:
        """As Store.add_channel."""
        return await self._write(lambda connection: self._insert_channel(connection, channel, now))

    async def update_channel(self, channel: StoredChannel, now: float) -> None:
        """As Store.update_channel."""

        def work(connection: Connection) -> None:
            _refuse_taken(connection, tables.channels, channel.name, but=channel.id)
            changed = connection.execute(
                tables.channels.update()
                .where(tables.channels.c.id == channel.id)
                .values(updated_at=now, **rows.channel_values(channel, self._box))
            )
            if changed.rowcount == 0:
                raise NoSuchRow(f"No channel has the id {channel.id}.")

        await self._write(work)

    async def remove_channel(self, name_or_id: str) -> StoredChannel:
        """As Store.remove_channel."""
        table = tables.channels

        def work(connection: Connection) -> StoredChannel:
            row = connection.execute(
                table.delete().where(rows.named(table, name_or_id)).returning(*table.c)
            ).one_or_none()
            if row is None:
                raise NoSuchRow(f"No channel in the database has the name or id {name_or_id!r}.")
            return StoredChannel(id=row.id, name=row.name, document=row.document)

        return await self._write(work)

    async def settings(self) -> dict[str, Any]:
        """As Store.settings."""

        def work(connection: Connection) -> dict[str, Any]:
            return {row.name: row.value for row in connection.execute(select(tables.settings))}

        return await self._read(work)

    async def change_settings(self, changes: Mapping[str, Any]) -> None:
        """As Store.change_settings."""
        await self._write(lambda connection: _change_settings(connection, changes))

    async def take_over(self, batch: Batch, now: float) -> None:
        """As Store.take_over."""

        def work(connection: Connection) -> None:
            _change_settings(connection, batch.settings)
            for channel in batch.channels:
                self._replace_channel(connection, channel, now)
            for key in batch.keys:
                _replace_key(connection, key, now)

        await self._write(work)

    async def version(self) -> int:
        """As Store.version."""

        def work() -> int:
            with self._reading.connect() as connection:
                # Below SQLAlchemy, because a transaction would pin the answer.
                driver: Any = connection.connection.driver_connection
                (number,) = driver.execute("PRAGMA data_version").fetchone()
                return int(number)

        return await self._run(work)

    async def close(self) -> None:
        """As Store.close."""
        await asyncio.get_running_loop().run_in_executor(self._thread, self._reading.dispose)
        self._thread.shutdown(wait=False)

    def _insert_channel(
        self, connection: Connection, channel: StoredChannel, now: float
    ) -> StoredChannel:
        table = tables.channels
        _refuse_taken(connection, table, channel.name)
        # In two steps, because a sealed value is bound to the id, which only the insert gives.
        new_id = connection.execute(
            table.insert().values(
                name=channel.name, document=channel.document, created_at=now, updated_at=now
            )
        ).inserted_primary_key
        assert new_id is not None
        kept = StoredChannel(
            id=new_id[0], name=channel.name, document=channel.document, secrets=channel.secrets
        )
        connection.execute(
            table.update()
            .where(table.c.id == kept.id)
            .values(**rows.channel_values(kept, self._box))
        )
        return kept

    def _replace_channel(self, connection: Connection, channel: StoredChannel, now: float) -> None:
        table = tables.channels
        found = connection.execute(
            select(table.c.id).where(table.c.name == channel.name)
        ).scalar_one_or_none()
        if found is None:
            self._insert_channel(connection, channel, now)
            return
        kept = StoredChannel(
            id=found, name=channel.name, document=channel.document, secrets=channel.secrets
        )
        connection.execute(
            table.update()
            .where(table.c.id == found)
            .values(updated_at=now, **rows.channel_values(kept, self._box))
        )

    async def _read(self, work: Callable[[Connection], Result]) -> Result:
        def in_transaction() -> Result:
            with self._reading.begin() as connection:
                return work(connection)

        return await self._run(in_transaction)

    async def _write(self, work: Callable[[Connection], Result]) -> Result:
        def in_transaction() -> Result:
            with self._writing.begin() as connection:
                return work(connection)

        return await self._run(in_transaction)

    async def _run(self, work: Callable[[], Result]) -> Result:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, work)
        except (SQLAlchemyError, sqlite3.Error) as error:
            reason = getattr(error, "orig", error)
            raise StoreError(f"The database cannot be used: {reason}.") from None


def _engine(path: Path) -> Engine:
    engine = create_engine(
        URL.create("sqlite+pysqlite", database=str(path)),
        poolclass=StaticPool,
        hide_parameters=True,
        json_serializer=lambda value: json.dumps(value, ensure_ascii=False),
    )

    def connected(driver: Any, _record: Any) -> None:
        # The driver's own transactions begin late and only for some statements: switched off here,
        # they are begun by ``begun`` below.
        driver.isolation_level = None
        driver.execute(f"PRAGMA busy_timeout = {_BUSY_MILLISECONDS}")
        driver.execute("PRAGMA journal_mode = WAL")
        driver.execute("PRAGMA synchronous = FULL")
        driver.execute("PRAGMA foreign_keys = ON")

    def begun(connection: Connection) -> None:
        connection.exec_driver_sql(connection.get_execution_options().get("begin", "BEGIN"))

    event.listen(engine, "connect", connected)
    event.listen(engine, "begin", begun)
    return engine


def _prepare(connection: Connection, secret_key: bytes) -> None:
    revision = schema.current_revision(connection)
    if revision is None:
        schema.create(connection)
    _check_secret_key(connection, derive(secret_key, "check"))
    if revision not in (None, schema.NEWEST):
        schema.upgrade(connection)


def _check_secret_key(connection: Connection, expected: bytes) -> None:
    table = tables.meta
    found = connection.execute(
        select(table.c.value).where(table.c.name == _KEY_CHECK)
    ).scalar_one_or_none()
    if found is None:
        connection.execute(table.insert().values(name=_KEY_CHECK, value=expected))
    elif not hmac.compare_digest(found, expected):
        raise SecretKeyError(
            "The database was written with another secret key. Restore its secret.key, or set "
            "DRAGOMAN_SECRET_KEY as it was then; without it the stored credentials are lost."
        )


def _refuse_taken(connection: Connection, table: Table, name: str, but: int | None = None) -> None:
    taken = select(table.c.id).where(table.c.name == name, table.c.id.is_distinct_from(but))
    if table is tables.keys:
        taken = taken.where(tables.live_name)
    if connection.execute(taken).first():
        raise NameTaken(f"The name {name!r} is taken already.")


def _insert_key(connection: Connection, key: VirtualKey) -> VirtualKey:
    table = tables.keys
    _refuse_taken(connection, table, key.name)
    row = connection.execute(
        table.insert().values(**rows.key_values(key)).returning(*table.c)
    ).one()
    return rows.key_from_row(row)


def _replace_key(connection: Connection, key: VirtualKey, now: float) -> None:
    """Put ``key`` in the place of the live one of its name, or of the one with its digest."""
    table = tables.keys
    same = connection.execute(select(table).where(table.c.digest == key.digest)).one_or_none()
    if same is not None and same.revoked_at is not None:
        raise StoreError(f"The key given for {key.name!r} was revoked and stays so: give another.")
    connection.execute(
        table.update()
        .where(table.c.name == key.name, tables.live_name, table.c.digest != key.digest)
        .values(revoked_at=now)
    )
    if same is None:
        _insert_key(connection, key)
        return
    kept = {"digest": same.digest, "created_at": same.created_at, "last_used_at": same.last_used_at}
    connection.execute(
        table.update().where(table.c.id == same.id).values(**rows.key_values(key) | kept)
    )


def _change_settings(connection: Connection, changes: Mapping[str, Any]) -> None:
    table = tables.settings
    for name, value in changes.items():
        if value is None:
            connection.execute(table.delete().where(table.c.name == name))
        else:
            connection.execute(
                insert(table)
                .values(name=name, value=value)
                .on_conflict_do_update(index_elements=["name"], set_={"value": value})
            )
