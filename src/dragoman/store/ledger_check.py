"""The self-check: do the books and every sum that is kept of them agree?

It goes through the tables in portions, each a short transaction, because a file has one connection that
the gateway wants to write on. Whole hours and days are compared in one statement each, so what is booked
meanwhile is on both sides or on neither. The difference of two sets of rows is one grouping of the first
and the negated second.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any, NamedTuple

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    Select,
    and_,
    case,
    cast,
    func,
    or_,
    select,
    union_all,
)

from dragoman.governance.ledger import USAGE, credit_of
from dragoman.governance.money import dollars
from dragoman.governance.price import BUCKETS
from dragoman.governance.statements import Discrepancy
from dragoman.store.ledger_booking import FAILED
from dragoman.store.ledger_tables import (
    DAY,
    DIMENSIONS,
    HOUR,
    MEASURES,
    USED,
    account_hours,
    accounts,
    entries,
    legs,
    usage_days,
    usage_hours,
)

PORTION = 10_000
"""Rows that one transaction looks at, if their hour has no more."""
_SERVED = "usage"
_INPUT, _OUTPUT = BUCKETS[:6], BUCKETS[6:]


class Portion(NamedTuple):
    """What a portion held against the books, and where the next one begins; None if it was the
    last."""

    found: list[Discrepancy]
    next: int | None


def check_entries(connection: Connection, first: int, most: int) -> Portion:
    """Entries by number, from ``first`` on: legs sum to zero, and what was used is what it cost."""
    last = first + PORTION - 1
    total = func.coalesce(func.sum(legs.c.amount), 0)
    used = func.coalesce(func.sum(case((legs.c.account == USAGE, legs.c.amount), else_=0)), 0)
    query = (
        select(entries.c.id, entries.c.cost, total, used)
        .select_from(entries.outerjoin(legs, legs.c.number == entries.c.number))
        .where(entries.c.number.between(first, last))
        .group_by(entries.c.number)
        .having(
            or_(
                total != 0,
                and_(entries.c.kind.in_(USED), used != func.coalesce(entries.c.cost, 0)),
            )
        )
        .order_by(entries.c.number)
        .limit(most)
    )
    found = []
    for entry_id, cost, sum_of_legs, usage_leg in connection.execute(query):
        if sum_of_legs:
            problem = f"its legs sum to {_money(sum_of_legs)} instead of zero"
        else:
            price = "has no price" if cost is None else f"cost {_money(cost)}"
            problem = f"it {price}, and {_money(usage_leg)} were booked"
        found.append(Discrepancy(what="entry", of=entry_id, message=problem))
    newest = connection.execute(select(func.max(entries.c.number))).scalar_one() or 0
    return Portion(found, last + 1 if last < newest else None)


def check_hours(connection: Connection, first: int | None, most: int) -> Portion:
    """Hours from ``first`` on: what came to accounts and what was used, by the entries and by the
    sums."""
    end = _end(connection, entries.c.at, first, HOUR)
    hour = _hour(connection)
    booked = (
        select(legs.c.account, hour.label("hour"), legs.c.amount)
        .join(entries, entries.c.number == legs.c.number)
        .where(*_between(entries.c.at, first, end))
    )
    kept = select(account_hours.c.account, account_hours.c.hour, -account_hours.c.amount).where(
        *_between(account_hours.c.hour, first, end)
    )
    found = [
        Discrepancy(
            what="account_hours",
            of=f"{row[0]} at {row[1]}",
            message=f"what came to it in that hour is kept {_wrong_by(row[2])}",
        )
        for row in _differences(connection, booked, kept, 2, most)
    ]
    used = (
        select(hour.label("hour"), *(entries.c[one] for one in DIMENSIONS), *_measured())
        .where(entries.c.kind.in_(USED), *_between(entries.c.at, first, end))
    )  # fmt: skip
    sums = _negated(usage_hours, usage_hours.c.hour).where(
        *_between(usage_hours.c.hour, first, end)
    )
    found += _usage_differences(connection, "usage_hours", (used, sums), most)
    return Portion(found, end)


def check_days(connection: Connection, first: int | None, most: int) -> Portion:
    """Days from ``first`` on: usage by the sums of their hours and by their own."""
    hour = usage_hours.c.hour
    end = _end(connection, hour, first, DAY)
    day = (hour - hour % DAY).label("day")
    columns = [usage_hours.c[one] for one in (*DIMENSIONS, *MEASURES)]
    by_hours = select(day, *columns).where(*_between(hour, first, end))
    by_days = _negated(usage_days, usage_days.c.day).where(*_between(usage_days.c.day, first, end))
    return Portion(_usage_differences(connection, "usage_days", (by_hours, by_days), most), end)


def check_balances(
    connection: Connection, prepaid: Collection[int], most: int
) -> list[Discrepancy]:
    """What every account holds is the sum of what came to it; usage did not leave the credit of
    ``prepaid`` users below zero, where a booking by hand may; no entry is missing."""
    moved = select(account_hours.c.account, account_hours.c.amount)
    kept = select(accounts.c.name, -accounts.c.balance)
    found = [
        Discrepancy(
            what="account",
            of=row[0],
            message=f"its balance is kept {_wrong_by(row[1])}",
        )
        for row in _differences(connection, moved, kept, 1, most)
    ]
    negative = select(accounts).where(accounts.c.balance < 0).order_by(accounts.c.name)
    credits_ = {credit_of(user_id): user_id for user_id in prepaid}
    found += [
        Discrepancy(
            what="credit", of=row.name, message=f"it is prepaid and holds {_money(row.balance)}"
        )
        for row in connection.execute(negative)
        if row.name in credits_
        and _last_moved_by(connection, row.name, credits_[row.name]) == _SERVED
    ]
    count, newest = connection.execute(select(func.count(), func.max(entries.c.number))).one()
    last_leg = connection.execute(select(func.max(legs.c.number))).scalar_one() or 0
    if count != (newest or 0) or last_leg > (newest or 0):
        found.append(
            Discrepancy(
                what="entries",
                of="numbers",
                message=f"the newest entry is the {max(newest or 0, last_leg)}th, and there are {count}",
            )
        )
    return found


def size(connection: Connection) -> tuple[int, int]:
    """How many entries and accounts there are."""
    newest = connection.execute(select(func.max(entries.c.number))).scalar_one() or 0
    return newest, connection.execute(select(func.count()).select_from(accounts)).scalar_one()


def _last_moved_by(connection: Connection, account: str, user_id: int) -> str:
    """The kind of a user's newest entry that moved an account."""
    newest = (
        select(entries.c.kind)
        .join(legs, legs.c.number == entries.c.number)
        .where(entries.c.user_id == user_id, legs.c.account == account)
        .order_by(entries.c.number.desc())
        .limit(1)
    )
    return str(connection.execute(newest).scalar_one_or_none() or "")


