"""What can be asked of the books, and what they answer. Times are Unix time, money is nano-USD."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import msgspec

from dragoman.governance.ledger import Entry

Bucket = Literal["hour", "day", "month"]
Dimension = Literal["user", "key", "model", "channel", "provider"]


class Sought(msgspec.Struct, kw_only=True, frozen=True):
    """Which entries; None is any. ``since`` is included, ``until`` is not."""

    user_id: int | None = None
    key_id: str | None = None
    kind: str | None = None
    model: str | None = None
    channel: str | None = None
    provider: str | None = None
    since: float | None = None
    until: float | None = None


ANYTHING = Sought()


class Booked(msgspec.Struct, frozen=True):
    """An entry in its place: ``number`` counts the bookings from 1."""

    number: int
    entry: Entry


class StatementLine(msgspec.Struct, kw_only=True, frozen=True):
    """What an entry did to a user's credit account, and what the account held afterwards."""

    number: int
    entry: Entry
    amount: int
    balance: int


class Statement(msgspec.Struct, kw_only=True, frozen=True):
    """A user's credit account over a time, newest line first. ``opening`` and ``closing`` are of the
    whole time; ``more`` says that older lines are left, to be had with ``before`` the last number."""

    user_id: int
    opening: int
    closing: int
    lines: Sequence[StatementLine] = ()
    more: bool = False


class Used(msgspec.Struct, kw_only=True, frozen=True):
    """Sums of usage. ``requests`` were served or tried and ``errors`` of them failed; tokens that were
    read (``cached`` of them from a provider's cache) and written; ``unpriced`` requests have no price
    and are not in ``cost``; ``estimated`` ones have counts that no upstream reported."""

    requests: int = 0
    errors: int = 0
    input: int = 0
    cached: int = 0
    output: int = 0
    cost: int = 0
    unpriced: int = 0
    estimated: int = 0


class UsageRow(msgspec.Struct, kw_only=True, frozen=True):
    """Usage from ``start`` on, for one hour, day or month (UTC), of one user, key, model, channel or
    provider; ``of`` is its id or name, None if everybody's is in one row."""

    start: int
    of: int | str | None
    used: Used


class Unpriced(msgspec.Struct, kw_only=True, frozen=True):
    """A model that was used lately though nobody says what it costs. ``last`` is the hour of its last
    such use."""

    model: str
    channel: str
    provider: str
    requests: int
    last: int


class Discrepancy(msgspec.Struct, kw_only=True, frozen=True):
    """Something in the books that does not add up: ``what`` kind of mistake, where (``of``), and what
    there is instead of what there should be."""

    what: str
    of: str
    message: str


class SelfCheck(msgspec.Struct, kw_only=True, frozen=True):
    """What a check of the books found. ``discrepancies`` are the first ones only."""

    entries: int
    accounts: int
    discrepancies: Sequence[Discrepancy] = ()

    @property
    def ok(self) -> bool:
        """Whether everything adds up."""
        return not self.discrepancies

    @property
    def words(self) -> list[str]:
        """A sentence for each discrepancy."""
        return [f"{one.what} {one.of}: {one.message}" for one in self.discrepancies]
