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
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import StaticPool

from dragoman.governance.keys import VirtualKey
from dragoman.store import schema, tables
from dragoman.store.errors import SecretKeyError, StoreError
from dragoman.store.request_log import SQLiteRequestLog
from dragoman.store.sealing import SealedBox, derive
from dragoman.store.store import AuditEntry, Result, StoredChannel, Transaction
from dragoman.store.transaction import SQLTransaction

FILE_NAME = "dragoman.db"
_BUSY_MILLISECONDS = 5000
_KEY_CHECK = "secret_key_check"


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
            await store._write(lambda connection: _prepare(connection, secret_key, path))
        except BaseException:
            await store.close()
            raise
        return store

    async def write(self, work: Callable[[Transaction], Result]) -> Result:
        """As Store.write."""
        return await self._write(lambda connection: work(SQLTransaction(connection, self._box)))

    async def keys(self) -> list[VirtualKey]:
        """As Store.keys."""
        return await self._look(SQLTransaction.keys)

    async def touch_keys(self, used: Mapping[str, float]) -> None:
        """As Store.touch_keys."""
        await self._write(lambda connection: SQLTransaction(connection, self._box).touch_keys(used))

    async def channels(self) -> list[StoredChannel]:
        """As Store.channels. Raises SecretKeyError if a sealed value cannot be read."""
        return await self._look(SQLTransaction.channels)

    async def settings(self) -> dict[str, Any]:
        """As Store.settings."""
        return await self._look(SQLTransaction.settings)

    async def audit(self, limit: int, before: int | None = None) -> list[AuditEntry]:
        """As Store.audit."""
        return await self._look(lambda step: step.audit(limit, before))

    async def version(self) -> int:
        """As Store.version."""

        def work() -> int:
            with self._reading.connect() as connection:
                # Below SQLAlchemy, because a transaction would pin the answer.
                driver: Any = connection.connection.driver_connection
                (number,) = driver.execute("PRAGMA data_version").fetchone()
                return int(number)

        return await self._run(work)

    def request_log(self) -> SQLiteRequestLog:
        """The request log in the same file, over the same connection: what is logged is no news to
        ``version``, and is written between the configuration's reads and writes."""
        return SQLiteRequestLog(self._read, self._write, self._box)

    async def close(self) -> None:
        """As Store.close."""
        await asyncio.get_running_loop().run_in_executor(self._thread, self._reading.dispose)
        self._thread.shutdown(wait=False)

    async def _look(self, work: Callable[[SQLTransaction], Result]) -> Result:
        return await self._read(lambda connection: work(SQLTransaction(connection, self._box)))

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


def _prepare(connection: Connection, secret_key: bytes, path: Path) -> None:
    revision = schema.current_revision(connection)
    if revision is None:
        schema.create(connection)
    _check_secret_key(connection, derive(secret_key, "check"))
    if revision is None or revision == schema.NEWEST:
        return
    if revision < schema.NEWEST:  # one of the future is left as it is
        schema.keep_copy(path, path.with_name(f"{path.name}.{revision}.bak"))
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
