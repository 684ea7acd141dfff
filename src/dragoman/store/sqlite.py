"""The embedded home of the tables: one SQLite file, write-ahead logged.

With one thread and one connection a write begins ``IMMEDIATE`` and cannot be refused halfway, and
``PRAGMA data_version`` tells exactly what other processes (the command line) have done.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import StaticPool

from dragoman.store import schema
from dragoman.store.errors import DatabaseAway, StoreError
from dragoman.store.sql import SQLStore, check_secret_key, to_json
from dragoman.store.store import Result

FILE_NAME = "dragoman.db"
_BUSY_MILLISECONDS = 5000
_STILL_BUSY_MILLISECONDS = 100
"""How long a lock is waited for that was waited for in vain before: others stand in line behind."""
_LOCKED = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


class SQLiteStore(SQLStore):
    """``store.Store`` on a file. Made by ``open``."""

    def __init__(self, path: Path, secret_key: bytes) -> None:
        """Use ``open``."""
        engine = _engine(path)
        super().__init__(engine, engine.execution_options(begin="BEGIN IMMEDIATE"), secret_key)
        self.path = path
        self.place = str(path)
        self._is_held = False

    @classmethod
    async def open(cls, path: Path, secret_key: bytes) -> SQLiteStore:
        """Open or make the database at ``path`` and bring it to the newest schema.

        Raises SecretKeyError if it was written with another secret key, SchemaTooNew, StoreError.
        """
        try:
            os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
        except OSError as error:
            raise StoreError(f"{path} cannot be opened: {error.strerror}.") from None
        store = cls(path, secret_key)
        try:
            await store._write(store._prepare)
        except BaseException:
            await store.close()
            raise
        return store

    async def version(self) -> int:
        """As Store.version."""

        def work() -> int:
            with self._reading.connect() as connection:
                # Below SQLAlchemy, because a transaction would pin the answer.
                driver: Any = connection.connection.driver_connection
                (number,) = driver.execute("PRAGMA data_version").fetchone()
                return int(number)

        return await self._run(work)

    async def claim(self) -> None:
        """As Store.claim. A file belongs to its data directory, whose journal is locked: there is
        nothing to do here."""

    def _prepare(self, connection: Connection) -> None:
        revision = schema.current_revision(connection)
        if revision is None:
            schema.create(connection)
        check_secret_key(connection, self._secret_key)
        if revision is None or revision == schema.NEWEST:
            return
        if revision < schema.NEWEST:  # one of the future is left as it is
            self._keep(connection, revision)
        schema.upgrade(connection)

    def _take_time(self, connection: Connection) -> None:
        """Nothing hurries it; nobody else writes meanwhile."""

    def _size(self, connection: Connection) -> int:
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
        return int(pages * connection.exec_driver_sql("PRAGMA page_size").scalar_one())

    def _keep(self, connection: Connection, revision: str) -> str:
        copy = self.path.with_name(f"{self.path.name}.{revision}.bak")
        schema.keep_copy(self.path, copy)
        return str(copy)

    def _step(self, engine: Engine, work: Callable[[Connection], Result]) -> Result:
        try:
            result = super()._step(engine, work)
        except DBAPIError as error:
            if not self._is_held and _is_lock(error.orig):
                self._wait_for_locks(_STILL_BUSY_MILLISECONDS)
                self._is_held = True
            raise
        if self._is_held and engine is self._writing:
            self._wait_for_locks(_BUSY_MILLISECONDS)
            self._is_held = False
        return result

    def _wait_for_locks(self, milliseconds: int) -> None:
        with self._reading.connect() as connection:
            driver: Any = connection.connection.driver_connection
            driver.execute(f"PRAGMA busy_timeout = {milliseconds}")

    def _in_words(self, error: Exception) -> StoreError:
        reason = getattr(error, "orig", error)
        if _is_lock(reason):
            return DatabaseAway(f"The database is held by another program: {reason}.")
        return StoreError(f"The database cannot be used: {reason}.")

    @property
    def _driver_error(self) -> type[Exception]:
        return sqlite3.Error


def _is_lock(error: object) -> bool:
    return (getattr(error, "sqlite_errorcode", 0) & 0xFF) in _LOCKED


def _engine(path: Path) -> Engine:
    engine = create_engine(
        URL.create("sqlite+pysqlite", database=str(path)),
        poolclass=StaticPool,
        hide_parameters=True,
        json_serializer=to_json,
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
