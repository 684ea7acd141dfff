"""Entries into the tables, and into every sum that is kept of them, in one transaction.

Written below SQLAlchemy's statements, whose own work would cost as much as SQLite's. A driver that asks
its server for every row is spared that: it gets all rows as one document.
"""

from __future__ import annotations

import functools
import json
import logging
import math
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import msgspec
from sqlalchemy import Connection, Table

from dragoman.governance.ledger import Entry
from dragoman.governance.money import MOST_NANO
from dragoman.governance.price import BUCKETS
from dragoman.store import ledger_tables as tables
from dragoman.store.bulk import insert_rows
from dragoman.store.errors import EntryRefused
from dragoman.store.ledger_tables import DAY, HOUR, NAME_LETTERS, USED

logger = logging.getLogger("dragoman.ledger")

_LATEST = 1e12  # seconds; what lies behind is no time
_MOST_TOKENS = 10**12
_REASON_LETTERS = 2000
_BOOKING = int.from_bytes(b"DragBook")
"""The advisory lock of whoever books on a PostgreSQL server."""
FAILED = ("error", "broken", "failed")
"""The outcomes that count as errors: of requests, and of attempts. A client that leaves is none."""
_NO_TOKENS = (None,) * len(BUCKETS)

Sums = dict[tuple[Any, ...], list[int]]


class Kept(NamedTuple):
    """How many entries were new, and what they moved: account → nano-USD."""

    new: int
    moved: dict[str, int]


def book(connection: Connection, entries: Iterable[Entry]) -> Kept:
    """Keep the entries that are not there yet. Raises EntryRefused, before anything is written, if one
    cannot be kept. The transaction must be one that writes."""
    given: dict[str, Entry] = {}
    for entry in entries:
        _check(entry)
        given.setdefault(name(entry.id), entry)
    if not given:
        return Kept(0, {})
    if connection.dialect.name == "postgresql":
        # Numbers have no gaps and balances no lost additions: one books at a time. Not by locking the
        # table: that would wait for the server's own housekeeping, and interrupt it.
        connection.exec_driver_sql("SELECT pg_advisory_xact_lock(%s)", (_BOOKING,))
    for (known,) in among(connection, "id", [*given]):
        del given[known]
    if not given:
        return Kept(0, {})
    last = connection.exec_driver_sql("SELECT MAX(number) FROM entries").scalar_one() or 0
    return Kept(len(given), _write(connection, last + 1, given))


def book_all(connection: Connection, entries: Iterable[Entry]) -> dict[str, int]:
    """As ``book``, but in the place of an entry that cannot be kept there is a note of it, which moves
    nothing: what an upstream said must not keep the rest out of the books. What was moved."""
    left = [*entries]
    while True:
        try:
            return book(connection, left).moved
        except EntryRefused as refused:
            logger.error("%s It is in the books as a note.", refused)
            left = [_note(one, refused) if one.id == refused.id else one for one in left]


def _note(entry: Entry, refused: EntryRefused) -> Entry:
    return Entry(
        id=entry.id,
        kind="refused",
        at=entry.at if 0 <= entry.at < _LATEST else 0.0,
        user_id=entry.user_id,
        key_id=entry.key_id,
        key_name=entry.key_name,
        model=entry.model,
        channel_id=entry.channel_id,
        channel=entry.channel,
        provider=entry.provider,
        outcome=entry.outcome,
        cost=0,
        reason=f"{refused} It was: {entry!r}",
    )


def name(text: str, letters: int = NAME_LETTERS) -> str:
    """Text as the tables hold it: not too long, and nothing that PostgreSQL's text cannot hold."""
    if not text.isprintable():
        text = text.encode("utf-8", "replace").decode().replace("\0", "\ufffd")
    return text[:letters]


_name = functools.lru_cache(maxsize=4096)(name)  # the same few names stand in every entry


