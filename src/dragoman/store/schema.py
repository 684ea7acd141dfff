"""Bringing a database to the newest schema, at the cost of one query when it is there already.

Alembic takes a third of a second to import, so it is imported only for an old database: a fresh one
is made from ``tables`` directly and stamped (a test holds the two ways to the same result).
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from pathlib import Path

from sqlalchemy import Connection, inspect, text

from dragoman.governance.users import User
from dragoman.store.errors import SchemaTooNew, StoreError
from dragoman.store.rows import user_values
from dragoman.store.tables import metadata, users

NEWEST = "0006"
_MIGRATIONS = Path(__file__).parent / "migrations"


def current_revision(connection: Connection) -> str | None:
    """The schema version the database holds; None if it is fresh."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    found: str | None = connection.execute(
        text("SELECT version_num FROM alembic_version")
    ).scalar_one_or_none()
    return found


def create(connection: Connection) -> None:
    """Make every table of the newest schema and stamp it."""
    metadata.create_all(connection)
    for name in ("default", "anonymous"):  # they become 1 and 2, as governance.users has them
        connection.execute(users.insert().values(**user_values(User(id=0, name=name))))
    connection.execute(
        text("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL PRIMARY KEY)")
    )
    connection.execute(
        text("INSERT INTO alembic_version (version_num) VALUES (:newest)"), {"newest": NEWEST}
    )


def keep_copy(path: Path, copy: Path) -> None:
    """Copy the SQLite database ``path`` as it was last committed, while the caller holds the lock on
    writing. What was in ``copy`` is replaced by the whole or not at all. Raises StoreError."""
    aside = copy.with_name(f"{copy.name}.part")
    try:
        aside.unlink(missing_ok=True)
        os.close(os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        # A connection of its own: one that writes cannot be copied from, and would wait for itself.
        with (
            contextlib.closing(sqlite3.connect(path)) as source,
            contextlib.closing(sqlite3.connect(aside)) as target,
        ):
            source.backup(target)
        aside.replace(copy)
    except (OSError, sqlite3.Error) as error:
        raise StoreError(
            "The database is older than this version and must be brought up to date, but it cannot "
            f"be copied to {copy} before: {getattr(error, 'strerror', None) or error}."
        ) from None
    finally:
        aside.unlink(missing_ok=True)


def keep_tables(connection: Connection, revision: str) -> str:
    """Copy every table of a PostgreSQL database into a schema of its own, which replaces one of the
    same name; its name."""
    kept = f"dragoman_at_{revision}"
    connection.execute(text(f'DROP SCHEMA IF EXISTS "{kept}" CASCADE'))
    connection.execute(text(f'CREATE SCHEMA "{kept}"'))
    for table in inspect(connection).get_table_names():
        connection.execute(text(f'CREATE TABLE "{kept}"."{table}" AS TABLE "{table}"'))
    return kept


def upgrade(connection: Connection) -> None:
    """Run the migrations that are missing. Raises SchemaTooNew for a database from the future."""
    _run(connection, "upgrade", "head")


def revisions() -> list[str]:
    """Every version of the schema that this version of the gateway knows, oldest first."""
    return sorted(path.name[1:5] for path in (_MIGRATIONS / "versions").glob("v[0-9]*.py"))


def downgrade(connection: Connection, revision: str) -> None:
    """Undo the migrations after ``revision``, which must be one of ``revisions``."""
    _run(connection, "downgrade", revision)


def _run(connection: Connection, way: str, revision: str) -> None:
    from alembic import command  # noqa: PLC0415 - slow to import, and rarely needed
    from alembic.config import Config  # noqa: PLC0415
    from alembic.util import CommandError  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    try:
        getattr(command, way)(config, revision)
    except CommandError as error:
        if "locate revision" not in str(error):
            raise
        raise SchemaTooNew(
            "The database was written by a newer version of Dragoman. Update Dragoman, or give it "
            "another data directory (--data-dir)."
        ) from None
