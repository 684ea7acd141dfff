"""Entries out of the tables: listings, one by its id, statements, costs. Each function does its work on
an open connection, within one transaction."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Select, func, select, tuple_

from dragoman.canonical.usage import Usage
from dragoman.governance.ledger import Entry, Leg, credit_of
from dragoman.governance.price import BUCKETS
from dragoman.governance.statements import Booked, Sought, Statement, StatementLine
from dragoman.store import ledger_booking as booking
from dragoman.store.ledger_booking import name
from dragoman.store.ledger_tables import HOUR, account_hours, accounts, entries, legs

_IDS_AT_ONCE = 5000
"""SQLite takes 32,766 values in one statement, PostgreSQL 65,535."""
_OVERRUN = "#overrun"
_SUFFIXES = ("overrun", "orphan", "refund")
_MOST_ATTEMPTS = 100

_PLAIN = [one for one in Entry.__struct_fields__ if one not in ("usage", "legs")]


def listed(
    connection: Connection, sought: Sought, limit: int, offset: int, before: int | None
) -> list[Booked]:
    """What fits, newest first, with legs."""
    newest = (
        select(entries.c.number)
        .where(*conditions(sought), *_older(connection, before))
        .order_by(entries.c.at.desc(), entries.c.number.desc())
        .limit(limit)
        .offset(offset)
    )
    numbers = connection.execute(newest).scalars().all()
    return by_number(connection, numbers)


def after(
    connection: Connection, sought: Sought, last: tuple[float, int] | None, limit: int
) -> list[Booked]:
    """What fits, oldest first, from behind the ``last`` (time and number) on, with legs."""
    oldest = (
        select(entries.c.number)
        .where(*conditions(sought))
        .order_by(entries.c.at, entries.c.number)
        .limit(limit)
    )
    if last is not None:
        oldest = oldest.where(tuple_(entries.c.at, entries.c.number) > tuple_(*last))
    return by_number(connection, connection.execute(oldest).scalars().all())


def by_number(connection: Connection, numbers: Sequence[int]) -> list[Booked]:
    """The entries with these numbers, in this order."""
    rows = {}
    moved: dict[int, list[Leg]] = {}
    for some in _portions(numbers):
        for row in connection.execute(select(entries).where(entries.c.number.in_(some))):
            rows[row.number] = row
        query = select(legs).where(legs.c.number.in_(some)).order_by(legs.c.number, legs.c.leg)
        for number, _, account, amount in connection.execute(query):
            moved.setdefault(number, []).append(Leg(account, amount))
    return [
        Booked(number, _entry(rows[number], tuple(moved.get(number, ())))) for number in numbers
    ]


def found(connection: Connection, entry_id: str) -> list[Entry]:
    """The entry with that id and those that were booked for the same request, oldest first."""
    request_id = name(entry_id).partition("#")[0]
    # By name and not by how they begin: PostgreSQL's collations do not search for beginnings.
    named = [f"{request_id}#{suffix}" for suffix in (*_SUFFIXES, *range(_MOST_ATTEMPTS))]
    same = entries.c.id.in_((entry_id, request_id, *named))
    query = select(entries.c.number).where(same).order_by(entries.c.number)
    numbers = connection.execute(query).scalars().all()
    return [booked.entry for booked in by_number(connection, numbers)]


def exactly(connection: Connection, entry_id: str) -> Entry | None:
    """The entry with that id alone."""
    query = select(entries.c.number).where(entries.c.id == name(entry_id))
    number = connection.execute(query).scalar_one_or_none()
    return None if number is None else by_number(connection, [number])[0].entry


def statement(
    connection: Connection,
    user_id: int,
    *,
    since: float | None,
    until: float | None,
    limit: int,
    before: int | None,
) -> Statement:
    """A user's credit account, as LedgerStore.statement."""
    account = credit_of(user_id)
    opening = 0 if since is None else _balance_before(connection, user_id, since)
    if until is None:
        present = select(accounts.c.balance).where(accounts.c.name == account)
        closing = connection.execute(present).scalar_one_or_none() or 0
    else:
        closing = _balance_before(connection, user_id, until)
    last = closing
    sought = Sought(user_id=user_id, since=since, until=until)
    if before is not None:
        last = _balance_before(connection, user_id, *_place(connection, before))
    page = (
        select(entries.c.number, legs.c.amount)
        .join(legs, (legs.c.number == entries.c.number) & (legs.c.account == account))
        .where(*conditions(sought), *_older(connection, before))
        .order_by(entries.c.at.desc(), entries.c.number.desc())
        .limit(limit + 1)
    )
    rows = connection.execute(page).all()
    amounts = {row.number: int(row.amount) for row in rows[:limit]}
    lines = []
    for booked in by_number(connection, [*amounts]):
        amount = amounts[booked.number]
        lines.append(
            StatementLine(number=booked.number, entry=booked.entry, amount=amount, balance=last)
        )
        last -= amount
    return Statement(
        user_id=user_id,
        opening=opening,
        closing=closing,
        lines=tuple(lines),
        more=len(rows) > limit,
    )


