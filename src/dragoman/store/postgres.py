"""The tables in PostgreSQL, for whoever has a database server already.

What can go wrong on the way to a server is given a time: making a connection, a statement, waiting
for a lock, and, because a server that is frozen answers nothing at all, every step as a whole. While
the server is away each call fails at once, and one a second tries anew; the next connection goes on
where the last one ended.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import socket
import time
from collections.abc import Callable
from typing import Any

import psycopg
from sqlalchemy import URL, Connection, Engine, create_engine, event, select, text
from sqlalchemy.exc import DBAPIError

from dragoman.store import schema, tables
from dragoman.store.errors import DatabaseAway, StoreError
from dragoman.store.sql import SQLStore, check_secret_key, to_json
from dragoman.store.store import Result

_CONNECT_SECONDS = 5
_PATIENCE_SECONDS = 12.0
"""How long a step may take. The server's own limits below are shorter: they tell what was slow."""
_UPGRADE_SECONDS = 3600.0
_WATCH_SECONDS = 1.0
_PAUSE_SECONDS = 1.0
"""How long a server that was away is not asked again."""
_CLAIM_SECONDS = 2.0
"""How long the session of a gateway that was killed may take to end."""
_SESSION = (
    "SET statement_timeout = '10s'; SET lock_timeout = '5s'; "
    "SET idle_in_transaction_session_timeout = '30s'; "
    # So that the server, too, finds out soon that this side is gone, and lets its locks go.
    "SET tcp_keepalives_idle = 10; SET tcp_keepalives_interval = 5; SET tcp_keepalives_count = 3"
)
_KEEPALIVES = {"keepalives_idle": 10, "keepalives_interval": 5, "keepalives_count": 3}
_SERVING = int.from_bytes(b"Dragoman")
_MIGRATING = int.from_bytes(b"DragoMig")
_CHANGES = "changes"


class PostgresStore(SQLStore):
    """``store.Store`` on a server. Its methods raise DatabaseAway while it cannot be reached."""

    is_remote = True

    def __init__(self, url: URL, secret_key: bytes, *, as_it_is: bool = False) -> None:
        """Nothing is asked of the server yet. The first call that reaches it brings the database to
        the newest schema, unless it is to be left ``as_it_is``."""
        self._name = f"dragoman-{socket.gethostname()[:24]}-{os.getpid()}-{secrets.token_hex(4)}"
        engine = _engine(url, self._name)
        super().__init__(engine, engine, secret_key)
        self.place = f"{url.database} on {url.host or 'this machine'}:{url.port or 5432}"
        self._is_prepared = as_it_is
        self._is_claimed = False
        self._own_changes = 0
        self._driver: Any = None
        self._away_until = 0.0
        self._why_away = ""
        self._must_end = float("inf")
        event.listen(engine, "connect", self._connected)

    async def prepare(self) -> None:
        """Bring the database to the newest schema now. Raises DatabaseAway, SchemaTooNew,
        SecretKeyError, StoreError."""
        await self._read(lambda connection: None)

    async def version(self) -> int:
        """As Store.version."""
        return await self._run(
            lambda: self._step(self._reading, _count_of_changes) - self._own_changes
        )

    async def claim(self) -> None:
        """As Store.claim: a lock that ends with the connection, and is taken anew with the next."""

        def work(connection: Connection) -> None:
            if not self._is_claimed:
                self._take_lock(connection.connection.driver_connection)

        try:
            await self._read(work)
        finally:
            self._is_claimed = True

    def _change(self, work: Callable[[Connection], Result]) -> Result:
        def counted(connection: Connection) -> Result:
            _raise_count(connection)
            return work(connection)

        result = self._step(self._writing, counted)
        self._own_changes += 1
        return result

    def _step(self, engine: Engine, work: Callable[[Connection], Result]) -> Result:
        now = time.monotonic()
        if now < self._away_until:
            raise DatabaseAway(self._why_away)
        self._must_end = now + _PATIENCE_SECONDS
        try:
            if not self._is_prepared:
                with engine.begin() as connection:
                    self._prepare(connection)
                self._is_prepared = True
            with engine.begin() as connection:
                return work(connection)
        except DBAPIError as error:
            if error.connection_invalidated or error.statement is None:
                self._rest(self._in_words(error))
            raise
        finally:
            self._must_end = float("inf")

    def _rest(self, why: BaseException) -> None:
        """Ask nothing of the server for a moment."""
        self._away_until = time.monotonic() + _PAUSE_SECONDS
        self._why_away = str(why)

    async def _run(self, work: Callable[[], Result]) -> Result:
        doing = asyncio.get_running_loop().run_in_executor(self._thread, work)
        try:
            while not doing.done():
                await asyncio.wait((doing,), timeout=_WATCH_SECONDS)
                if time.monotonic() > self._must_end:
                    self._cut()
            return doing.result()
        except asyncio.CancelledError:
            doing.cancel()
            raise
        except (DBAPIError, psycopg.Error) as error:
            raise self._in_words(error) from None

    def _cut(self) -> None:
        """End the connection under the hands of the thread that waits on it, which then fails. A
        frozen server's machine still acknowledges what it is sent, so nothing else ends the wait."""
        with contextlib.suppress(OSError, psycopg.Error):
            number = self._driver.pgconn.socket
            with socket.fromfd(number, socket.AF_INET, socket.SOCK_STREAM) as same:
                same.shutdown(socket.SHUT_RDWR)

    def _connected(self, driver: Any, _record: Any) -> None:
        self._driver = driver
        try:
            driver.execute(_SESSION)
            driver.commit()
            if self._is_claimed:
                self._take_lock(driver)
                driver.commit()
        except BaseException as error:
            driver.close()
            self._rest(error)
            raise

    def _take_lock(self, driver: Any) -> None:
        """Lock the database for this process, if need be against a session of its own whose end the
        server has not noticed. Raises StoreError."""
        until = time.monotonic() + _CLAIM_SECONDS
        while not driver.execute("SELECT pg_try_advisory_lock(%s)", [_SERVING]).fetchone()[0]:
            driver.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE application_name = %s AND pid <> pg_backend_pid()",
                [self._name],
            )
            if time.monotonic() > until:
                raise StoreError(
                    f"Another gateway serves the database {self.place} already{_holder(driver)}. "
                    "Stop it first, or give this one a database of its own (--database-url)."
                )
            time.sleep(0.1)

    def _prepare(self, connection: Connection) -> None:
        revision = schema.current_revision(connection)
        if revision != schema.NEWEST:
            # Of several processes one makes the tables; the others wait, and look again.
            self._take_time(connection)
            revision = schema.current_revision(connection)
        if revision is not None:
            check_secret_key(connection, self._secret_key)
        if revision != schema.NEWEST:
            if revision is not None and revision < schema.NEWEST:
                self._keep(connection, revision)
            schema.upgrade(connection)
            check_secret_key(connection, self._secret_key)
            _begin_count(connection)

    def _take_time(self, connection: Connection) -> None:
        self._must_end = time.monotonic() + _UPGRADE_SECONDS
        connection.execute(text("SET LOCAL statement_timeout = 0"))
        connection.execute(text("SET LOCAL lock_timeout = 0"))
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _MIGRATING})

    def _size(self, connection: Connection) -> int:
        statement = text("SELECT pg_database_size(current_database())")
        return int(connection.execute(statement).scalar_one())

    def _keep(self, connection: Connection, revision: str) -> str:
        return f"the schema {schema.keep_tables(connection, revision)}"

    def _in_words(self, error: Exception) -> StoreError:
        cause: Any = getattr(error, "orig", error)
        # Of the server's words only the first: the rest may show what a row holds.
        diagnosis = getattr(cause, "diag", None)
        said = (diagnosis and diagnosis.message_primary) or " ".join(str(cause).split())
        reason = said.rstrip(".")[:300]
        if isinstance(cause, psycopg.OperationalError | psycopg.InterfaceError):
            return DatabaseAway(f"The database {self.place} cannot be reached: {reason}.")
        return StoreError(f"The database {self.place} cannot be used: {reason}.")

    @property
    def _driver_error(self) -> type[Exception]:
        return psycopg.Error


