"""``INSERT … ON CONFLICT``, which SQLite and PostgreSQL share, and SQLAlchemy has once for each."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Table
from sqlalchemy.dialects import sqlite


def insert(connection: Connection, table: Table) -> Any:
    """An insert into ``table`` with ``on_conflict_do_nothing`` and ``on_conflict_do_update``, as the
    database of ``connection`` has them. Both take ``index_elements``."""
    if connection.dialect.name == "postgresql":
        from sqlalchemy.dialects import postgresql  # noqa: PLC0415 - only where it is used

        return postgresql.insert(table)
    return sqlite.insert(table)