def _differences(
    connection: Connection, books: Select[Any], negated: Select[Any], keys: int, most: int
) -> list[list[Any]]:
    """Keys (the first columns) and how much more ``books`` have, for sums that are not the same."""
    both = union_all(books, negated).subquery()
    columns = [*both.columns]
    sums = [func.sum(column) for column in columns[keys:]]
    query = (
        select(*columns[:keys], *sums)
        .group_by(*columns[:keys])
        .having(or_(*(one != 0 for one in sums)))
        .limit(most)
    )
    return [
        [*row[:keys], *(int(value) for value in row[keys:])] for row in connection.execute(query)
    ]


def _usage_differences(
    connection: Connection, what: str, sides: tuple[Select[Any], Select[Any]], most: int
) -> list[Discrepancy]:
    keys = 1 + len(DIMENSIONS)
    found = []
    for row in _differences(connection, *sides, keys, most):
        where = ", ".join(
            f"{key} {value}" for key, value in zip(DIMENSIONS, row[1:keys], strict=True)
        )
        by = ", ".join(
            f"{measure} {abs(value)} too {'low' if value > 0 else 'high'}"
            for measure, value in zip(MEASURES, row[keys:], strict=True)
            if value
        )
        found.append(Discrepancy(what=what, of=f"{row[0]}, {where}", message=f"kept with {by}"))
    return found


def _measured() -> Iterator[ColumnElement[Any]]:
    """What an entry adds to the sums of usage, in the order of MEASURES; as ``ledger_booking`` does."""
    counts = entries.c.kind != "overrun"
    yield _one(counts)
    yield _one(and_(counts, entries.c.outcome.in_(FAILED)))
    for buckets in (_INPUT, ("cache_read",), _OUTPUT):
        tokens = sum((entries.c[one] for one in buckets[1:]), entries.c[buckets[0]])
        yield case((counts, func.coalesce(tokens, 0)), else_=0)
    yield func.coalesce(entries.c.cost, 0)
    yield _one(and_(counts, entries.c.cost.is_(None)))
    yield _one(and_(counts, entries.c.estimated))


def _one(condition: ColumnElement[bool]) -> ColumnElement[int]:
    return case((condition, 1), else_=0)


def _negated(table: Any, moment: ColumnElement[int]) -> Select[Any]:
    dimensions = (table.c[one] for one in DIMENSIONS)
    return select(moment, *dimensions, *(-table.c[one] for one in MEASURES))


def _hour(connection: Connection) -> ColumnElement[int]:
    """In which hour an entry was."""
    at: ColumnElement[Any] = entries.c.at
    if connection.dialect.name == "postgresql":
        at = func.floor(at)  # its cast rounds, SQLite's cuts
    whole = cast(at, BigInteger)
    return whole - whole % HOUR


def _end(
    connection: Connection, column: ColumnElement[Any], first: int | None, step: int
) -> int | None:
    """Where a portion of rows ends that begins at ``first``, at a whole ``step``; None if with the
    last row."""
    query = select(column).where(*_between(column, first, None)).order_by(column)
    beyond = connection.execute(query.limit(1).offset(PORTION)).scalar_one_or_none()
    return None if beyond is None else (int(beyond) // step + 1) * step


def _between(
    column: ColumnElement[Any], first: int | None, end: int | None
) -> Iterator[ColumnElement[bool]]:
    if first is not None:
        yield column >= first
    if end is not None:
        yield column < end


def _wrong_by(lacking: int) -> str:
    return f"{_money(abs(lacking))} too {'low' if lacking > 0 else 'high'}"


def _money(nano: int) -> str:
    return dollars(int(nano))
