"""Many rows in few statements, whatever their number."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import Connection, create_engine

from dragoman.store.bulk import insert_rows


@pytest.fixture
def connection() -> Iterator[Connection]:
    engine = create_engine("sqlite://")
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE t (a INTEGER PRIMARY KEY, b TEXT)")
        yield connection
    engine.dispose()


@pytest.mark.parametrize("count", [0, 1, 3, 4, 37, 256, 700])
def test_every_row_arrives_once_and_in_order(connection: Connection, count: int) -> None:
    rows = [(number, f"row {number}") for number in range(count)]
    insert_rows(connection, "INSERT INTO t (a, b)", rows)
    assert connection.exec_driver_sql("SELECT a, b FROM t ORDER BY a").all() == rows


def test_what_follows_the_rows_is_said_of_each(connection: Connection) -> None:
    rows = [(number, "old") for number in range(40)]
    insert_rows(connection, "INSERT INTO t (a, b)", rows[:20])
    more = [(number, "new") for number, _ in rows]
    then = "ON CONFLICT (a) DO UPDATE SET b = t.b || ' and ' || excluded.b"
    insert_rows(connection, "INSERT INTO t (a, b)", more, then=then)
    found = connection.exec_driver_sql("SELECT b, COUNT(*) FROM t GROUP BY b ORDER BY b").all()
    assert found == [("new", 20), ("old and new", 20)]
