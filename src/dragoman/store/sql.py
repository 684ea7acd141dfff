"""What the homes of the tables have in common: one thread, one connection, one step at a time.

A driver waits for its database in the calling thread, so every call runs on a thread of the store's
own and the event loop never waits. ``sqlite`` and ``postgres`` say what is left: how a connection is
made, what an error means, and how another process's changes are noticed.
"""

from __future__ import annotations

import asyncio
import hmac
import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import msgspec
from sqlalchemy import Connection, Engine, select
from sqlalchemy.exc import SQLAlchemyError

from dragoman.governance.keys import VirtualKey
from dragoman.governance.users import User
from dragoman.store import schema, tables
from dragoman.store.errors import SecretKeyError, StoreError
from dragoman.store.idempotency import IdempotentAnswers
from dragoman.store.ledger import LedgerStore
from dragoman.store.request_log import SQLRequestLog
from dragoman.store.rotation import Health, examine, pepper_of, reseal
from dragoman.store.sealing import KEY_CHECK, SealedBox, check_value
from dragoman.store.store import AuditEntry, Result, StoredChannel, Transaction
from dragoman.store.transaction import SQLTransaction


class Condition(msgspec.Struct, kw_only=True, frozen=True):
    """``revision`` is the version of the schema, None in an empty database; ``size`` is in bytes."""

    revision: str | None
    size: int


class SQLStore(ABC):
    """``store.Store`` on SQLAlchemy."""

    place: str
    """Where the database is, for people: without a password."""
    is_remote = False
    """Whether it can be away while this machine is well."""

    def __init__(self, reading: Engine, writing: Engine, secret_key: bytes) -> None:
        """Two views of one engine: a step that reads begins on ``reading``, one that writes on
        ``writing``."""
        self._reading = reading
        self._writing = writing
        self._secret_key = secret_key
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="dragoman-store")
        self._box = SealedBox(secret_key)

    async def write(self, work: Callable[[Transaction], Result]) -> Result:
        """As Store.write."""

        return await self._run(
            lambda: self._change(lambda connection: work(SQLTransaction(connection, self._box)))
        )

    async def keys(self) -> list[VirtualKey]:
        """As Store.keys."""
        return await self._look(SQLTransaction.keys)

    async def users(self) -> list[User]:
        """As Store.users."""
        return await self._look(SQLTransaction.users)

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

    @abstractmethod
    async def version(self) -> int:
        """As Store.version."""

    @abstractmethod
    async def claim(self) -> None:
        """As Store.claim."""

    def request_log(self) -> SQLRequestLog:
        """The request log in the same database, over the same connection: what is logged is no news
        to ``version``, and is written between the configuration's reads and writes."""
        return SQLRequestLog(self._read, self._write, self._box)

    def idempotency(self) -> IdempotentAnswers:
        """Where the answers of requests with an Idempotency-Key are kept, in the same database."""
        return IdempotentAnswers(self._write, self._box)

    async def pepper(self) -> bytes:
        """What the digests of virtual keys are made with. Raises SecretKeyError."""
        return await self._read(lambda connection: pepper_of(connection, self._secret_key))

    async def examine(self) -> Health:
        """Whether every sealed value opens."""

        def work(connection: Connection) -> Health:
            self._take_time(connection)
            return examine(connection, self._secret_key)

        return await self._read(work)

    async def change_secret_key(self, new: bytes, entry: AuditEntry) -> int:
        """Seal everything with another secret key and note ``entry``, in one transaction; how many
        values that were. This store is of no use afterwards: close it. Raises SecretKeyError for a
        value that does not open."""

        old = self._secret_key

        def work(connection: Connection) -> int:
            self._take_time(connection)
            number = reseal(connection, old, new)
            SQLTransaction(connection, self._box).note(entry)
            return number

        return await self._run(lambda: self._change(work))

    def ledger(self) -> LedgerStore:
        """The ledger in the same database, over the same connection."""
        return LedgerStore(self._read, self._write)

    async def condition(self) -> Condition:
        """What the database is like, as it is: nothing is brought up to date."""

        def work(connection: Connection) -> Condition:
            revision = schema.current_revision(connection)
            return Condition(revision=revision, size=self._size(connection))

        return await self._read(work)

    async def downgrade(self, revision: str) -> str:
        """Take the schema back to an older one, after a copy of everything; where that is. Raises
        StoreError. This store is of no use afterwards: close it."""

        def work(connection: Connection) -> str:
            self._take_time(connection)
            found = schema.current_revision(connection) or ""
            check_secret_key(connection, self._secret_key)
            older = [one for one in schema.revisions() if one < found]
            if found not in schema.revisions() or revision not in older:
                raise StoreError(
                    f"The database is at revision {found or 'none'} and cannot go back to "
                    f"{revision}. It can go back to: {', '.join(older) or 'none'}."
                )
            kept = self._keep(connection, found)
            schema.downgrade(connection, revision)
            return kept

        return await self._write(work)

    async def close(self) -> None:
        """As Store.close."""
        try:
            await self._run(self._reading.dispose)
        finally:
            self._thread.shutdown(wait=False)

    @abstractmethod
    def _take_time(self, connection: Connection) -> None:
        """Let this transaction go through the whole database, however long that takes, and no other
        such one beside it."""

    @abstractmethod
    def _size(self, connection: Connection) -> int:
        """The database's bytes."""

    @abstractmethod
    def _keep(self, connection: Connection, revision: str) -> str:
        """Copy everything as it is at ``revision``; where the copy is. Raises StoreError."""

    @abstractmethod
    def _in_words(self, error: Exception) -> StoreError:
        """What the driver's error means. The message holds no secret."""

    async def _look(self, work: Callable[[SQLTransaction], Result]) -> Result:
        return await self._read(lambda connection: work(SQLTransaction(connection, self._box)))

    async def _read(self, work: Callable[[Connection], Result]) -> Result:
        return await self._run(lambda: self._step(self._reading, work))

    async def _write(self, work: Callable[[Connection], Result]) -> Result:
        return await self._run(lambda: self._step(self._writing, work))

    def _change(self, work: Callable[[Connection], Result]) -> Result:
        """One transaction that changes the configuration, on the store's thread."""
        return self._step(self._writing, work)

    def _step(self, engine: Engine, work: Callable[[Connection], Result]) -> Result:
        """One transaction, on the store's thread."""
        with engine.begin() as connection:
            return work(connection)

    async def _run(self, work: Callable[[], Result]) -> Result:
        """Do ``work`` on the store's thread."""
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, work)
        except (SQLAlchemyError, self._driver_error) as error:
            raise self._in_words(error) from None

    @property
    @abstractmethod
    def _driver_error(self) -> type[Exception]:
        """The driver's own exceptions, where it is used below SQLAlchemy."""


def to_json(value: Any) -> str:
    """How documents are written into JSON columns."""
    return json.dumps(value, ensure_ascii=False)


def check_secret_key(connection: Connection, secret_key: bytes) -> None:
    """Note in a new database which secret key it is written with. Raises SecretKeyError if it was
    another."""
    expected = check_value(secret_key)
    table = tables.meta
    found = connection.execute(
        select(table.c.value).where(table.c.name == KEY_CHECK)
    ).scalar_one_or_none()
    if found is None:
        connection.execute(table.insert().values(name=KEY_CHECK, value=expected))
    elif not hmac.compare_digest(found, expected):
        raise SecretKeyError(
            "The database was written with another secret key. Restore its secret.key, or set "
            "DRAGOMAN_SECRET_KEY as it was then; without it the stored credentials are lost."
        )
