"""A runtime in a home of its own, with the configuration in one of its two places."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

from dragoman.canonical.secret import Secret
from dragoman.runtime import Options, Runtime
from dragoman.runtime.administration import Administrator
from dragoman.server.admin.contract import Actor
from tests.config.support import sample
from tests.support.postgres import sql

ALICE = Actor(name="alice", via="key", address="192.0.2.7")
FILE, DATABASE = "file", "database"


class Home:
    """Where the configuration is kept, across restarts."""

    def __init__(self, folder: Path, kind: str, document: dict[str, Any] | None = None) -> None:
        self.kind = kind
        self.data_dir = folder / "data"
        self.config = folder / "config.json"
        self.environ: dict[str, str] = {}
        self.flags: dict[str, Any] = {}
        self.database_url: str | None = None
        if kind == FILE:
            self.write(sample() if document is None else document)

    def write(self, document: Any) -> None:
        """An edit by hand."""
        self.config.write_text(json.dumps(document, indent=4), encoding="utf-8")

    def read(self) -> Any:
        return json.loads(self.config.read_text(encoding="utf-8"))

    def options(self) -> Options:
        return Options(
            config=self.config if self.kind == FILE else None,
            data_dir=self.data_dir,
            database_url=Secret(self.database_url) if self.database_url else None,
            directory=self.data_dir.parent,
            environ=self.environ,
            **self.flags,
        )

    def fill_the_audit(self) -> None:
        """Let the database refuse every further entry."""
        if self.database_url is not None:
            refusal = 'ADD CONSTRAINT "no room for it" CHECK (false) NOT VALID'
            sql(self.database_url, f"ALTER TABLE audit {refusal}")
            return
        with contextlib.closing(sqlite3.connect(self.data_dir / "dragoman.db")) as database:
            database.execute(
                "CREATE TRIGGER full BEFORE INSERT ON audit "
                "BEGIN SELECT RAISE(ABORT, 'no room for it'); END"
            )

    @contextlib.asynccontextmanager
    async def opened(self) -> AsyncIterator[tuple[Runtime, Administrator]]:
        """A start, and the administration of it."""
        runtime = await Runtime.open(self.options())
        try:
            yield runtime, Administrator(runtime)
        finally:
            await runtime.close()

    def run(self, work: Callable[[Runtime, Administrator], Awaitable[None]]) -> None:
        """One start, for ``work``."""

        async def main() -> None:
            async with self.opened() as (runtime, admin):
                await work(runtime, admin)

        asyncio.run(main())


def names(runtime: Runtime) -> list[str]:
    return [channel.name for channel in runtime.state.channels]


async def entries(admin: Administrator) -> list[dict[str, Any]]:
    """The audit, oldest first."""
    return (await admin.audit(1000))[::-1]
