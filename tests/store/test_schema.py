"""Fresh databases, old ones and those of the future."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import stat
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
from dragoman.store.errors import SchemaTooNew, SecretKeyError, StoreError
from dragoman.store.sqlite import SQLiteStore
from dragoman.store.tables import metadata


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[Connection]:
    engine = create_engine(f"sqlite:///{tmp_path / 'x.db'}")
    with engine.connect() as opened:
        yield opened
    engine.dispose()


def definitions(connection: Connection) -> dict[str, list[str]]:
    """The words of each table's, index's and trigger's SQL; their order within it does not matter."""
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
    assert {"audit_no_update", "audit_no_delete"} < created.keys()


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
    assert [file.name for file in tmp_path.iterdir()] == ["x.db"], "no copy of it either"


def old_database(path: Path, revision: str) -> None:
    """A database as an earlier version left it; its secret key is ``OLD_KEY``."""
    script = (Path(__file__).parent / "old" / f"{revision}.sql").read_text(encoding="utf-8")
    database = sqlite3.connect(path)
    database.execute("PRAGMA journal_mode = WAL")
    database.executescript(script)
    database.close()


def dump(path: Path) -> list[str]:
    database = sqlite3.connect(path)
    lines = list(database.iterdump())
    database.close()
    return lines


OLD_KEY = b"s" * 32


def test_a_database_of_version_1_is_upgraded_and_its_copy_kept(tmp_path: Path) -> None:
    path = tmp_path / "dragoman.db"
    old_database(path, "0001")
    before = dump(path)

    async def main() -> None:
        for _ in range(2):  # the second time there is nothing left to do
            store = await SQLiteStore.open(path, OLD_KEY)
            laptop, old = await store.keys()
            assert (laptop.name, laptop.strict, laptop.admin) == ("laptop", True, False)
            assert (laptop.allowed_models, laptop.last_used_at) == (("gpt-4o", "o3"), 77.0)
            assert (old.name, old.revoked_at) == ("old", 50.0)
            (channel,) = await store.channels()
            assert channel.secrets == {"api_key": "sk-canary-4711-never-to-be-seen"}
            assert channel.document == {"type": "openai", "models": ["é"]}
            assert await store.settings() == {"port": 4000, "cors_origins": ["*"]}
            assert await store.audit(10) == []
            await store.close()

    asyncio.run(main())
    copy = tmp_path / "dragoman.db.0001.bak"
    assert dump(copy) == before
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    assert sorted(file.name for file in tmp_path.iterdir()) == [path.name, copy.name]
    with contextlib.closing(sqlite3.connect(path)) as database:
        (found,) = database.execute("SELECT version_num FROM alembic_version")
    assert found == (schema.NEWEST,)


def test_a_database_that_cannot_be_copied_is_not_upgraded(tmp_path: Path) -> None:
    path = tmp_path / "dragoman.db"
    old_database(path, "0001")
    before = dump(path)
    (tmp_path / "dragoman.db.0001.bak").mkdir()

    async def main() -> None:
        with pytest.raises(StoreError, match=r"dragoman\.db\.0001\.bak"):
            await SQLiteStore.open(path, OLD_KEY)

    asyncio.run(main())
    assert dump(path) == before


def test_a_wrong_secret_key_upgrades_nothing(tmp_path: Path) -> None:
    path = tmp_path / "dragoman.db"
    old_database(path, "0001")
    before = dump(path)
    with pytest.raises(SecretKeyError):
        asyncio.run(SQLiteStore.open(path, b"o" * 32))
    assert dump(path) == before
    assert not (tmp_path / "dragoman.db.0001.bak").exists()
