"""What the books say at one moment: the figures that admission begins with."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec


class Spending(msgspec.Struct, kw_only=True, frozen=True):
    """What a user or a key has used up, by the books: nano-USD since the beginning of this day, week
    and month (UTC), and in all."""

    day: int = 0
    week: int = 0
    month: int = 0
    total: int = 0


class Consumption(msgspec.Struct, kw_only=True, frozen=True):
    """What a trial has used up beside money."""

    tokens: int = 0
    requests: int = 0


class Standing(msgspec.Struct, kw_only=True, frozen=True):
    """The books at one moment: the balance of every account that is not zero, what users (by id) and
    keys (by id) have spent, and what trials have consumed."""

    balances: Mapping[str, int] = {}
    users: Mapping[int, Spending] = {}
    keys: Mapping[str, Spending] = {}
    trials: Mapping[int, Consumption] = {}