def _engine(url: URL, name: str) -> Engine:
    return create_engine(
        url.set(drivername="postgresql+psycopg"),
        pool_size=1,
        max_overflow=0,
        hide_parameters=True,
        json_serializer=to_json,
        connect_args={
            "connect_timeout": _CONNECT_SECONDS,
            "tcp_user_timeout": int(_PATIENCE_SECONDS * 1000),
            "application_name": name,
            **_KEEPALIVES,
            **url.query,
        },
    )


def _holder(driver: Any) -> str:
    """Who has the lock, as far as this user may see."""
    row = driver.execute(
        "SELECT a.application_name FROM pg_locks l JOIN pg_stat_activity a USING (pid) "
        "WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1 "
        "AND (l.classid::bigint << 32 | l.objid::bigint) = %s AND a.application_name <> '' "
        "AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())",
        [_SERVING],
    ).fetchone()
    return "" if row is None else f" ({row[0]})"


def _begin_count(connection: Connection) -> None:
    """Put the count of changes where it is not yet."""
    if _found(connection) is None:
        connection.execute(tables.meta.insert().values(name=_CHANGES, value=b"0"))


def _count_of_changes(connection: Connection) -> int:
    return int(_found(connection) or 0)


def _raise_count(connection: Connection) -> None:
    """Count a change. The count's row is locked from here on: changes come one after another, as if
    the whole database were."""
    table = tables.meta
    found = connection.execute(
        select(table.c.value).where(table.c.name == _CHANGES).with_for_update()
    ).scalar_one()
    connection.execute(
        table.update().where(table.c.name == _CHANGES).values(value=b"%d" % (int(found) + 1))
    )


def _found(connection: Connection) -> bytes | None:
    table = tables.meta
    found: bytes | None = connection.execute(
        select(table.c.value).where(table.c.name == _CHANGES)
    ).scalar_one_or_none()
    return found