def _check(entry: Entry) -> None:
    """Raises EntryRefused."""
    if not 0 <= entry.at < _LATEST:
        raise EntryRefused(entry.id, "its time is none")
    if entry.cost is not None and not 0 <= entry.cost <= MOST_NANO:
        raise EntryRefused(entry.id, "its cost is negative or more than any account can hold")
    legs = entry.legs
    if not legs:
        return
    if sum([leg.amount for leg in legs]):
        raise EntryRefused(entry.id, "its legs do not sum to zero")
    if len({leg.account for leg in legs}) < len(legs):
        raise EntryRefused(entry.id, "two of its legs are of the same account")
    own = str(entry.user_id)
    for account, amount in [(leg.account, leg.amount) for leg in legs]:
        if not -MOST_NANO <= amount <= MOST_NANO:
            raise EntryRefused(entry.id, "an amount is more than any account can hold")
        _, is_personal, owner = account.partition(":")
        if is_personal and owner != own:
            raise EntryRefused(entry.id, f"it moves money of {account}, another user's")


def among(connection: Connection, columns: str, ids: list[str]) -> Sequence[Any]:
    """Columns of the entries that have one of the ids, of which there may be tens of thousands: they
    are one value, because a statement with so many would take longer to read than to do."""
    if connection.dialect.name == "postgresql":
        source = "= ANY(%s)"
        given: Any = ids
    else:
        source = "IN (SELECT value FROM json_each(?))"
        given = json.dumps(ids)
    statement = f"SELECT {columns} FROM entries WHERE id {source}"  # noqa: S608
    return connection.exec_driver_sql(statement, (given,)).all()


def _write(connection: Connection, number: int, given: dict[str, Entry]) -> dict[str, int]:
    """Everything that the entries mean, the first of them as ``number``; what they move."""
    rows: list[tuple[Any, ...]] = []
    legs: list[tuple[int, int, str, int]] = []
    moved: dict[str, int] = {}
    moved_by_hour: dict[tuple[str, int], int] = {}
    hours: Sums = {}
    for number, (key, entry) in enumerate(given.items(), number):  # noqa: B020, PLR1704
        row = _row(number, key, entry)
        rows.append(row)
        hour = int(entry.at) // HOUR * HOUR
        for place, leg in enumerate(entry.legs):
            account, amount = leg.account, leg.amount
            legs.append((number, place, account, amount))
            moved[account] = moved.get(account, 0) + amount
            at = (account, hour)
            moved_by_hour[at] = moved_by_hour.get(at, 0) + amount
        if entry.kind in USED:
            _add(hours, (hour, *_dimensions(entry)), _measures(entry))
    _refuse_overflow(connection, moved, given.values())
    days: Sums = {}
    for (hour, *who), sums in hours.items():
        _add(days, (hour - hour % DAY, *who), sums)
    _insert(connection, tables.entries, rows)
    _insert(connection, tables.legs, legs)
    _insert(connection, tables.accounts, sorted(moved.items()))
    _insert(connection, tables.account_hours, [(*at, nano) for at, nano in moved_by_hour.items()])
    _insert(connection, tables.usage_hours, [(*key, *sums) for key, sums in hours.items()])
    _insert(connection, tables.usage_days, [(*key, *sums) for key, sums in days.items()])
    return moved


def _row(number: int, key: str, entry: Entry) -> tuple[Any, ...]:
    """A row of ``entries``."""
    usage = entry.usage
    return (
        number,
        key,
        _name(entry.kind, 20),
        entry.at,
        entry.user_id,
        _name(entry.key_id),
        _name(entry.key_name),
        _name(entry.operation),
        _name(entry.protocol),
        _name(entry.model),
        _name(entry.response_model),
        entry.channel_id,
        _name(entry.channel),
        _name(entry.provider),
        _name(entry.outcome, 20),
        *(_NO_TOKENS if usage is None else _tokens(entry.id, usage)),
        usage is not None and usage.estimated,
        entry.cost,
        _name(entry.price_source),
        _name(entry.price_date, 40),
        entry.request_ms if math.isfinite(entry.request_ms) else 0.0,
        entry.trial,
        _name(entry.actor),
        name(entry.reason, _REASON_LETTERS) if entry.reason else "",
    )