def costs(
    connection: Connection, request_ids: Iterable[str], user_id: int | None = None
) -> dict[str, int | None]:
    """What each of the requests cost, with what a prepaid account could not pay; None if it has no
    price. Unknown ids, and those of others than the user, are left out."""
    wanted = {name(one) for one in request_ids}
    paid: dict[str, int | None] = {}
    every = [*wanted, *(one + _OVERRUN for one in wanted)]
    for entry_id, cost, owner in booking.among(connection, "id, cost, user_id", every):
        if user_id is not None and owner != user_id:
            continue
        request_id = entry_id.removesuffix(_OVERRUN)
        if cost is None:
            paid[request_id] = None
        elif (sum_ := paid.get(request_id, 0)) is not None:
            paid[request_id] = sum_ + cost
    return paid


def conditions(sought: Sought) -> Iterator[ColumnElement[bool]]:
    """That an entry is one of those."""
    if sought.user_id is not None:
        yield entries.c.user_id == sought.user_id
    for column in ("key_id", "kind", "model", "channel", "provider"):
        if (wanted := getattr(sought, column)) is not None:
            yield entries.c[column] == name(wanted)
    if sought.since is not None:
        yield entries.c.at >= sought.since
    if sought.until is not None:
        yield entries.c.at < sought.until


def _older(connection: Connection, before: int | None) -> Iterator[ColumnElement[bool]]:
    """That an entry comes after the one with that number in a list that has the newest first."""
    if before is not None:
        at, number = _place(connection, before)
        yield tuple_(entries.c.at, entries.c.number) < tuple_(at, number)


def _place(connection: Connection, number: int) -> tuple[float, int]:
    """When an entry was, and its number; the beginning of time if there is none."""
    query: Select[Any] = select(entries.c.at).where(entries.c.number == number)
    at = connection.execute(query).scalar_one_or_none()
    return (0.0, 0) if at is None else (at, number)


def _balance_before(connection: Connection, user_id: int, at: float, number: int = 0) -> int:
    """What the credit account held before the entry of that time and number: whole hours from their
    sums, the rest from the entries."""
    account = credit_of(user_id)
    hour = int(max(at, 0) // HOUR) * HOUR
    whole = select(func.sum(account_hours.c.amount)).where(
        account_hours.c.account == account, account_hours.c.hour < hour
    )
    rest = (
        select(func.sum(legs.c.amount))
        .join(entries, (legs.c.number == entries.c.number) & (legs.c.account == account))
        .where(
            entries.c.user_id == user_id,
            entries.c.at >= hour,
            tuple_(entries.c.at, entries.c.number) < tuple_(at, number),
        )
    )
    return sum(int(connection.execute(query).scalar_one() or 0) for query in (whole, rest))


def _portions(values: Sequence[Any]) -> Iterator[Sequence[Any]]:
    return (values[start : start + _IDS_AT_ONCE] for start in range(0, len(values), _IDS_AT_ONCE))


def _entry(row: Row[Any], moved: tuple[Leg, ...]) -> Entry:
    fields = row._mapping
    usage = None
    if fields["input"] is not None:
        counts = {bucket: fields[bucket] for bucket in BUCKETS}
        usage = Usage(estimated=fields["estimated"], **counts)
    return Entry(usage=usage, legs=moved, **{one: fields[one] for one in _PLAIN})
