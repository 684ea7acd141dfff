"""The ledger's tables, on the metadata of ``tables``. Money is nano-USD in BIGINT columns.

``entries`` and ``legs`` are the books: rows are added and never touched again, and the database itself
sees to it. ``number`` counts the entries from 1 without a gap, in the order of booking. Everything else
is sums of them, kept in the same transaction, so that nobody has to read a million rows::

    accounts       what every account holds
    account_hours  what came to an account, or left it, in an hour
    usage_hours    requests, tokens and cost of an hour, by who used what from whom
    usage_days     the same of a day (UTC)
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    DDL,
    BigInteger,
    Boolean,
    Column,
    Float,
    Index,
    Integer,
    String,
    Table,
    Text,
    event,
)

from dragoman.governance.price import BUCKETS
from dragoman.store.append_only import triggers
from dragoman.store.tables import metadata

HOUR = 3600
DAY = 86_400
DIMENSIONS = ("user_id", "key_id", "model", "channel", "provider", "trial", "kind")
"""What the sums of usage are kept by, beside time. ``kind`` is one of USED."""
USED = ("usage", "overrun", "attempt")
"""The kinds of entries that upstreams cause."""
MEASURES = ("requests", "errors", "input", "cached", "output", "cost", "unpriced", "estimated")
"""What is summed: how many requests, how many of them failed, tokens read, those of them that came from
a cache, tokens written, nano-USD, how many requests have no price, how many have estimated counts."""
NAME_LETTERS = 200
"""Names are kept to so many letters; clients choose what they ask for."""

# An INTEGER PRIMARY KEY is SQLite's own row number; BIGINT would be another column beside it.
_NUMBER = BigInteger().with_variant(Integer(), "sqlite")


def _text(name: str, letters: int = NAME_LETTERS) -> Column[Any]:
    return Column(name, String(letters), nullable=False)


def _count(name: str) -> Column[Any]:
    return Column(name, BigInteger, nullable=False)


def _moment(name: str) -> Column[Any]:
    return Column(name, BigInteger, primary_key=True, autoincrement=False)


entries = Table(
    "entries",
    metadata,
    Column("number", _NUMBER, primary_key=True, autoincrement=False),
    Column("id", String(NAME_LETTERS), nullable=False, unique=True),
    _text("kind", 20),
    Column("at", Float, nullable=False),
    Column("user_id", Integer, nullable=False),
    _text("key_id"),
    _text("key_name"),
    _text("operation"),
    _text("protocol"),
    _text("model"),
    _text("response_model"),
    Column("channel_id", Integer),
    _text("channel"),
    _text("provider"),
    _text("outcome", 20),
    *(Column(bucket, BigInteger) for bucket in BUCKETS),
    Column("estimated", Boolean, nullable=False),
    Column("cost", BigInteger),
    _text("price_source"),
    _text("price_date", 40),
    Column("request_ms", Float, nullable=False),
    Column("trial", Boolean, nullable=False),
    _text("actor"),
    Column("reason", Text, nullable=False),
)
for _searched in ("user_id", "key_id", "kind"):
    Index(None, entries.c[_searched], entries.c.at, entries.c.number)
Index(None, entries.c.at, entries.c.number)

legs = Table(
    "legs",
    metadata,
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("leg", Integer, primary_key=True, autoincrement=False),
    _text("account", 100),
    _count("amount"),
    sqlite_with_rowid=False,
)
for _table in (entries, legs):
    for _statement in triggers("sqlite", _table.name):
        event.listen(
            _table,
            "after_create",
            DDL(_statement).execute_if(dialect="sqlite"),  # type: ignore[no-untyped-call]
        )

accounts = Table(
    "accounts",
    metadata,
    Column("name", String(100), primary_key=True),
    _count("balance"),
    sqlite_with_rowid=False,
)

account_hours = Table(
    "account_hours",
    metadata,
    Column("account", String(100), primary_key=True),
    _moment("hour"),
    _count("amount"),
    sqlite_with_rowid=False,
)


def _sums(name: str, moment: str) -> Table:
    """A table of sums; ``moment`` is where its hour or day begins (Unix time)."""
    return Table(
        name,
        metadata,
        _moment(moment),
        Column("user_id", Integer, primary_key=True, autoincrement=False),
        Column("key_id", String(NAME_LETTERS), primary_key=True),
        Column("model", String(NAME_LETTERS), primary_key=True),
        Column("channel", String(NAME_LETTERS), primary_key=True),
        Column("provider", String(NAME_LETTERS), primary_key=True),
        Column("trial", Boolean, primary_key=True),
        Column("kind", String(20), primary_key=True),
        *(_count(measure) for measure in MEASURES),
        sqlite_with_rowid=False,
    )


usage_hours = _sums("usage_hours", "hour")
usage_days = _sums("usage_days", "day")
