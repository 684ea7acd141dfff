"""The books: double entry, append-only, in nano-USD.

An entry is a booking of one event; its legs move money between accounts and always sum to zero. Nothing
is ever changed or taken back: a mistake is mended by another entry.

::

    account            its balance
    credit:<user id>   what a user has; an unpaid bill where the user is not prepaid
    trial:<user id>    what is left of a user's trial, below zero: used so far of an unbounded one
    overrun:<user id>  what upstreams took beyond the credit that was there (zero or below)
    operator           what failed attempts cost (zero or below)
    usage              the worth of everything that upstreams delivered
    cash               top-ups, as seen from outside (zero or below)
    grants             given away in trials and as gifts
    adjustments        corrections

    kind          legs
    usage         credit|trial −cost · usage +cost         a request that was served
    overrun       overrun −rest · usage +rest              the part that a prepaid account could not pay
    attempt       operator −cost · usage +cost             a failed attempt on the way to a fallback
    topup         cash −amount · credit +amount
    refund        usage −amount · credit +amount
    adjustment    adjustments ∓amount · credit ±amount
    trial         grants −amount · trial +amount           and back when a trial is ended
    orphan        none                                     a hold that a crash left open, released
    refused       none                                     an entry that could not be booked, as a note
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from dragoman.canonical.usage import Usage

CASH = "cash"
USAGE = "usage"
OPERATOR = "operator"
GRANTS = "grants"
ADJUSTMENTS = "adjustments"


def credit_of(user_id: int) -> str:
    """A user's credit account."""
    return f"credit:{user_id}"


def trial_of(user_id: int) -> str:
    """A user's trial account."""
    return f"trial:{user_id}"


def overrun_of(user_id: int) -> str:
    """What upstreams took beyond a user's credit."""
    return f"overrun:{user_id}"


class Leg(msgspec.Struct, frozen=True, array_like=True):
    """``amount`` nano-USD come to ``account``, or leave it if negative."""

    account: str
    amount: int


class Entry(msgspec.Struct, kw_only=True, frozen=True, array_like=True):
    """One booking. ``id`` makes it idempotent: the request's id for usage, with ``#overrun`` or
    ``#<attempt>`` behind it for what else a request causes.

    ``at`` is Unix time. ``cost`` None means unpriced: tokens were used and nobody says what they cost;
    such an entry has no legs. ``price_source`` and ``price_date`` are those of ``price.Price``.
    ``trial`` says that the trial paid. ``actor`` and ``reason`` are of bookings by hand.
    """

    id: str
    kind: str
    at: float
    user_id: int
    key_id: str = ""
    key_name: str = ""
    operation: str = ""
    protocol: str = ""
    model: str = ""
    response_model: str = ""
    channel_id: int | None = None
    channel: str = ""
    provider: str = ""
    outcome: str = ""
    usage: Usage | None = None
    cost: int | None = None
    price_source: str = ""
    price_date: str = ""
    request_ms: float = 0.0
    trial: bool = False
    actor: str = ""
    reason: str = ""
    legs: tuple[Leg, ...] = ()


class Hold(msgspec.Struct, frozen=True, array_like=True, tag="h"):
    """Journal line: a request was admitted, and ``nano`` of ``account`` are held for it. ``account``
    is empty if nothing had to be held."""

    id: str
    at: float
    user_id: int
    key_id: str
    account: str
    nano: int


class Settled(msgspec.Struct, frozen=True, array_like=True, tag="s"):
    """Journal line: the hold of request ``id`` is over, and these entries are due."""

    id: str
    entries: tuple[Entry, ...]


class Released(msgspec.Struct, frozen=True, array_like=True, tag="r"):
    """Journal line: the hold of request ``id`` is over, and nothing is due."""

    id: str


Line = Hold | Settled | Released


class JournalBatch(msgspec.Struct, frozen=True):
    """Lines that are not in the tables yet, oldest first; ``end`` is where they end in the journal,
    ``whole`` that these are all that were appended so far."""

    lines: Sequence[Line]
    end: int
    whole: bool = False


class JournalFull(Exception):
    """There is no room for another request's lines: the disk is full or the database away for too
    long. Lines of requests that were admitted still find their place."""


def balanced(entry: Entry) -> bool:
    """Whether the legs sum to zero."""
    return sum(leg.amount for leg in entry.legs) == 0


def moved(entries: tuple[Entry, ...]) -> dict[str, int]:
    """What the entries do to each account, in nano-USD."""
    sums: dict[str, int] = {}
    for entry in entries:
        for leg in entry.legs:
            sums[leg.account] = sums.get(leg.account, 0) + leg.amount
    return sums


def transfer(source: str, target: str, nano: int) -> tuple[Leg, ...]:
    """The legs that take ``nano`` from one account to another; none for nothing."""
    return (Leg(source, -nano), Leg(target, nano)) if nano else ()


def orphan(hold: Hold, at: float) -> Entry:
    """What the books say of a hold that a crash left open."""
    return Entry(
        id=f"{hold.id}#orphan",
        kind="orphan",
        at=at,
        user_id=hold.user_id,
        key_id=hold.key_id,
        cost=0,
        reason=f"held {hold.nano} nano-USD when the gateway ended without warning; released",
    )
