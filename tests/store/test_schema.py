"""Fresh databases, old ones and those of the future."""

from __future__ import annotations

import asyncio
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, create_engine

from dragoman.store import schema
from dragoman.store.errors import SchemaTooNew
from dragoman.store.sqlite import SQLiteStore
from dragoman.store.tables import metadata


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[Connection]:
    engine = create_engine(f"sqlite:///{tmp_path / 'x.db'}")
    with engine.connect() as opened:
        yield opened
    engine.dispose()


def definitions(connection: Connection) -> dict[str, list[str]]:
    """The words of each table's and index's SQL; their order within it does not matter."""
    found = connection.exec_driver_sql(
        "SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite_%'"
    )
    # Alembic names the primary key of its own table; we do not.
    return {
        name: sorted(sql.replace(",", " ").split())
        for name, sql in found
        if name != "alembic_version"
    }


def test_migrations_and_tables_agree(connection: Connection, tmp_path: Path) -> None:
    schema.upgrade(connection)
    context = MigrationContext.configure(connection, opts={"compare_type": True})
    assert compare_metadata(context, metadata) == []
    engine = create_engine(f"sqlite:///{tmp_path / 'fresh.db'}")
    with engine.connect() as fresh:
        schema.create(fresh)
        created = definitions(fresh)
        assert schema.current_revision(fresh) == schema.NEWEST
    engine.dispose()
    assert definitions(connection) == created


def test_the_newest_revision_is_the_last_script() -> None:
    scripts = ScriptDirectory(str(Path(schema.__file__).parent / "migrations"))
    assert scripts.get_current_head() == schema.NEWEST


def test_a_fresh_database_needs_no_alembic(tmp_path: Path) -> None:
    program = (
        "import asyncio, sys\n"
        "from pathlib import Path\n"
        "from dragoman.store.sqlite import SQLiteStore\n"
        "async def main():\n"
        "    for _ in range(2):\n"
        "        store = await SQLiteStore.open(Path(sys.argv[1]), b'k' * 32)\n"
        "        await store.close()\n"
        "asyncio.run(main())\n"
        "print('alembic' in sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "x.db")],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "False"


def set_revision(path: Path, revision: str) -> None:
    database = sqlite3.connect(path)
    database.execute("UPDATE alembic_version SET version_num = ?", (revision,))
    database.commit()
    database.close()


def test_a_database_of_a_newer_version_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "x.db"

    async def main() -> None:
        store = await SQLiteStore.open(path, b"k" * 32)
        await store.close()
        set_revision(path, "9999")
        with pytest.raises(SchemaTooNew, match="newer version"):
            await SQLiteStore.open(path, b"k" * 32)

    asyncio.run(main())
