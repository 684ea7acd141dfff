"""Entries as CSV (RFC 4180), one line each. Text that a spreadsheet would take for a formula has an
apostrophe before it: clients choose what models they ask for."""

from __future__ import annotations

import csv
import datetime
import io
from collections.abc import Iterable
from typing import Any

from dragoman.governance.ledger import Entry, credit_of, trial_of
from dragoman.governance.money import usd_text
from dragoman.governance.price import BUCKETS
from dragoman.governance.statements import Booked

_PLAIN = (
    *("id", "kind", "user_id", "key_id", "key_name", "operation", "protocol", "model"),
    *("response_model", "channel", "provider", "outcome"),
)
_BOOKING = ("price_source", "price_date", "request_ms", "trial", "actor", "reason")
COLUMNS = (
    *("number", "at", *_PLAIN, *BUCKETS, "estimated", "cost_nano_usd", "cost_usd"),
    *("credit_nano_usd", "trial_nano_usd", *_BOOKING),
)
"""``cost_*`` are empty if there is no price; ``credit_`` and ``trial_nano_usd`` are what the entry did
to the user's accounts."""
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def header() -> str:
    """The first line."""
    return _text([COLUMNS])


def lines(booked: Iterable[Booked]) -> str:
    """A line for each entry."""
    return _text(_cells(one.number, one.entry) for one in booked)


def _cells(number: int, entry: Entry) -> list[Any]:
    at = datetime.datetime.fromtimestamp(entry.at, datetime.UTC)
    usage = entry.usage
    return [
        number,
        at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        *(_harmless(getattr(entry, name)) for name in _PLAIN),
        *("" if usage is None else getattr(usage, bucket) for bucket in BUCKETS),
        "" if usage is None else str(usage.estimated).lower(),
        "" if entry.cost is None else entry.cost,
        "" if entry.cost is None else usd_text(entry.cost),
        _moved(entry, credit_of(entry.user_id)),
        _moved(entry, trial_of(entry.user_id)),
        *(_harmless(getattr(entry, name)) for name in _BOOKING),
    ]


def _moved(entry: Entry, account: str) -> int:
    return sum(leg.amount for leg in entry.legs if leg.account == account)


def _harmless(value: Any) -> Any:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str) and value.startswith(_FORMULA):
        return f"'{value}"
    return value


def _text(rows: Iterable[Iterable[Any]]) -> str:
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    return text.getvalue()
