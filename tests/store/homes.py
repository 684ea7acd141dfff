"""The two homes of the tables, each in a fresh place."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from sqlalchemy import make_url

from dragoman.store.postgres import PostgresStore
from dragoman.store.sql import SQLStore
from dragoman.store.sqlite import SQLiteStore
from tests.support import postgres

SECRET_KEY = b"s" * 32


class Home:
    """Where a database is, across restarts: ``place`` is a path or a URL."""

    def __init__(self, place: Path | str) -> None:
        self.place = place

    @property
    def is_postgres(self) -> bool:
        return isinstance(self.place, str)

    async def open(self, secret_key: bytes = SECRET_KEY) -> SQLStore:
        """A start on it."""
        if isinstance(self.place, Path):
            return await SQLiteStore.open(self.place, secret_key)
        store = PostgresStore(make_url(self.place), secret_key)
        try:
            await store.prepare()
        except BaseException:
            await store.close()
            raise
        return store

    def run(self, work: Callable[[SQLStore], Awaitable[None]]) -> None:
        """One start, for ``work``."""

        async def main() -> None:
            store = await self.open()
            try:
                await work(store)
            finally:
                await store.close()

        asyncio.run(main())

    def sql(self, statement: str, *values: Any) -> list[Any]:
        """Another program's doing; ``?`` stands for a value."""
        if isinstance(self.place, str):
            return postgres.sql(self.place, statement, *values)
        with contextlib.closing(sqlite3.connect(self.place)) as database:
            found = database.execute(statement, values).fetchall()
            database.commit()
            return found
