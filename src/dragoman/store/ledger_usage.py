"""Answers from the sums that are kept of the entries: usage over time, totals, what has no price, and
the standing that admission begins with. Each function does its work on an open connection."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from typing import Any

from sqlalchemy import ColumnElement, Connection, Table, case, func, select

from dragoman.governance.price import BUCKETS
from dragoman.governance.standing import Consumption, Spending, Standing
from dragoman.governance.statements import (
    Bucket,
    Dimension,
    Sought,
    Unpriced,
    UsageRow,
    Used,
)
from dragoman.store.ledger_booking import name
from dragoman.store.ledger_tables import (
    DAY,
    HOUR,
    MEASURES,
    accounts,
    entries,
    usage_days,
    usage_hours,
)

_COLUMNS = {"user": "user_id", "key": "key_id"}
_MONDAY = 3  # 1970-01-01 was a Thursday
SERVED = ("usage", "overrun")
TRIED = ("attempt",)


def usage(
    connection: Connection,
    sought: Sought,
    bucket: Bucket,
    by: Dimension | None,
    *,
    attempts: bool,
) -> list[UsageRow]:
    """As LedgerStore.usage."""
    table, moment = _source(sought, by_hour=bucket == "hour")
    start = moment if bucket == "hour" else moment - moment % DAY
    grouped = [start] if by is None else [start, table.c[_COLUMNS.get(by, by)]]
    query = (
        select(*grouped, *(func.sum(table.c[measure]) for measure in MEASURES))
        .where(*_conditions(table, moment, sought, attempts=attempts))
        .group_by(*grouped)
        .order_by(*grouped)
    )
    sums: dict[tuple[int, Any], list[int]] = {}
    width = len(grouped)
    for row in connection.execute(query):
        begun = _month(row[0]) if bucket == "month" else row[0]
        place = (begun, None if by is None else row[1])
        present = sums.get(place, [0] * len(MEASURES))
        # PostgreSQL's sums are decimal numbers.
        sums[place] = [a + int(b) for a, b in zip(present, row[width:], strict=True)]
    return [
        UsageRow(start=begun, of=of, used=_used(values)) for (begun, of), values in sums.items()
    ]


def totals(connection: Connection, sought: Sought, *, attempts: bool) -> Used:
    """As LedgerStore.totals."""
    table, moment = _source(sought, by_hour=False)
    query = select(*(func.sum(table.c[measure]) for measure in MEASURES)).where(
        *_conditions(table, moment, sought, attempts=attempts)
    )
    return _used([int(value or 0) for value in connection.execute(query).one()])


def unpriced(connection: Connection, since: float) -> list[Unpriced]:
    """As LedgerStore.unpriced."""
    table = usage_hours
    names = (table.c.model, table.c.channel, table.c.provider)
    requests, last = func.sum(table.c.unpriced), func.max(table.c.hour)
    query = (
        select(*names, requests, last)
        .where(table.c.unpriced > 0, table.c.hour >= _floor(since, HOUR))
        .group_by(*names)
        .order_by(requests.desc(), *names)
    )
    return [
        Unpriced(model=model, channel=channel, provider=provider, requests=int(count), last=hour)
        for model, channel, provider, count, hour in connection.execute(query)
    ]


def balances(connection: Connection) -> dict[str, int]:
    """Every account that is not zero."""
    query = select(accounts).where(accounts.c.balance != 0).order_by(accounts.c.name)
    return {row.name: row.balance for row in connection.execute(query)}


def standing(connection: Connection, now: float) -> Standing:
    """As books.Ledger.standing. Failed attempts and trials count as they were booked: the first are
    nobody's, the second are the user's like any other usage."""
    users: dict[int, list[int]] = {}
    keys: dict[str, list[int]] = {}
    for user_id, key_id, *spent in connection.execute(_spent(now)):
        _add(users.setdefault(user_id, [0, 0, 0, 0]), spent)
        _add(keys.setdefault(key_id, [0, 0, 0, 0]), spent)
    return Standing(
        balances=balances(connection),
        users={user_id: _spending(spent) for user_id, spent in users.items()},
        keys={key_id: _spending(spent) for key_id, spent in keys.items()},
        trials=_trials(connection),
    )


def _spent(now: float) -> Any:
    """Per user and key: the cost since the beginning of the day, week and month, and all of it."""
    table = usage_days
    today = _floor(now, DAY)
    week = today - (today // DAY + _MONDAY) % 7 * DAY
    cost = table.c.cost
    sums = [
        func.sum(case((table.c.day >= begun, cost), else_=0))
        for begun in (today, week, _month(today))
    ]
    return (
        select(table.c.user_id, table.c.key_id, *sums, func.sum(cost))
        .where(table.c.kind.in_(SERVED))
        .group_by(table.c.user_id, table.c.key_id)
    )


def _trials(connection: Connection) -> dict[int, Consumption]:
    """What users consumed on trials, since the end of the last one before the present."""
    table = usage_days
    query = (
        select(
            table.c.user_id,
            func.sum(table.c.input + table.c.output),
            func.sum(table.c.requests),
        )
        .where(table.c.trial, table.c.kind == "usage")
        .group_by(table.c.user_id)
    )
    consumed = {
        user_id: Consumption(tokens=int(tokens), requests=int(requests))
        for user_id, tokens, requests in connection.execute(query)
    }
    for user_id, last in connection.execute(_ended_trials()).all():
        if user_id in consumed:
            consumed[user_id] = _consumed_after(connection, user_id, last)
    return consumed


def _ended_trials() -> Any:
    """Users, and the number of the entry with which their last trial ended."""
    return (
        select(entries.c.user_id, func.max(entries.c.number))
        .where(entries.c.kind == "trial", entries.c.outcome == "ended")
        .group_by(entries.c.user_id)
    )


def _consumed_after(connection: Connection, user_id: int, number: int) -> Consumption:
    read_and_written = sum((entries.c[one] for one in BUCKETS[1:]), entries.c[BUCKETS[0]])
    query = select(func.sum(read_and_written), func.count()).where(
        entries.c.user_id == user_id,
        entries.c.kind == "usage",
        entries.c.trial,
        entries.c.number > number,
    )
    tokens, requests = connection.execute(query).one()
    return Consumption(tokens=int(tokens or 0), requests=requests)


def _source(sought: Sought, *, by_hour: bool) -> tuple[Table, ColumnElement[int]]:
    """The coarsest sums that can answer: days, unless hours are asked for or bound the time."""
    bounds = [moment for moment in (sought.since, sought.until) if moment is not None]
    if by_hour or any(moment % DAY for moment in bounds):
        return usage_hours, usage_hours.c.hour
    return usage_days, usage_days.c.day


def _conditions(
    table: Table, moment: ColumnElement[int], sought: Sought, *, attempts: bool
) -> Iterator[ColumnElement[bool]]:
    yield table.c.kind.in_(TRIED if attempts else SERVED)
    if sought.user_id is not None:
        yield table.c.user_id == sought.user_id
    for column in ("key_id", "kind", "model", "channel", "provider"):
        if (wanted := getattr(sought, column)) is not None:
            yield table.c[column] == name(wanted)
    if sought.since is not None:
        yield moment >= _floor(sought.since, HOUR)
    if sought.until is not None:
        yield moment < sought.until


def _floor(moment: float, step: int) -> int:
    return int(moment // step) * step


def _month(day: int) -> int:
    """Where the month of a day begins."""
    date = datetime.datetime.fromtimestamp(day, datetime.UTC)
    return int(date.replace(day=1, hour=0, minute=0, second=0, microsecond=0).timestamp())


def _used(values: list[int]) -> Used:
    return Used(**dict(zip(MEASURES, values, strict=True)))


def _spending(spent: list[int]) -> Spending:
    day, week, month, total = spent
    return Spending(day=day, week=week, month=month, total=total)


def _add(sums: list[int], more: list[Any]) -> None:
    for place, value in enumerate(more):
        sums[place] += int(value)