def _tokens(entry_id: str, usage: Any) -> tuple[int, ...]:
    """The buckets, in the order of BUCKETS. Raises EntryRefused."""
    counts = (
        usage.input,
        usage.cache_read,
        usage.cache_write_5m,
        usage.cache_write_1h,
        usage.input_audio,
        usage.input_image,
        usage.output,
        usage.reasoning,
        usage.output_audio,
        usage.output_image,
    )
    if min(counts) < 0 or max(counts) > _MOST_TOKENS:
        raise EntryRefused(entry_id, "a number of tokens is negative or beyond reason")
    return counts


def _dimensions(entry: Entry) -> tuple[Any, ...]:
    """In the order of DIMENSIONS."""
    return (
        entry.user_id,
        _name(entry.key_id),
        _name(entry.model),
        _name(entry.channel),
        _name(entry.provider),
        entry.trial,
        entry.kind,
    )


def _measures(entry: Entry) -> tuple[int, ...]:
    """In the order of MEASURES. What a prepaid account could not pay (``overrun``) is cost of a
    request that has been counted."""
    cost, usage = entry.cost, entry.usage
    if entry.kind == "overrun":
        return (0, 0, 0, 0, 0, cost or 0, 0, 0)
    failed = entry.outcome in FAILED
    if usage is None:
        return (1, failed, 0, 0, 0, cost or 0, cost is None, 0)
    return (
        1,
        failed,
        usage.total_input,
        usage.cache_read,
        usage.total_output,
        cost or 0,
        cost is None,
        usage.estimated,
    )


def _add(sums: Sums, key: tuple[Any, ...], more: Sequence[int]) -> None:
    present = sums.get(key)
    sums[key] = [*map(int, more)] if present is None else [*map(int.__add__, present, more)]


def _refuse_overflow(
    connection: Connection, moved: dict[str, int], entries: Iterable[Entry]
) -> None:
    """SQLite would go on with floats. Raises EntryRefused for the entry that goes too far."""
    for account, nano in moved.items():
        held = balance(connection, account)
        if -MOST_NANO <= held + nano <= MOST_NANO:
            continue
        for entry in entries:
            held += sum(leg.amount for leg in entry.legs if leg.account == account)
            if not -MOST_NANO <= held <= MOST_NANO:
                raise EntryRefused(entry.id, f"{account} would hold more than any account can")


def balance(connection: Connection, account: str) -> int:
    """What an account holds."""
    mark = "%s" if connection.dialect.name == "postgresql" else "?"
    found = connection.exec_driver_sql(
        f"SELECT balance FROM accounts WHERE name = {mark}",  # noqa: S608
        (account,),
    ).scalar_one_or_none()
    return found or 0


def _insert(connection: Connection, table: Table, rows: list[Any]) -> None:
    """Add rows; what is there already under the same key is summed."""
    if not rows:
        return
    into, then = _statement(table)
    if connection.dialect.name == "postgresql":
        # All rows as one document: a tenth of the time that a statement for each would take.
        columns = table.columns.keys()
        document = msgspec.json.encode([dict(zip(columns, row, strict=True)) for row in rows])
        statement = f"{into} {_from_document(table, connection)} {then}"
        connection.exec_driver_sql(statement, (document.decode(),))
    else:
        insert_rows(connection, into, rows, then=then)


@functools.cache
def _statement(table: Table) -> tuple[str, str]:
    """What stands before the rows, and what behind them."""
    columns = table.columns.keys()
    into = f"INSERT INTO {table.name} ({', '.join(columns)})"
    if table in (tables.entries, tables.legs):
        return into, ""
    key = table.primary_key.columns.keys()
    summed = (f"{one} = {table.name}.{one} + excluded.{one}" for one in columns if one not in key)
    return into, f"ON CONFLICT ({', '.join(key)}) DO UPDATE SET {', '.join(summed)}"


def _from_document(table: Table, connection: Connection) -> str:
    """Where PostgreSQL finds the rows."""
    columns = table.columns
    typed = (f"{one.name} {one.type.compile(connection.dialect)}" for one in columns)
    names = ", ".join(columns.keys())
    return f"SELECT {names} FROM json_to_recordset(%s::json) AS given({', '.join(typed)})"  # noqa: S608
