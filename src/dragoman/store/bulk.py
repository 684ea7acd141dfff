"""Many rows into SQLite in few statements.

Its driver lets go of the interpreter whenever a statement runs. A thread that inserts row by row so
changes places with the event loop at every row, which costs both of them more than the row does.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from itertools import chain
from typing import Any

from sqlalchemy import Connection

_SIZES = (256, 32, 4, 1)
"""Rows of one statement. Few sizes, so that the driver has each statement prepared; with the widest
table the largest is far from the 32,766 parameters that SQLite takes."""


def insert_rows(
    connection: Connection, into: str, rows: Sequence[Sequence[Any]], *, then: str = ""
) -> None:
    """Add ``rows``, all of one width. ``into`` is the statement up to VALUES, ``then`` what follows the
    rows, such as ON CONFLICT."""
    at, left = 0, len(rows)
    for size in _SIZES:
        statement = ""
        while left >= size:
            if not statement:
                statement = _statement(into, len(rows[0]), size, then)
            chunk = rows[at : at + size]
            connection.exec_driver_sql(statement, tuple(chain.from_iterable(chunk)))
            at, left = at + size, left - size


@functools.lru_cache(maxsize=64)
def _statement(into: str, width: int, size: int, then: str) -> str:
    row = f"({', '.join('?' * width)})"
    return f"{into} VALUES {', '.join([row] * size)} {then}"
