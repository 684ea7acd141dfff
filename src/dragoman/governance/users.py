"""Who owns keys and money, and what they may use of both."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

DEFAULT_USER_ID = 1
"""Owns every key that names no other user; made with the tables."""
DEFAULT_USER = "default"
"""That user's name, which never changes."""
ANONYMOUS_USER_ID = 2
"""Who asks without a key where none is needed; made with the tables."""


class Limits(msgspec.Struct, kw_only=True, frozen=True, omit_defaults=True):
    """How much may be asked per minute, hour and day, and how much at once. None is no limit."""

    requests_per_minute: int | None = None
    requests_per_hour: int | None = None
    requests_per_day: int | None = None
    tokens_per_minute: int | None = None
    tokens_per_hour: int | None = None
    tokens_per_day: int | None = None
    concurrent_requests: int | None = None


NO_LIMITS = Limits()


class Budget(msgspec.Struct, kw_only=True, frozen=True, omit_defaults=True):
    """The most that may be spent in a calendar day, week (from Monday) and month, all UTC, and in
    ``total``, in nano-USD. None is no budget."""

    day: int | None = None
    week: int | None = None
    month: int | None = None
    total: int | None = None


NO_BUDGET = Budget()


class Trial(msgspec.Struct, kw_only=True, frozen=True, omit_defaults=True):
    """What a user may use for nothing until ``ends_at`` (Unix time): each is the whole allowance, in
    nano-USD, tokens and requests; None is no bound."""

    ends_at: float
    nano_usd: int | None = None
    tokens: int | None = None
    requests: int | None = None


class User(msgspec.Struct, kw_only=True, frozen=True):
    """Who owns keys. Times are Unix time.

    A ``prepaid`` user's requests are held against the credit account before they are sent, and refused
    with 402 when it cannot pay for them; any other user's account only counts. While ``trial`` is set,
    requests are charged to it and not to the account, within its bounds.
    """

    id: int
    name: str
    email: str = ""
    enabled: bool = True
    prepaid: bool = False
    limits: Limits = NO_LIMITS
    budget: Budget = NO_BUDGET
    trial: Trial | None = None
    metadata: Mapping[str, Any] = {}
    created_at: float = 0.0
