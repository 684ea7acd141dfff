"""Databases of one's own on the PostgreSQL server of this machine."""

from __future__ import annotations

import contextlib
import functools
import os
import secrets
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

SERVER = os.environ.get("DRAGOMAN_TEST_POSTGRES", "postgresql://postgres@localhost:5432")
"""Where a server listens whose user may make databases; without a database's name."""


@functools.cache
def why_no_postgres() -> str:
    """Why nothing can be tested on PostgreSQL here; nothing if it can."""
    try:
        psycopg.connect(f"{SERVER}/postgres", connect_timeout=3).close()
    except psycopg.OperationalError as error:
        return f"no PostgreSQL at {SERVER.rpartition('@')[2]} (DRAGOMAN_TEST_POSTGRES): {error}"
    return ""


def need_postgres() -> None:
    """Skip the test where there is no server."""
    if reason := why_no_postgres():
        pytest.skip(reason)


@contextlib.contextmanager
def fresh_database() -> Iterator[str]:
    """The URL of an empty database, which is dropped at the end, whoever still uses it."""
    need_postgres()
    name = f"dragoman_test_{secrets.token_hex(6)}"
    _on_server(f"CREATE DATABASE {name}")
    try:
        yield f"{SERVER}/{name}"
    finally:
        _on_server(f"DROP DATABASE {name} WITH (FORCE)")


def sql(url: str, statement: str, *values: Any) -> list[Any]:
    """Another program's doing; ``?`` stands for a value."""
    with psycopg.connect(url) as database:
        cursor = database.execute(statement.replace("%", "%%").replace("?", "%s"), values or None)
        return cursor.fetchall() if cursor.description is not None else []


def _on_server(statement: str) -> None:
    with psycopg.connect(f"{SERVER}/postgres", autocommit=True) as server:
        server.execute(statement)
